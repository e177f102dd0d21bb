"""Which bars are traded: gaps and doubted bars are left out and told, windows cut, rules known or read off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from apps.engine.errors import DataError, InvalidInput, UnknownName
from apps.engine.values import Bars
from apps.marketdata import services as market
from apps.research.backtests.history import HELD, MISSING, Doubted, History, Hole, Window, history_file, history_stored
from tests.support.bars import FILTERS, MINUTE_MS, START_MS, walk_bars
from tests.support.klines import write_klines

pytestmark = pytest.mark.usefixtures("desk_db")
NOW_MS = START_MS + 10**10


def at(step: int) -> int:
    return START_MS + step * MINUTE_MS


def spoiled(n: int = 400) -> Bars:
    """Bars 300 to 304 are missing; bar 200 is ten times too high and comes back."""
    bars = walk_bars(n, seed=5, sigma=0.001)
    for column in bars[1:5]:
        column[200] *= 10
    keep = np.ones(n, np.bool_)
    keep[300:305] = False
    return Bars(*(np.ascontiguousarray(column[keep]) for column in bars))


def read(tmp_path: Path, bars: Bars, window: Window = Window(), name: str = "BTCUSDT-1m-x.csv") -> History:  # noqa: B008  a NamedTuple
    path = write_klines(tmp_path / name, bars)
    return history_file(path, symbol="", interval="", window=window, now_ms=NOW_MS)


def test_what_is_not_believed_is_held_back_and_told(tmp_path: Path) -> None:
    found = read(tmp_path, spoiled())
    assert found.doubted == (Doubted(at(200), "price_unit", HELD),)
    assert found.holes == (Hole(at(200), at(201), HELD), Hole(at(300), at(305), MISSING))
    assert (found.bars.n, found.n_missing) == (394, 6) and at(200) not in found.bars.open_time_ms
    assert (found.first_ms, found.end_ms) == (at(0), at(400))


def test_a_true_crash_is_traded(tmp_path: Path) -> None:
    """Down by a third and it stays there: doubted, borne out by the next bar, kept."""
    bars = walk_bars(400, seed=5, sigma=0.001)
    for column in bars[1:5]:
        column[200:] = column[200:] * 2 // 3 // FILTERS.tick_e8 * FILTERS.tick_e8
    bars.open_e8[200] = bars.close_e8[199]
    bars.high_e8[200] = max(bars.high_e8[200], bars.open_e8[200])
    found = read(tmp_path, bars)
    assert found.bars.n == 400 and found.holes == ()
    assert [(one.open_time_ms, one.status) for one in found.doubted] == [(at(200), "confirmed")]


def test_a_window_cuts_on_the_grid(tmp_path: Path) -> None:
    found = read(tmp_path, walk_bars(100, seed=5), Window(at(10) + 1, at(20) - 1))
    assert found.bars.open_time_ms.tolist() == [at(step) for step in range(11, 20)]
    assert (found.first_ms, found.end_ms, found.n_missing) == (at(11), at(20), 0)


def test_times_before_and_after_the_file_are_no_holes(tmp_path: Path) -> None:
    found = read(tmp_path, walk_bars(100, seed=5), Window(at(-50), at(500)))
    assert (found.first_ms, found.end_ms, found.n_missing, found.holes) == (at(0), at(100), 0, ())


@pytest.mark.parametrize("window", [Window(at(9), at(9)), Window(at(9), at(3)), Window(at(9) + 1, at(9) + 2)])
def test_an_empty_window_is_named(tmp_path: Path, window: Window) -> None:
    with pytest.raises(InvalidInput) as refused:
        read(tmp_path, walk_bars(100, seed=5), window)
    assert refused.value.field == "from"


@pytest.mark.parametrize("window", [Window(at(200), None), Window(None, at(0)), Window(at(-9), at(-3))])
def test_a_window_without_bars_is_refused(tmp_path: Path, window: Window) -> None:
    with pytest.raises((DataError, InvalidInput)):
        read(tmp_path, walk_bars(100, seed=5), window)


def test_rules_that_are_known_are_used_and_others_read_off(tmp_path: Path) -> None:
    """The walk's prices are whole cents and its volumes whole thousandths of 0.01."""
    read_off = read(tmp_path, walk_bars(100, seed=5))
    assert read_off.is_inferred and read_off.filters.is_exact()
    assert read_off.filters.tick_e8 == FILTERS.tick_e8 and read_off.filters.step_e8 == FILTERS.step_e8
    market.filters_record(symbol="BTCUSDT", filters=FILTERS._replace(tick_e8=10_000_000), ts_ms=START_MS)
    known = read(tmp_path, walk_bars(100, seed=5))
    assert not known.is_inferred and known.filters.tick_e8 == 10_000_000 and known.n_off_tick > 50


def test_rules_read_off_always_sum_exactly(tmp_path: Path) -> None:
    """Prices of 0.0001 and sizes of 0.001 would not: a lot is 1 then."""
    bars = walk_bars(50, seed=5, price=6.0)
    fine = bars._replace(**{name: getattr(bars, name) // 100 * 100 + 10_000 for name in
                            ("open_e8", "high_e8", "low_e8", "close_e8")})  # fmt: skip
    found = read(tmp_path, fine._replace(volume_e8=bars.volume_e8 // 100 * 100 + 100))
    assert found.filters.is_exact() and found.filters.unit_e8 >= 1


def test_stored_bars_with_their_gaps(tmp_path: Path) -> None:
    market.filters_record(symbol="BTCUSDT", filters=FILTERS, ts_ms=START_MS)
    bars = walk_bars(60, seed=5)
    keep = np.r_[0:20, 25:60]
    market.bars_store(symbol="BTCUSDT", interval="1m", source="test", ts_ms=NOW_MS,
                      bars=Bars(*(np.ascontiguousarray(column[keep]) for column in bars)))  # fmt: skip
    found = history_stored("BTCUSDT", "1m", Window())
    assert [(hole.first_ms, hole.end_ms) for hole in found.holes] == [(at(20), at(25))]
    assert (found.bars.n, found.n_missing, found.sources) == (55, 5, ("test",))


def test_what_is_not_stored_is_said() -> None:
    with pytest.raises(UnknownName) as refused:
        history_stored("NOPEUSDT", "1m", Window())
    assert refused.value.field == "symbol"
    market.symbol_ensure(name="BTCUSDT")
    with pytest.raises(DataError, match="no bars of BTCUSDT 1m"):
        history_stored("BTCUSDT", "1m", Window())
