"""The yardsticks are what they say, and no score can pass that looked ahead."""

from __future__ import annotations

import itertools
import json
import math
import re
from io import StringIO
from pathlib import Path as FilePath

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from apps.engine.errors import IntegrityBreach, InvalidInput
from apps.engine.observe import shadow_nb
from apps.engine.observe_state import AWAITING, CLOSED, SLOT_ENTRY, SLOT_GRID, SLOT_STAGE
from apps.engine.offpolicy import off_policy, on_policy
from apps.engine.router import RouterParams
from apps.engine.values import Array2d
from apps.research.scoring import router_score, router_tables
from apps.research.scoring.router_score import (
    REWARD_LAG,
    Variant,
    baselines_of,
    estimate,
    is_above_oracle,
    net_reward,
    play,
    ratio,
    score_variants,
)
from apps.research.scoring.router_tables import BANDIT, BASE, part_edges, small_table, variants_of, write_parts
from apps.research.scoring.worlds import (
    N_POLICIES,
    Path,
    World,
    WorldTerms,
    expected_rewards,
    fixed_path,
    informed_path,
    oracle_path,
    world_of,
)

ROOT = FilePath(__file__).resolve().parents[2]
SEED = 3
SHORT = WorldTerms(decisions=1000)
NOISE = WorldTerms(decisions=1000, signal=0.0)
QUICK = Variant(RouterParams(mode=router_score.MODES["greedy"]))


@pytest.fixture(scope="module")
def world() -> World:
    return world_of(WorldTerms(), SEED, 0)


def test_a_world_follows_from_seed_and_number(world: World) -> None:
    again, other = world_of(WorldTerms(), SEED, 0), world_of(WorldTerms(), SEED, 1)
    for name in ("means", "regimes", "context", "signals", "rewards", "alarms"):
        assert np.array_equal(getattr(world, name), getattr(again, name))
        assert not np.array_equal(getattr(world, name), getattr(other, name))


def test_a_shorter_world_is_the_start_of_a_longer_one(world: World) -> None:
    short = world_of(WorldTerms(decisions=300), SEED, 0)
    assert np.array_equal(short.rewards, world.rewards[:300])
    assert np.array_equal(short.context, world.context[:300])


def test_worlds_are_as_described() -> None:
    worlds = [world_of(WorldTerms(), SEED, number) for number in range(30)]
    regimes = np.concatenate([w.regimes for w in worlds])
    signals = np.concatenate([w.signals for w in worlds])
    context = np.concatenate([w.context for w in worlds])
    noise = np.concatenate([w.rewards - expected_rewards(w) for w in worlds])
    changes = np.mean([np.mean(np.diff(w.regimes) != 0) for w in worlds])
    assert np.mean(regimes == 2) == pytest.approx(0.25, abs=0.03)
    assert changes == pytest.approx(1 / 100, rel=0.1)
    assert np.mean(np.diff(worlds[0].signals, axis=0) != 0.0) == pytest.approx(1 / 24, rel=0.1)
    assert signals.mean() == pytest.approx(0.5, abs=0.02)
    assert np.mean(np.argmax(context[:, 1:5], axis=1) == regimes) == pytest.approx(0.55, abs=0.015)
    assert np.all(context[:, 0] == 1.0)
    assert np.abs(context).max() == 3.0
    inside = signals[:, 0] * signals[:, 1] == 1.0
    assert np.std(noise[inside, 0]) == pytest.approx(1.0, abs=0.05)
    assert np.corrcoef(noise[inside, 0], noise[inside, 1])[0, 1] == pytest.approx(0.5, abs=0.05)
    assert np.std(np.concatenate([w.means for w in worlds])) == pytest.approx(0.1, rel=0.1)
    alarms = np.mean([w.alarms.sum() for w in worlds])
    assert alarms == pytest.approx(4000 * (0.75 / 100 + 1.65e-3), rel=0.1)


def test_rewards_are_on_average_what_is_expected() -> None:
    gaps = [np.mean(w.rewards - expected_rewards(w)) for w in (world_of(WorldTerms(), SEED, n) for n in range(30))]
    told = estimate(np.array(gaps))
    assert abs(told.mean) < 3.0 * told.se


