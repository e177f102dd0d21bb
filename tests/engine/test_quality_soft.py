"""The soft rules: each at its edge, the window they look back on, and what a suspect does to the bars after it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from apps.engine.quality import LIMITS, MOVES, BarFault, Suspicion, agrees, borne_out, keeps_the_move, suspicions
from apps.engine.values import Bars
from tests.support.bars import FILTERS, MINUTE_MS, walk_bars

TICK = FILTERS.tick_e8
N = 150


def judged(bars: Bars, n_history: int = N, **limits: float) -> list[Suspicion]:
    """The suspicions of all but the first rows, which are history."""
    history, block = bars.slice(0, n_history), bars.slice(n_history, bars.n)
    rules = LIMITS._replace(**limits)
    return suspicions(block, history, tick_e8=TICK, interval_ms=MINUTE_MS, limits=rules)


def market(n: int = N + 5, *, sigma: float = 0.001, seed: int = 11) -> Bars:
    return walk_bars(n, seed=seed, sigma=sigma)


def with_close(bars: Bars, row: int, close: int) -> Bars:
    """The bars with another close, its high and low stretched to hold it."""
    bars = Bars(*(column.copy() for column in bars))
    bars.close_e8[row] = close
    bars.high_e8[row], bars.low_e8[row] = max(bars.high_e8[row], close), min(bars.low_e8[row], close)
    return bars


def moved(bars: Bars, row: int, share: float) -> Bars:
    """The bar closes this share away from the close before it."""
    return with_close(bars, row, round(int(bars.close_e8[row - 1]) * (1 + share)))


def quiet_market(n: int = N + 5) -> Bars:
    """Bars whose close steps one tick up and down: every return is known."""
    close = 10**12 + TICK * (np.arange(n) % 2)
    open_ = np.concatenate([[10**12], close[:-1]])
    opens = MINUTE_MS * np.arange(1, n + 1)
    volume = 10**8 + np.arange(n) * 10**4
    high, low = np.maximum(open_, close), np.minimum(open_, close)
    return Bars(*(np.ascontiguousarray(x) for x in (opens, open_, high, low, close, volume, np.full(n, 10))))


@pytest.mark.parametrize("seed", range(20))
def test_a_market_as_usual_is_believed(seed: int) -> None:
    assert judged(market(2_000, seed=seed)) == []


def test_the_score_is_that_of_hampel() -> None:
    bars = moved(market(sigma=0.002), N, 0.05)
    returns = np.diff(np.log(bars.close_e8.astype(np.float64)))
    window = returns[N - 1 - LIMITS.window : N - 1]
    spread = 1.4826 * np.median(np.abs(window - np.median(window)))
    (entry,) = judged(bars)
    assert (entry.row, entry.reason, entry.is_kept) == (0, BarFault.SPIKE, False)
    assert entry.score == pytest.approx(abs(returns[N - 1] - np.median(window)) / spread, rel=1e-9)


def test_in_a_market_that_stands_still_one_tick_is_the_least_deviation() -> None:
    still = quiet_market(N + 1)
    for column in still[1:5]:
        column[:] = 10**12
    (entry,) = judged(moved(still, N, 0.02))
    assert entry.score == pytest.approx(math.log(1.02) / (1.4826 * TICK / 10**12), rel=1e-9)


@pytest.mark.parametrize(("share", "is_suspect"), [(0.0149, False), (0.0151, True), (-0.0149, False), (-0.0151, True)])
def test_a_return_below_the_floor_is_no_spike(share: float, is_suspect: bool) -> None:
    bars = moved(quiet_market(N + 1), N, share)
    assert [entry.reason for entry in judged(bars)] == [BarFault.SPIKE] * is_suspect


def test_the_limits_are_those_given() -> None:
    bars = moved(market(N + 1), N, 0.03)
    (entry,) = judged(bars)
    assert judged(bars, spike_k=entry.score * 1.001, quiet_k=math.inf) == []
    assert judged(bars, spike_k=entry.score * 0.999, quiet_k=math.inf) == [entry]


@pytest.mark.parametrize(("share", "reason"), [(0.21, BarFault.JUMP), (-0.21, BarFault.JUMP), (0.19, BarFault.SPIKE)])
def test_a_fifth_is_too_far_in_any_market(share: float, reason: BarFault) -> None:
    assert [entry.reason for entry in judged(moved(market(), N, share))] == [reason]


def test_without_history_only_a_jump_is_seen() -> None:
    bars = market(10)
    assert judged(moved(bars, 5, 0.19), n_history=0) == []
    assert [entry.row for entry in judged(moved(bars, 5, 0.21), n_history=0)] == [5]
    assert judged(bars.slice(0, 1), n_history=0) == judged(bars.slice(0, 0), n_history=0) == []


@pytest.mark.parametrize(("volume", "is_suspect"), [(3.9, True), (4.1, False)])
def test_a_move_of_a_wild_market_needs_volume(volume: float, is_suspect: bool) -> None:
    bars = moved(market(N + 1, sigma=0.004), N, 0.025)
    usual = np.median(bars.volume_e8[N - LIMITS.window : N])
    bars.volume_e8[N] = round(usual * volume)
    bars.trades[N] = max(1, round(int(bars.trades[N]) * volume))
    assert [entry.reason for entry in judged(bars)] == [BarFault.QUIET_SPIKE] * is_suspect


def test_what_is_much_for_a_minute_is_little_for_an_hour() -> None:
    quiet, wick = moved(market(N + 1, sigma=0.004), N, 0.025), market(N + 1)
    wick.low_e8[N] = wick.low_e8[N] * 9 // 10
    for bars, reason in ((quiet, BarFault.QUIET_SPIKE), (wick, BarFault.WICK)):
        hourly = bars._replace(open_time_ms=bars.open_time_ms * 60)
        told = suspicions(hourly.slice(N, N + 1), hourly.slice(0, N), tick_e8=TICK, interval_ms=60 * MINUTE_MS)
        assert [entry.reason for entry in judged(bars)] == [reason] and told == []


def test_a_spike_that_was_let_in_hides_no_later_one() -> None:
    bars = moved(market(), N, 0.02)
    for row in range(N - 100, N - 10, 15):
        bars = moved(bars, row, 0.3)
    assert [(entry.row, entry.reason) for entry in judged(bars)] == [(0, BarFault.SPIKE)]


def test_a_single_wrong_bar_is_the_only_suspect() -> None:
    (entry,) = judged(with_close(market(N + 50), N + 20, 10**13))
    assert (entry.row, entry.reason, entry.is_kept) == (20, BarFault.JUMP, False)


def shifted(bars: Bars, row: int, factor: float) -> Bars:
    """All prices from this row on are another level; the bar in this row opens where the last one closed."""
    prices = [np.concatenate([column[:row], np.rint(column[row:] * factor).astype(np.int64)]) for column in bars[1:5]]
    bars = bars._replace(**dict(zip(bars._fields[1:5], prices, strict=True)))
    bars.open_e8[row] = bars.close_e8[row - 1]
    bars.high_e8[row], bars.low_e8[row] = (
        max(bars.high_e8[row], bars.open_e8[row]),
        min(bars.low_e8[row], bars.open_e8[row]),
    )
    return bars


@pytest.mark.parametrize("factor", [0.93, 1.07, 0.7])
def test_a_crash_is_suspected_once_and_its_level_believed(factor: float) -> None:
    entries = judged(shifted(market(N + 50), N + 20, factor))
    assert [(entry.row, entry.is_kept) for entry in entries] == [(20, True)]


def test_a_crash_that_is_back_a_minute_later_is_borne_out_by_the_next_open() -> None:
    bars = moved(market(), N, -0.08)
    assert [entry.is_kept for entry in judged(bars)] == [False]
    bars.open_e8[N + 1] = bars.low_e8[N + 1] = bars.close_e8[N]
    assert [(entry.row, entry.is_kept) for entry in judged(bars)][:1] == [(0, True)]


def test_a_wrong_unit_is_never_borne_out() -> None:
    entries = judged(shifted(market(N + 50), N + 20, 10.0))
    assert [entry.row for entry in entries] == list(range(20, 50))
    assert {(entry.reason, entry.is_kept) for entry in entries} == {(BarFault.PRICE_UNIT, False)}


def test_a_mere_repeat_bears_nothing_out() -> None:
    bars = moved(market(), N, 0.08)
    for column in bars[1:]:
        column[N + 1] = column[N]
    assert [(entry.row, entry.is_kept) for entry in judged(bars)][:2] == [(0, False), (1, False)]


def test_over_a_hole_a_return_may_be_larger() -> None:
    bars = moved(market(), N, 0.02)
    (entry,) = judged(bars)
    later = bars._replace(open_time_ms=bars.open_time_ms + np.where(np.arange(bars.n) >= N, 24 * MINUTE_MS, 0))
    assert judged(later, spike_k=0.0)[0].score == pytest.approx(entry.score / 5)


@pytest.mark.parametrize(
    ("trades", "factor", "is_suspect"), [(10, 99, False), (10, 102, True), (0, 9_900, False), (0, 10_200, True)]
)
def test_volume_of_another_unit(trades: int, factor: int, is_suspect: bool) -> None:
    bars = quiet_market()
    bars.trades[:] = trades
    which = LIMITS.window // 2 + 1
    usual = int(np.sort(bars.volume_e8[N - LIMITS.window : N])[-which])
    bars.volume_e8[N] = usual * factor
    assert [entry.reason for entry in judged(bars)] == [BarFault.VOLUME_UNIT] * is_suspect


def test_a_burst_of_volume_comes_with_trades() -> None:
    bars = market(N + 1)
    bars.volume_e8[N] *= 1_000
    assert [entry.reason for entry in judged(bars)] == [BarFault.VOLUME_UNIT]
    bars.trades[N] *= 1_000
    assert judged(bars) == []


def test_bars_with_and_without_numbers_of_trades_may_follow_each_other() -> None:
    bars = market()
    bars.trades[N:] = 0
    assert judged(bars) == []
    assert [entry.reason for entry in judged(bars.slice(0, N + 1))] == [BarFault.VOLUME_WITHOUT_TRADES]
    bars = market()
    bars.trades[:N] = 0
    assert judged(bars) == []


def test_a_bar_without_trades_at_the_last_price_is_believed() -> None:
    bars = market()
    for column in bars[1:5]:
        column[N] = bars.close_e8[N - 1]
    bars.volume_e8[N] = bars.trades[N] = 0
    assert judged(bars) == []


def test_a_longer_history_changes_nothing() -> None:
    bars = moved(market(400), 398, 0.03)
    (short,) = judged(bars.slice(398 - LIMITS.window - 1, 399), n_history=LIMITS.window + 1)
    (long,) = judged(bars.slice(0, 399), n_history=398)
    assert (short.reason, short.score) == (long.reason, pytest.approx(long.score, rel=1e-12))


def test_a_suspicion_says_what_and_how_much() -> None:
    (entry,) = judged(moved(market(), N, 0.25))
    assert entry.detail == "the close is too far from the last one for any market (score 0.25)"


@pytest.mark.parametrize(
    ("after", "is_kept"), [(111, True), (110, False), (109, False), (100, False), (90, False), (125, True)]
)
def test_more_than_half_of_a_move_must_be_left(after: int, is_kept: bool) -> None:
    assert keeps_the_move(before_e8=100, suspect_e8=120, after_e8=after) == is_kept
    assert keeps_the_move(before_e8=-100, suspect_e8=-120, after_e8=-after) == is_kept


def test_only_moves_are_borne_out() -> None:
    bars = shifted(market(), N, 0.9)
    suspect, after, before = bars.slice(N, N + 1), bars.slice(N + 1, N + 2), int(bars.close_e8[N - 1])
    told = {
        reason: borne_out(reason=reason, before_e8=before, suspect=suspect, after=after)
        for reason in (BarFault.JUMP, BarFault.SPIKE, BarFault.QUIET_SPIKE, BarFault.WICK, BarFault.PRICE_UNIT)
    }
    assert {reason for reason, is_kept in told.items() if is_kept} == set(MOVES) - {BarFault.OPEN_GAP}
    assert not borne_out(reason=BarFault.SPIKE, before_e8=before, suspect=suspect, after=suspect)


def test_two_tellings_must_be_of_one_bar_and_agree_in_every_price() -> None:
    bars = market()
    bar = bars.slice(3, 4)
    assert agrees(bar, bar) and not agrees(bar, bars.slice(4, 5)) and not agrees(bar, bars.slice(3, 3))
    assert not agrees(bar, bar._replace(low_e8=bar.low_e8 * 99 // 100))
    assert not agrees(bar._replace(low_e8=bar.low_e8 * 99 // 100), bar)


def test_mistakes_of_the_caller_are_named() -> None:
    bars = market()
    with pytest.raises(ValueError, match="must end before"):
        suspicions(bars.slice(9, 20), bars.slice(0, 10), tick_e8=TICK, interval_ms=MINUTE_MS)
    with pytest.raises(ValueError, match="above 0"):
        suspicions(bars, bars.slice(0, 0), tick_e8=0, interval_ms=MINUTE_MS)
