"""How much of what can be had does the router get, in worlds where that is known?

The router's own kernels run as the desk runs them: at each decision discount, alarm discount, learn the reward that has
closed (it takes REWARD_LAG decisions), posterior at the context, switching costs, propensities, one draw. Its path is
held against the oracle, the informed rule, the best fixed policy in hindsight and an even draw, all on the same noise
and paying the same costs. Net rewards are in reward-sd per 1,000 decisions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

from apps.engine.errors import IntegrityBreach, InvalidInput
from apps.engine.posterior import posterior_nb, posterior_work
from apps.engine.propensity import NO_CHOICE, STATUS_OK, STATUS_SELF_CHECK, choose_nb, propensity_work
from apps.engine.rng import philox_uniform_nb
from apps.engine.router import (
    MODE_GREEDY,
    MODE_THOMPSON,
    MODE_UCB,
    RouterParams,
    RouterStats,
    decision_probabilities_nb,
    discount_nb,
    learn_nb,
    router_stats,
)
from apps.engine.sizing import sigmoid_minus_nb, widths_nb
from apps.engine.values import Array1d, Array2d, IntArray1d
from apps.research.scoring.worlds import (
    N_POLICIES,
    Path,
    World,
    WorldTerms,
    fixed_path,
    informed_path,
    oracle_path,
    steady_path,
    world_of,
)

# A reward closes after the next grid bar, so the one after that learns it.
REWARD_LAG = 2
MODES = {"thompson": MODE_THOMPSON, "ucb": MODE_UCB, "greedy": MODE_GREEDY}
PER = 1000.0
BREACH_SE = 3.0
EVEN = RouterParams(eps=1.0, mode=MODE_GREEDY)


class Variant(NamedTuple):
    """One way to set the router. Full feedback learns from every policy's shadow reward, else from the chosen one's."""

    params: RouterParams = RouterParams()
    is_full: bool = True
    is_sized: bool = False


class Played(NamedTuple):
    """The router's path, what it chose from, and what it believed."""

    path: Path
    probabilities: Array2d
    beliefs: Array2d


class Estimate(NamedTuple):
    """A mean over worlds and its standard error (NaN for one world)."""

    mean: float
    se: float


class Baselines(NamedTuple):
    """Net reward per 1,000 decisions of each world."""

    oracle: Array1d
    informed: Array1d
    best_fixed: Array1d
    steady: Array1d
    uniform: Array1d


class Score(NamedTuple):
    """How one variant did. Captures are shares of what the informed rule and the oracle got.

    Differences are paired by world; `over_first` is to the first variant scored.
    """

    variant: Variant
    net: Estimate
    over_best_fixed: Estimate
    beats_best_fixed: float
    over_steady: Estimate
    over_uniform: Estimate
    regret: Estimate
    capture: Estimate
    capture_oracle: Estimate
    over_first: Estimate
    turnover: float
    size: float


class _Work(NamedTuple):
    """Arrays of one run; nothing is allocated per decision."""

    solved: Array2d
    nodes: Array2d
    loc: Array1d
    h: Array1d
    a: Array1d
    b: Array1d
    widths: Array1d
    sigmoids: Array1d
    costs: Array1d
    scores: Array1d
    scales: Array1d
    admissible: IntArray1d
    mask: IntArray1d


def play(world: World, variant: Variant, seed: int, *, learned: Array2d | None = None) -> Played:
    """Let the router decide all along a world. `learned` stands in for the rewards it is told, not for its earnings.

    Raises IntegrityBreach when a kernel refuses its numbers.
    """
    n, k = world.signals.shape
    chosen, sizes = np.full(n, k, np.int64), np.zeros(n)
    probabilities, beliefs = np.zeros((n, k + 1)), np.zeros((n, k))
    work = _work(k)
    told = np.ascontiguousarray(world.rewards if learned is None else learned, np.float64)
    if told.shape != world.rewards.shape:
        raise InvalidInput(f"must have the shape {world.rewards.shape}, not {told.shape}", field="learned")
    status = _play_nb(
        world.context, world.signals, told, world.alarms, world.cost, variant.params, int(variant.is_full),
        int(variant.is_sized), seed, world.number, router_stats(k), work, chosen, sizes, probabilities, beliefs,
    )  # fmt: skip
    if status != STATUS_OK:
        raise IntegrityBreach(f"the router refused world {world.number}: status {status}")
    return Played(Path(chosen, sizes), probabilities, beliefs)


def net_reward(world: World, path: Path, rewards: Array2d | None = None) -> float:
    """What a path earned after costs, per 1,000 decisions; `rewards` replaces the realized ones (by expected ones)."""
    earned = _of_chosen(world.rewards if rewards is None else rewards, path.chosen) * path.sizes
    return float((math.fsum(earned) - world.cost * _turnover(world, path)) * PER / earned.shape[0])


def baselines_of(world: World, seed: int) -> Baselines:
    """The yardsticks in one world, each an array of one."""
    fixed = [net_reward(world, fixed_path(world, policy)) for policy in range(N_POLICIES + 1)]
    nets = (
        net_reward(world, oracle_path(world)),
        net_reward(world, informed_path(world)),
        max(fixed),
        net_reward(world, steady_path(world)),
        net_reward(world, play(world, Variant(EVEN), seed).path),
    )
    return Baselines(*(np.array([net]) for net in nets))