def test_costs_are_paid_on_every_turnover() -> None:
    signals, rewards = np.zeros((4, N_POLICIES)), np.zeros((4, N_POLICIES))
    signals[:, 0], signals[1:, 1] = 1.0, 0.5
    rewards[:, 0], rewards[:, 1] = 0.3, 0.2
    by_hand = World(
        0, 0.1, 1.0, np.zeros((4, N_POLICIES)), np.zeros(4, np.int64), np.zeros((4, 11)), signals, rewards,
        np.zeros(4, np.int64),
    )  # fmt: skip
    path = Path(np.array([0, 1, N_POLICIES, 0]), np.array([1.0, 1.0, 0.0, 0.5]))
    # Positions 1, 0.5, 0, 0.5: turnover 1 + 0.5 + 0.5 + 0.5; earned 0.3 + 0.2 + 0 + 0.15.
    assert net_reward(by_hand, path) == pytest.approx((0.65 - 0.1 * 2.5) * 1000 / 4)


def test_no_path_at_all_expects_more_than_the_oracle() -> None:
    """Every one of 7^5 paths tried."""
    for number in range(3):
        world = world_of(WorldTerms(decisions=5, signal=0.3), SEED, number)
        table = expected_rewards(world)
        paths = itertools.product(range(N_POLICIES + 1), repeat=5)
        best = max(net_reward(world, Path(np.array(path), np.ones(5)), table) for path in paths)
        assert net_reward(world, oracle_path(world), table) == pytest.approx(best, abs=1e-9)


def test_nobody_expects_more_than_the_oracle() -> None:
    for number in range(10):
        world = world_of(SHORT, SEED, number)
        table = expected_rewards(world)
        paths = [fixed_path(world, policy) for policy in range(N_POLICIES + 1)]
        paths += [informed_path(world), play(world, BASE, SEED).path, play(world, BANDIT, SEED).path]
        bound = net_reward(world, oracle_path(world), table)
        assert all(net_reward(world, path, table) <= bound + 1e-9 for path in paths)


def test_oracle_then_best_fixed_then_uniform() -> None:
    known, scores = score_variants(WorldTerms(), [QUICK], worlds=12, seed=SEED)
    assert estimate(known.oracle - known.best_fixed).mean > 3.0 * estimate(known.oracle - known.best_fixed).se
    assert np.all(known.best_fixed > known.uniform)
    assert np.all(known.best_fixed >= known.steady)
    assert known.steady.mean() > 0.0
    assert scores[0].over_uniform.mean > 3.0 * scores[0].over_uniform.se
    assert not is_above_oracle(scores[0])


def test_in_pure_noise_there_is_no_edge() -> None:
    known, scores = score_variants(NOISE, [BASE, BANDIT, QUICK], worlds=12, seed=SEED)
    assert np.all(known.oracle == 0.0)
    assert np.all(known.informed == 0.0)
    for score in scores:
        assert score.net.mean < 3.0 * score.net.se
        assert math.isnan(score.capture.mean)
        assert not is_above_oracle(score)


def leaked(world: World) -> Array2d:
    """Rewards told before they are earned: what the desk learns at decision t is then decision t's own."""
    return np.roll(world.rewards, -REWARD_LAG, axis=0)


@pytest.mark.parametrize("terms", [NOISE, SHORT], ids=["noise", "signal"])
def test_a_leak_is_seen(monkeypatch: pytest.MonkeyPatch, terms: WorldTerms) -> None:
    forgetful = Variant(QUICK.params._replace(gamma=0.9))

    def looking_ahead(world: World, variant: Variant, seed: int) -> router_score.Played:
        return play(world, variant, seed, learned=leaked(world) if variant == forgetful else None)

    _, honest = score_variants(terms, [forgetful], worlds=8, seed=SEED)
    monkeypatch.setattr(router_score, "play", looking_ahead)
    _, scores = score_variants(terms, [forgetful], worlds=8, seed=SEED)
    assert not is_above_oracle(honest[0])
    assert is_above_oracle(scores[0])


def test_the_desks_settings_give_a_leak_away_too() -> None:
    worlds = [world_of(NOISE, SEED, number) for number in range(12)]
    told = estimate(np.array([net_reward(w, play(w, BASE, SEED, learned=leaked(w)).path) for w in worlds]))
    assert told.mean > 3.0 * told.se


def test_a_reward_is_learned_when_the_desk_would() -> None:
    """The desk's own shadow position, opened at grid 0: the first grid bar at which it is closed."""
    horizon, slots_i, slots_f = 5, np.zeros((2, SLOT_STAGE + 1), np.int64), np.zeros((2, SLOT_ENTRY + 1))
    slots_i[0, SLOT_STAGE], slots_i[:, SLOT_GRID] = AWAITING, 0
    for bar in range(1, 30):
        if bar % horizon == 0 and slots_i[0, SLOT_STAGE] == CLOSED:
            break
        shadow_nb(slots_i, slots_f, bar, horizon, 100.0 + bar)
    assert bar == REWARD_LAG * horizon


