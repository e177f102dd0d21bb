"""The fold of bars: what is learned when, by an oracle in numpy, and what must not change it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pytest

from apps.engine.decision import (
    ARM_A,
    ARM_B,
    ARM_H,
    ARM_LOC,
    ARM_N,
    ARM_SIGNAL,
    GATE_GAP,
    GATE_INACTIVE,
    GATE_WARM_UP,
    N_ARMS,
)
from apps.engine.errors import DataError
from apps.engine.observe import observe_batch_nb
from apps.engine.observe_state import S_CLIPPED
from apps.engine.observer import NO_ROWS, Observer, ObserveSettings, float_columns
from apps.engine.router import N_CONTEXT, RouterParams
from apps.engine.values import Bars
from apps.engine.view import View, snapshot_bytes, view_from_snapshot
from tests.support.bars import MINUTE_MS, START_MS, walk_bars
from tests.support.engine import build_arms, build_record, build_view

pytestmark = pytest.mark.usefixtures("compiled")
ALL_ACTIVE = np.zeros(N_ARMS, np.int64)
PARAMS = RouterParams()
TRIANGLE = np.tril_indices(N_CONTEXT)


def observer(horizon: int = 3, **settings: object) -> Observer:
    return Observer(ObserveSettings("BTCUSDT", MINUTE_MS, horizon, **settings))  # type: ignore[arg-type]


def fold(bars: Bars, horizon: int = 3, *, is_bocpd: bool = False) -> list[View]:
    """The view after every bar, one by one."""
    folded = observer(horizon)
    return [
        folded.observe(bars.slice(t, t + 1), inactive=ALL_ACTIVE, is_bocpd=is_bocpd) for t in range(bars.n)
    ]  # fmt: skip


def without(bars: Bars, *holes: range) -> Bars:
    keep = np.ones(bars.n, bool)
    for hole in holes:
        keep[list(hole)] = False
    return Bars(*(np.ascontiguousarray(column[keep]) for column in bars))


def jump(bars: Bars, at: int, factor: float) -> Bars:
    """The same bars, all prices from one bar's open on times a factor."""
    moved = []
    for name, column in zip(Bars._fields, bars, strict=True):
        scaled = column.copy()
        if name.endswith("_e8") and name != "volume_e8":
            scaled[at:] = np.round(scaled[at:] * factor / 1e6).astype(np.int64) * 10**6
        moved.append(scaled)
    return Bars(*moved)