def score_variants(
    terms: WorldTerms, variants: Sequence[Variant], *, worlds: int, seed: int,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[Baselines, list[Score]]:  # fmt: skip
    """Every variant in the same worlds, numbered from 0; `progress` is told how many are done."""
    if worlds < 1:
        raise InvalidInput("must be 1 or above", field="worlds")
    if seed < 0:
        raise InvalidInput("must be 0 or above", field="seed")
    rows: list[Baselines] = []
    nets, turnovers, sizes = (np.zeros((len(variants), worlds)) for _ in range(3))
    for number in range(worlds):
        world = world_of(terms, seed, number)
        rows.append(baselines_of(world, seed))
        for at, variant in enumerate(variants):
            path = play(world, variant, seed).path
            nets[at, number] = net_reward(world, path)
            turnovers[at, number] = _turnover(world, path) * PER / terms.decisions
            sizes[at, number] = float(np.mean(path.sizes))
        progress(number + 1)
    known = Baselines(*(np.concatenate(column) for column in zip(*rows, strict=True)))
    return known, [
        _score(variant, nets[at], nets[0], known, float(np.mean(turnovers[at])), float(np.mean(sizes[at])))
        for at, variant in enumerate(variants)
    ]


def is_above_oracle(score: Score) -> bool:
    """Whether a score is better than anybody can expect, beyond 3 se: then something sees what it must not see."""
    return score.regret.mean < -BREACH_SE * score.regret.se


def estimate(values: Array1d) -> Estimate:
    """Mean and standard error over worlds."""
    n = values.shape[0]
    return Estimate(float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(n) if n > 1 else math.nan)


def ratio(above: Array1d, below: Array1d) -> Estimate:
    """Ratio of two means over the same worlds, its error by linear expansion; NaN where the lower mean is 0 or less."""
    base = float(np.mean(below))
    if base <= 0.0:
        return Estimate(math.nan, math.nan)
    share = float(np.mean(above)) / base
    return Estimate(share, estimate(above - share * below).se / base)


def _score(variant: Variant, net: Array1d, first: Array1d, known: Baselines, turnover: float, size: float) -> Score:
    return Score(
        variant=variant,
        net=estimate(net),
        over_best_fixed=estimate(net - known.best_fixed),
        beats_best_fixed=float(np.mean(net > known.best_fixed)),
        over_steady=estimate(net - known.steady),
        over_uniform=estimate(net - known.uniform),
        regret=estimate(known.oracle - net),
        capture=ratio(net, known.informed),
        capture_oracle=ratio(net, known.oracle),
        over_first=estimate(net - first),
        turnover=turnover,
        size=size,
    )


def _work(k: int) -> _Work:
    loc, h, a, b, widths, sigmoids, costs, scores, scales = np.zeros((9, k))
    return _Work(
        posterior_work(), propensity_work(k), loc, h, a, b, widths, sigmoids, costs, scores, scales,
        np.ones(k, np.int64), np.zeros(k, np.int64),
    )  # fmt: skip


def _of_chosen(table: Array2d, chosen: IntArray1d) -> Array1d:
    """The chosen policy's entry of each row; 0 for cash."""
    padded = np.hstack((table, np.zeros((table.shape[0], 1))))
    return np.asarray(padded[np.arange(chosen.shape[0]), chosen])


def _turnover(world: World, path: Path) -> float:
    position = _of_chosen(world.signals, path.chosen) * path.sizes
    return math.fsum(np.abs(np.diff(position, prepend=0.0)))


@njit(cache=True, error_model="numpy", nogil=True)
def _play_nb(
    context: Array2d, signals: Array2d, told: Array2d, alarms: IntArray1d, cost: float, params: RouterParams,
    is_full: int, is_sized: int, seed: int, number: int, stats: RouterStats, w: _Work,
    chosen: IntArray1d, sizes: Array1d, probabilities: Array2d, beliefs: Array2d,
) -> int:  # fmt: skip
    """The loop over decisions; answers the first status that is not OK."""
    n, n_arms = signals.shape
    position = 0.0
    for t in range(n):
        status = discount_nb(stats.sxx, stats.sxy, stats.syy, stats.n, params.gamma)
        if alarms[t] == 1 and status == STATUS_OK:
            status = discount_nb(stats.sxx, stats.sxy, stats.syy, stats.n, params.rho)
        if t >= REWARD_LAG and status == STATUS_OK:
            for k in range(n_arms):
                w.mask[k] = 1 if is_full == 1 or chosen[t - REWARD_LAG] == k else 0
            past = t - REWARD_LAG
            status = learn_nb(stats.sxx, stats.sxy, stats.syy, stats.n, context[past], told[past], w.mask)
        if status == STATUS_OK:
            status = posterior_nb(
                stats.sxx, stats.sxy, stats.syy, stats.n, context[t], params.lam, params.a0, params.b0, w.solved,
                w.loc, w.h, w.a, w.b,
            )  # fmt: skip
        if status == STATUS_OK:
            status = widths_nb(w.h, w.a, w.widths)
        if status != STATUS_OK:
            return status
        largest = 0.0
        for k in range(n_arms):
            beliefs[t, k] = w.loc[k]
            w.sigmoids[k] = sigmoid_minus_nb(w.widths[k]) if is_sized == 1 else 1.0
            w.costs[k] = cost * abs(signals[t, k] - position / w.sigmoids[k])
            largest = max(largest, w.sigmoids[k])
        status = decision_probabilities_nb(
            w.loc, w.h, w.a, w.b, w.costs, cost * abs(position) / largest, w.admissible, 1, params,
            w.nodes, w.scores, w.scales, probabilities[t],
        )  # fmt: skip
        if status != STATUS_OK:
            return status
        chosen[t] = choose_nb(probabilities[t], philox_uniform_nb(seed, number, t, 0))
        if chosen[t] == NO_CHOICE:
            return STATUS_SELF_CHECK
        is_cash = chosen[t] == n_arms
        sizes[t] = 0.0 if is_cash else w.sigmoids[chosen[t]]
        position = 0.0 if is_cash else sizes[t] * signals[t, chosen[t]]
    return STATUS_OK