@pytest.mark.parametrize("variant", [BASE, BANDIT], ids=["full", "bandit"])
def test_beliefs_are_those_of_a_dense_solver(variant: Variant) -> None:
    """Ridge regression with weights, solved by LAPACK: which rewards were learned, when, and how much is forgotten."""
    world = world_of(WorldTerms(decisions=250), SEED, 4)
    played = play(world, variant, SEED)
    params, k, t = variant.params, 2, 249
    weights = np.zeros(t + 1)
    for past in range(t - 2 + 1):
        if variant.is_full or played.path.chosen[past] == k:
            later = slice(past + 2 + 1, t + 1)
            weights[past] = params.gamma ** (t - past - 2) * params.rho ** world.alarms[later].sum()
    x, y = world.context[: t + 1], world.rewards[: t + 1, k]
    design = params.lam * np.eye(11) + (x * weights[:, None]).T @ x
    believed = world.context[t] @ np.linalg.solve(design, (x * weights[:, None]).T @ y)
    assert world.alarms[:t].sum() > 0
    assert played.beliefs[t, k] == pytest.approx(believed, abs=1e-12)


def test_even_draws_are_even(world: World) -> None:
    played = play(world, Variant(router_score.EVEN), SEED)
    assert np.abs(played.probabilities - 1 / 7).max() < 2e-9
    assert np.bincount(played.path.chosen) / 4000 == pytest.approx(np.full(7, 1 / 7), abs=0.02)


def test_sized_positions_are_less_than_half(world: World) -> None:
    path = play(world, Variant(is_sized=True), SEED).path
    held = path.sizes[path.chosen < N_POLICIES]
    assert 0.0 < held.min() <= held.max() < 0.5
    assert np.all(path.sizes[path.chosen == N_POLICIES] == 0.0)


def test_a_refused_world_is_an_error(world: World) -> None:
    bad = world.rewards.copy()
    bad[7, 2] = math.nan
    with pytest.raises(IntegrityBreach, match="status 1"):
        play(world, BASE, SEED, learned=bad)
    with pytest.raises(InvalidInput):
        play(world, BASE, SEED, learned=bad[:-1])


def test_ratios_and_their_errors() -> None:
    above, below = np.array([1.0, 2.0, 6.0]), np.array([2.0, 4.0, 6.0])
    told = ratio(above, below)
    residuals = np.array([1.0 - 1.5, 2.0 - 3.0, 6.0 - 4.5])
    assert told.mean == 0.75
    assert told.se == pytest.approx(np.std(residuals, ddof=1) / math.sqrt(3) / 4.0)
    assert math.isnan(ratio(above, -below).mean)


def test_one_world_has_no_standard_error() -> None:
    _, scores = score_variants(SHORT, [QUICK], worlds=1, seed=SEED)
    assert math.isnan(scores[0].net.se)
    assert not is_above_oracle(scores[0])


def test_what_is_logged_tells_what_another_way_would_have_earned() -> None:
    """IPS, SNIPS and DR from the chosen rewards alone, against the rewards of all policies."""
    logging = Variant(RouterParams(eps=0.6, rho=1.0), is_full=False)
    for number in range(4):
        world = world_of(WorldTerms(signal=0.3), SEED, number)
        played = play(world, logging, SEED)
        rows = np.arange(world.regimes.shape[0])
        rewards = np.hstack((world.rewards, np.zeros((rows.shape[0], 1))))
        raised = np.exp(np.hstack((world.context[:, 1:7], np.zeros((rows.shape[0], 1)))) * 0.5)
        target = raised / raised.sum(axis=1, keepdims=True)
        truth = on_policy(target=target, all_rewards=rewards).value.value
        found = off_policy(
            target=target,
            chosen=played.path.chosen,
            propensity=played.probabilities[rows, played.path.chosen],
            rewards=rewards[rows, played.path.chosen],
            forecasts=np.hstack((played.beliefs, np.zeros((rows.shape[0], 1)))),
        )
        assert truth is not None
        assert found.clipped_share == 0.0
        assert found.effective_size > 500
        for told in (found.ips, found.snips, found.doubly_robust):
            assert told.value.value is not None
            assert told.standard_error.value is not None
            assert abs(told.value.value - truth) < 3.0 * told.standard_error.value


