"""Three breakers against an oracle that keeps whole histories, and round trips counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from apps.engine.breakers import DAY_MS, breakers_nb
from apps.engine.decision import INTS
from apps.engine.desk import UNKNOWN_MARK
from apps.engine.guards.rolling_drawdown import drawdown_bps_nb
from apps.engine.trips import N_TRIP, OPEN, TRIP_EXIT_MS, trip_nb
from tests.support.engine import CASH_E8, build_desk, build_limits

PAUSE = 900_000


def moved(desk, **limits):  # type: ignore[no-untyped-def]
    out = np.zeros(len(INTS), np.int64)
    return breakers_nb(desk, build_limits(**{"hard_drawdown_bps": 1_000, "daily_loss_bps": 300, **limits}), out), out


def test_a_day_trips_once_holds_until_midnight_and_begins_anew() -> None:
    desk = build_desk(ts_ms=10 * DAY_MS + 5, day_index=10, equity_e8=CASH_E8 * 96 // 100)
    seen, out = moved(desk)
    assert (seen.is_day_latched, out[INTS.is_day_tripped]) == (1, 1)
    seen, out = moved(seen._replace(equity_e8=CASH_E8))
    assert (seen.is_day_latched, out[INTS.is_day_tripped]) == (1, 0), "a recovery does not lift it"
    seen, _ = moved(seen._replace(ts_ms=9 * DAY_MS))
    assert seen.is_day_latched == 1, "nor does a clock that steps back"
    seen, _ = moved(seen._replace(ts_ms=11 * DAY_MS, equity_e8=CASH_E8 // 2))
    assert (seen.is_day_latched, seen.day_start_e8, seen.day_index) == (0, CASH_E8 // 2, 11)


def test_the_hard_breaker_keeps_its_peak_and_its_latch() -> None:
    seen, out = moved(build_desk(equity_e8=2 * CASH_E8))
    assert seen.peak_e8 == 2 * CASH_E8 and out[INTS.is_hard_tripped] == 0
    seen, out = moved(seen._replace(equity_e8=CASH_E8 * 17 // 10))
    assert (seen.is_hard_latched, out[INTS.is_hard_tripped]) == (1, 1)
    seen, out = moved(seen._replace(equity_e8=3 * CASH_E8))
    assert (seen.is_hard_latched, out[INTS.is_hard_tripped]) == (1, 0)


def test_a_desk_that_cannot_be_marked_moves_nothing() -> None:
    desk = build_desk(equity_e8=1, unknown=UNKNOWN_MARK)
    seen, out = moved(desk)
    assert seen == desk
    assert not out[[INTS.is_tripped, INTS.is_rearmed, INTS.is_day_tripped, INTS.is_hard_tripped]].any()


class Oracle:
    """Remembers every equity and recomputes from all of them, as slowly as it likes."""

    def __init__(self) -> None:
        self.window: list[int] = []
        self.whole: list[int] = []
        self.days: dict[int, list[int]] = {}
        self.day = 0
        self.until = self.day_latched = self.hard_latched = 0

    def see(self, ts_ms: int, equity: int, is_known: bool) -> tuple[int, int, int]:
        if is_known:
            if self.until and ts_ms >= self.until:
                self.window, self.until = [], 0
            self.window.append(equity)
            self.whole.append(equity)
            if ts_ms // DAY_MS > self.day:
                self.day, self.day_latched = ts_ms // DAY_MS, 0
            self.days.setdefault(self.day, []).append(equity)
            if not self.until and drawdown_bps_nb(equity, max(self.window)) > 500:
                self.until = ts_ms + PAUSE
            self.day_latched |= int(drawdown_bps_nb(equity, self.days[self.day][0]) > 300)
            self.hard_latched |= int(drawdown_bps_nb(equity, max(self.whole)) > 1_000)
        return self.until, self.day_latched, self.hard_latched


@pytest.mark.parametrize("seed", range(4))
def test_random_paths_with_gaps_and_duplicates_meet_the_oracle(seed: int) -> None:
    """2,500 paths each, over days, with unknown marks, repeated equities and times."""
    rng = np.random.Generator(np.random.PCG64(seed))
    trips = 0
    for path in range(2_500):
        oracle, desk = Oracle(), build_desk(
            day_index=0, day_start_e8=0, peak_e8=0, high_water_e8=0, ts_ms=int(rng.integers(1, 3 * DAY_MS))
        )  # fmt: skip
        equity, scale = CASH_E8, 10 ** rng.uniform(-3, -1.3)
        for _ in range(12):
            equity = max(1, int(equity * np.exp(scale * rng.standard_t(3)))) if rng.random() > 0.2 else equity
            step = int(rng.choice([0, 60_000, PAUSE, DAY_MS // 3]))
            is_known = rng.random() > 0.15
            ts_ms, unknown = desk.ts_ms + step, 0 if is_known else UNKNOWN_MARK
            desk, out = moved(desk._replace(ts_ms=ts_ms, equity_e8=equity, unknown=unknown))
            found = (desk.breaker_until_ms, desk.is_day_latched, desk.is_hard_latched)
            assert found == oracle.see(ts_ms, equity, is_known), f"seed {seed} path {path}"
            trips += int(out[INTS.is_tripped] + out[INTS.is_day_tripped] + out[INTS.is_hard_tripped])
    assert trips > 1_000, "the paths must trip what they test"


def test_round_trips_by_hand() -> None:
    """Bought for 1,000 and 500, sold for 700 and 950, one of fee each: 146 of 1,500 are 973 bps."""
    trip = np.zeros(N_TRIP, np.int64)
    assert trip_nb(trip, 0, 10, -1_001_0000, 1_000_0000, 1) == OPEN
    assert trip_nb(trip, 10, 15, -501_0000, 500_0000, 2) == OPEN
    assert trip_nb(trip, 15, 8, 699_0000, 700_0000, 3) == OPEN
    assert trip[TRIP_EXIT_MS] == 0
    assert trip_nb(trip, 8, 0, 949_0000, 950_0000, 4) == 146_0000 // 1_500
    assert trip.tolist() == [0, 0, 4]


def test_a_fill_through_zero_closes_one_trip_and_opens_the_next() -> None:
    """Long 10 for 1,000; 40 sold for 4,400: a quarter closes with 1,100, the rest opens a short of 3,300."""
    trip = np.zeros(N_TRIP, np.int64)
    trip_nb(trip, 0, 10, -1_000_0000, 1_000_0000, 1)
    assert trip_nb(trip, 10, -30, 4_400_0000, 4_400_0000, 2) == 1_000
    assert trip.tolist() == [3_300_0000, 3_300_0000, 2]
    assert trip_nb(trip, -30, 0, -3_000_0000, 3_000_0000, 3) == 300_0000 // 3_300