def rewards(bars: Bars, views: Sequence[View], horizon: int) -> dict[int, tuple]:
    """Grid bar -> (bar at which it is learned, context, rewards, mask), straight from the definition."""
    opens = {int(ms) // MINUTE_MS: int(open_) for ms, open_ in zip(bars.open_time_ms, bars.open_e8, strict=True)}
    found = {}
    for view in views:
        t = view.record.bar_index
        needed = range(t, t + horizon + 2)
        if t % horizon or view.record.context_missing or not all(index in opens for index in needed):
            continue
        due = next((at for at in range(t + 2 * horizon, max(opens) + 1, 2 * horizon) if at in opens), None)
        if due is None:
            continue
        gross = opens[t + 1 + horizon] / opens[t + 1] - 1.0
        raw = view.arms[ARM_SIGNAL] * gross / (view.record.sigma_bar * math.sqrt(horizon))
        found[t] = (due, view.context, np.clip(raw, -4.0, 4.0), (view.gates & (GATE_WARM_UP | GATE_GAP)) == 0, raw)
    return found


def posteriors(bars: Bars, views: Sequence[View], horizon: int) -> list[np.ndarray]:
    """(loc, h, a, b, n) per arm after every bar by numpy's solver, NaN where there is no context."""
    learned = {due: (x, y, mask) for due, x, y, mask, _ in rewards(bars, views, horizon).values()}
    s_xx, s_xy = np.zeros((N_ARMS, N_CONTEXT, N_CONTEXT)), np.zeros((N_ARMS, N_CONTEXT))
    s_yy, n, out = np.zeros(N_ARMS), np.zeros(N_ARMS), []
    for view in views:
        if view.record.bar_index % horizon == 0:
            s_xx, s_xy, s_yy, n = (array * PARAMS.gamma for array in (s_xx, s_xy, s_yy, n))
        if view.record.bar_index in learned:
            x, y, mask = learned[view.record.bar_index]
            for k in np.flatnonzero(mask):
                s_xx[k] += np.outer(x, x)
                s_xy[k] += x * y[k]
                s_yy[k] += y[k] ** 2
                n[k] += 1.0
        rows = np.full((5, N_ARMS), np.nan)
        if view.record.context_missing == 0:
            for k in range(N_ARMS):
                p = PARAMS.lam * np.eye(N_CONTEXT) + s_xx[k]
                m = np.linalg.solve(p, s_xy[k])
                leverage = view.context @ np.linalg.solve(p, view.context)
                b = PARAMS.b0 + 0.5 * (s_yy[k] - s_xy[k] @ m)
                rows[:, k] = view.context @ m, leverage, PARAMS.a0 + 0.5 * n[k], b, n[k]
        out.append(rows)
    return out


ROWS = [ARM_LOC, ARM_H, ARM_A, ARM_B, ARM_N]


def learned_as_defined(bars: Bars, horizon: int) -> tuple[list[View], dict[int, tuple]]:
    """Check every view against the oracle; views and rewards."""
    views = fold(bars, horizon)
    for view, expected in zip(views, posteriors(bars, views, horizon), strict=True):
        if view.record.context_missing == 0:
            np.testing.assert_allclose(view.arms[ROWS], expected, rtol=1e-8, atol=1e-11)
    return views, rewards(bars, views, horizon)


@pytest.mark.parametrize("horizon", [1, 3])
def test_rewards_are_learned_as_defined(horizon: int) -> None:
    """Entered at the open after the grid bar, left H bars later, in units of the volatility known at the grid bar."""
    bars = walk_bars(420, seed=2)
    views, found = learned_as_defined(bars, horizon)
    assert len(found) >= 20 and max(np.abs(raw).max() for *_, raw in found.values()) > 0.5
    for view in views:
        closed = [t for t, (due, *_) in found.items() if due <= view.record.bar_index]
        assert view.last_applied_grid_bar == (max(closed) if closed else -1)
    assert [due for due, *_ in found.values()] == sorted(due for due, *_ in found.values()), "in order"


def test_a_reward_by_hand() -> None:
    """One grid bar of H = 3: the next open, the open three bars on, and the volatility of that bar."""
    bars = walk_bars(420, seed=2)
    views = fold(bars, 3)
    t = next(v for v, view in enumerate(views) if view.is_grid and view.record.context_missing == 0)
    view = views[t]
    gross = float(bars.open_e8[t + 4]) / float(bars.open_e8[t + 1]) - 1.0
    y = view.arms[ARM_SIGNAL] * gross / (view.record.sigma_bar * math.sqrt(3.0))
    assert views[t + 5].last_applied_grid_bar == -1 and (views[t + 5].coefficients == 0.0).all()
    after = views[t + 6]
    assert after.last_applied_grid_bar == view.record.bar_index
    # One observation: P = lam I + x x', so m = x y / (lam + x'x).
    expected = np.outer(view.context, y) / (PARAMS.lam + view.context @ view.context)
    np.testing.assert_allclose(after.coefficients, expected, rtol=1e-12, atol=1e-15)


def test_a_reward_is_clipped_at_four() -> None:
    """A fall of 6 % between two opens is some thirty bar volatilities."""
    bars = jump(walk_bars(420, seed=2), 400, 0.94)
    _, found = learned_as_defined(bars, 3)
    clipped = [raw for *_, raw in found.values() if np.abs(raw).max() > 4.0]
    folded = observer()
    folded.observe_many(bars, inactive=ALL_ACTIVE, is_bocpd=False)
    assert clipped and folded.core.scalars_i[S_CLIPPED] == sum(int((np.abs(raw) > 4.0).sum()) for raw in clipped)


@pytest.mark.parametrize("hole", [range(391, 392), range(393, 394), range(394, 395), range(397, 404)])
def test_a_gap_voids_what_was_running(hole: range) -> None:
    """Grid bars are 390, 393, 396, …: holes at an entry, at a grid bar, at an exit, and one of many bars."""
    first_ms = START_MS // (3 * MINUTE_MS) * 3 * MINUTE_MS
    bars, first = walk_bars(720, seed=4, start_ms=first_ms), first_ms // MINUTE_MS
    views, found = learned_as_defined(without(bars, hole), 3)
    touched = [t for t in range(381, 400, 3) if t not in hole and {*range(t, t + 5)} & {*hole}]
    kept = [t for t in range(381, 400, 3) if t + 4 < hole.start]
    assert touched and not any(first + t in found for t in touched)
    assert kept and all(first + t in found for t in kept)
    after = next(view for view in views if view.record.bar_index >= first + hole.stop)
    assert after.record.context_missing != 0 and (after.gates == GATE_GAP).all()
    assert max(found) > first + 650, "and it learns again once the windows are full"


def test_gates_tell_warm_up_gap_and_inactive_apart() -> None:
    bars = walk_bars(160, seed=1)
    views = fold(without(bars, range(120, 121)))
    warm_ups = observer().warm_ups
    for seen, view in enumerate(views, start=1):
        since_gap = seen if seen <= 120 else seen - 120
        expected = np.where(seen < warm_ups, GATE_WARM_UP, np.where(since_gap < warm_ups, GATE_GAP, 0))
        assert view.gates.tolist() == expected.tolist()
    folded, inactive = observer(), np.array([1] + [0] * (N_ARMS - 1))
    folded.observe_many(bars, inactive=inactive, is_bocpd=False)
    assert folded.view().gates.tolist() == [GATE_INACTIVE] + [0] * (N_ARMS - 1)


def test_an_inactive_arm_goes_on_learning() -> None:
    bars = walk_bars(360, seed=2)
    active, passive = observer(), observer()
    active.observe_many(bars, inactive=ALL_ACTIVE, is_bocpd=False)
    passive.observe_many(bars, inactive=np.ones(N_ARMS, np.int64), is_bocpd=False)
    assert active.view().arms.tobytes() == passive.view().arms.tobytes()


# What must not change a view.

BARS = walk_bars(600, seed=3)
HOLED = without(BARS, range(450, 453))


def full_run_views(bars: Bars, folded: Observer, at: Sequence[int]) -> list[bytes]:
    """Snapshots at some bars of a batch over the whole array; the policies ran to its end first."""
    columns = float_columns(bars)
    signals, found = folded.signal_matrix(columns), []
    for t in range(bars.n):
        observe_batch_nb(
            folded.core, folded.settings.params, folded.settings.horizon_bars,
            bars.open_time_ms[t : t + 1] // MINUTE_MS, *(column[t : t + 1] for column in columns),
            signals[t : t + 1], folded.warm_ups, ALL_ACTIVE, 1, NO_ROWS,
        )  # fmt: skip
        if t in at:
            found.append(snapshot_bytes(dataclasses.replace(folded.view(), state_hash="")))
    return found


def prefix_views(bars: Bars, make: type[Observer], at: Sequence[int]) -> list[bytes]:
    """The same snapshots, each by a run that was given nothing beyond its bar."""
    found = []
    for t in at:
        folded = make(ObserveSettings("BTCUSDT", MINUTE_MS, 3))
        folded.observe_many(bars.slice(0, t + 1), inactive=ALL_ACTIVE, is_bocpd=True)
        found.append(snapshot_bytes(dataclasses.replace(folded.view(), state_hash="")))
    return found


CUTS = (0, 1, 47, 99, 260, 301, 302, 303, 449, 450, 451, 500, 596)


def check_prefix_invariance(make: type[Observer]) -> None:
    whole = full_run_views(HOLED, make(ObserveSettings("BTCUSDT", MINUTE_MS, 3)), CUTS)
    assert whole == prefix_views(HOLED, make, CUTS)


def test_a_view_knows_nothing_of_later_bars() -> None:
    check_prefix_invariance(Observer)


class Peeking(Observer):
    """A leak: each policy's signal is that of the bar after."""

    def signal_matrix(self, columns):  # type: ignore[no-untyped-def]
        signals = super().signal_matrix(columns)
        return np.vstack([signals[1:], signals[-1:]])


def test_a_look_ahead_would_be_seen() -> None:
    with pytest.raises(AssertionError):
        check_prefix_invariance(Peeking)


def test_many_at_once_equals_one_by_one() -> None:
    views = fold(HOLED, is_bocpd=True)
    folded = observer()
    for start, stop in ((0, 1), (1, 1), (1, 200), (200, 452), (452, HOLED.n)):
        folded.observe_many(HOLED.slice(start, stop), inactive=ALL_ACTIVE, is_bocpd=True)
    assert snapshot_bytes(folded.view()) == snapshot_bytes(views[-1])
    assert folded.state_hash() == views[-1].state_hash


@pytest.mark.parametrize("at", [1, 250, 451, 599 - 4])
def test_saving_and_loading_in_the_middle_changes_nothing(at: int) -> None:
    first, second, whole = observer(), observer(), observer()
    first.observe_many(HOLED.slice(0, at), inactive=ALL_ACTIVE, is_bocpd=True)
    second.load(first.save())
    first.observe_many(HOLED.slice(at, HOLED.n), inactive=ALL_ACTIVE, is_bocpd=True)
    second.observe_many(HOLED.slice(at, HOLED.n), inactive=ALL_ACTIVE, is_bocpd=True)
    whole.observe_many(HOLED, inactive=ALL_ACTIVE, is_bocpd=True)
    assert first.state_hash() == second.state_hash() == whole.state_hash()
    assert snapshot_bytes(second.view()) == snapshot_bytes(whole.view())


def test_a_saved_state_is_a_copy() -> None:
    folded = observer()
    folded.observe_many(BARS.slice(0, 300), inactive=ALL_ACTIVE, is_bocpd=True)
    saved, before = folded.save(), folded.state_hash()
    folded.observe_many(BARS.slice(300, 310), inactive=ALL_ACTIVE, is_bocpd=True)
    assert folded.state_hash() != before
    folded.load(saved)
    assert folded.state_hash() == before


def test_the_unit_of_the_price_does_not_matter() -> None:
    """All prices times 8: the same bits, save for the volume in quote, which is eightfold."""
    scaled = Bars(HOLED.open_time_ms, *(column * 8 for column in HOLED[1:5]), HOLED.volume_e8, HOLED.trades)
    one, other = observer(), observer()
    one.observe_many(HOLED, inactive=ALL_ACTIVE, is_bocpd=True)
    other.observe_many(scaled, inactive=ALL_ACTIVE, is_bocpd=True)
    a, b = one.view(), other.view()
    assert b.record == a.record._replace(adv_quote=8.0 * a.record.adv_quote)
    for name in ("arms", "gates", "context", "coefficients", "precision"):
        assert getattr(a, name).tobytes() == getattr(b, name).tobytes(), name


@pytest.mark.parametrize("late", [299, 298, 0])
def test_a_bar_is_folded_once_and_in_order(late: int) -> None:
    folded = observer()
    folded.observe_many(BARS.slice(0, 300), inactive=ALL_ACTIVE, is_bocpd=True)
    before = folded.state_hash()
    for observe in (folded.observe, folded.observe_many):
        with pytest.raises(DataError):
            observe(BARS.slice(late, late + 1), inactive=ALL_ACTIVE, is_bocpd=True)
    backwards = Bars(*(np.ascontiguousarray(column[[301, 300]]) for column in BARS))
    with pytest.raises(DataError):
        folded.observe_many(backwards, inactive=ALL_ACTIVE, is_bocpd=True)
    assert folded.state_hash() == before


def test_shorts_are_clipped_unless_they_are_allowed() -> None:
    long, short = observer(), observer(allow_short=True)
    columns = float_columns(BARS)
    both = short.signal_matrix(columns)
    assert (long.signal_matrix(columns) == np.maximum(both, 0.0)).all()


# The snapshot.


def same(a: View, b: View) -> bool:
    """Equal in every bit."""
    arrays = ("arms", "gates", "context", "coefficients", "precision")
    rest = [field.name for field in dataclasses.fields(View) if field.name not in arrays]
    return all(getattr(a, name).tobytes() == getattr(b, name).tobytes() for name in arrays) and all(
        repr(getattr(a, name)) == repr(getattr(b, name)) for name in rest
    )


def test_a_snapshot_brings_the_view_back() -> None:
    views = fold(HOLED, is_bocpd=True)
    for view in (views[0], views[99], views[300], views[451], views[-1]):
        back = view_from_snapshot(snapshot_bytes(view))
        assert same(back, view) and snapshot_bytes(back) == snapshot_bytes(view)
        assert all(getattr(back, name).flags.c_contiguous for name in ("arms", "coefficients", "precision"))


def test_equal_precisions_are_written_once_and_others_apart() -> None:
    apart = build_view()
    shared = build_view(precision=np.repeat(apart.precision[:, :1], N_ARMS, axis=1))
    almost = build_view(precision=shared.precision.copy())
    almost.precision[5, -1] = np.nextafter(almost.precision[5, -1], 9.0)
    signed = build_view(precision=np.zeros_like(shared.precision))
    signed.precision[3, -1] = -0.0
    sizes = []
    for view in (shared, apart, almost, signed):
        sizes.append(len(snapshot_bytes(view)))
        assert same(view_from_snapshot(snapshot_bytes(view)), view)
    assert sizes[0] < sizes[1] and sizes[2] == pytest.approx(sizes[1], abs=200)


def test_a_snapshot_holds_what_is_not_finite() -> None:
    view = build_view(arms=build_arms(h=math.inf), record=build_record(sigma_bar=-0.0, adv_quote=math.inf))
    view.arms[ARM_LOC, 0] = math.nan
    assert same(view_from_snapshot(snapshot_bytes(view)), view)