def test_the_page_says_what_the_command_says() -> None:
    text = (ROOT / "docs" / "router.md").read_text()
    start, end = part_edges(text, "small")
    assert text[start:end].strip() == small_table()


def test_what_the_page_says_in_short_stands_in_its_tables() -> None:
    text = (ROOT / "docs" / "router.md").read_text()
    short = text[text.index("## In short") : text.index("## The worlds")]
    tables = "".join(text[slice(*part_edges(text, name))] for name in ("kinds", "variants"))
    figures = re.findall(r"\d+\.\d+ ± \d+\.\d+", short)
    assert len(figures) > 10
    assert [figure for figure in figures if figure not in tables] == []


def test_the_first_variant_is_the_desk() -> None:
    assert variants_of("all")[0] == BASE == Variant(RouterParams())
    assert {variant.params.mode for variant in variants_of("ucb")} == {router_score.MODES["ucb"]}
    assert len(set(variants_of("all"))) == len(variants_of("all"))


def test_parts_are_written_between_their_marks(tmp_path: FilePath) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- x: written by the command -->\nold\n<!-- x: end -->\nb\n")
    write_parts(page, {"x": "new"})
    assert page.read_text() == "a\n<!-- x: written by the command -->\nnew\n<!-- x: end -->\nb\n"
    with pytest.raises(InvalidInput):
        write_parts(page, {"y": "new"})


def test_the_command_answers_in_json() -> None:
    out = StringIO()
    call_command("router_score", worlds=3, decisions=200, mode="greedy", json=True, verbosity=0, stdout=out)
    told = json.loads(out.getvalue())
    known = [baselines_of(world_of(WorldTerms(decisions=200), 1, number), 1) for number in range(3)]
    assert told["worlds"] == 3
    assert told["terms"]["decisions"] == 200
    assert told["baselines"]["oracle"]["mean"] == pytest.approx(np.mean([each.oracle[0] for each in known]))
    assert [row["feedback"] for row in told["variants"]] == ["full", "bandit"]


def test_the_command_tells_its_progress_and_tables() -> None:
    out, err = StringIO(), StringIO()
    call_command("router_score", worlds=2, decisions=100, mode="ucb", stdout=out, stderr=err)
    assert "variants: 2 of 2 worlds" in err.getvalue()
    assert "| best fixed |" in out.getvalue()
    assert "| full | ucb | 0.3 | 0.999 | 0.8 |" in out.getvalue()


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("worlds", {"worlds": 0}),
        ("seed", {"seed": -1}),
        ("decisions", {"decisions": 0}),
        ("mode", {"mode": "best"}),
        ("signal", {"signal": math.nan}),
        ("visibility", {"visibility": -1.0}),
        ("write", {"write": True, "mode": "ucb"}),
        ("write", {"write": True, "signal": 0.5}),
    ],
)
def test_bad_arguments_are_named(field: str, options: dict[str, object]) -> None:
    with pytest.raises(CommandError, match=f"^{field}: ") as caught:
        call_command("router_score", **{"worlds": 1, "decisions": 50, "verbosity": 0, **options})
    assert caught.value.returncode == 2


def test_a_score_above_the_oracle_ends_with_status_3(monkeypatch: pytest.MonkeyPatch) -> None:
    def looking_ahead(world: World, variant: Variant, seed: int) -> router_score.Played:
        return play(world, Variant(QUICK.params._replace(gamma=0.9)), seed, learned=leaked(world))

    monkeypatch.setattr(router_score, "play", looking_ahead)
    with pytest.raises(CommandError, match="above the oracle") as caught:
        call_command("router_score", worlds=4, decisions=500, mode="greedy", signal=0.0, verbosity=0, stdout=StringIO())
    assert caught.value.returncode == 3


def test_writing_leaves_the_rest_of_the_page(
    tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch, settings: object
) -> None:
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs" / "router.md"
    page.write_text((ROOT / "docs" / "router.md").read_text())
    monkeypatch.setattr(settings, "BASE_DIR", tmp_path)
    monkeypatch.setattr(router_tables, "KINDS", router_tables.KINDS[:1])
    call_command("router_score", worlds=2, decisions=60, write=True, verbosity=0, stdout=StringIO())
    text = page.read_text()
    assert "2 worlds of 60 decisions, seed 1." in text
    assert text.count("<!-- ") == 6
    assert "## What this does not show" in text
