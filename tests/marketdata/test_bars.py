"""Stored bars: written once, whole or not at all, never changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import IntegrityError, connection

from apps.engine.errors import DataError, IntegrityBreach, UnknownName
from apps.engine.values import Bars, Filters
from apps.marketdata import selectors, services
from apps.marketdata.models import Bar, FilterRevision
from apps.marketdata.services import StoreResult
from tests.marketdata.builders import E8, MINUTE, START, bars_at

NOW = START + 100_000 * MINUTE
FILTERS = Filters(1_000_000, 1_000, 1_000, 0, 0, 0, 0, 5 * E8, 0, 0)


def store(bars: Bars, *, watermark: int | None = None, ts_ms: int = NOW) -> StoreResult:
    return services.bars_store(
        symbol="BTCUSDT", interval="1m", bars=bars, source="test", ts_ms=ts_ms, fold_watermark_ms=watermark
    )


def stored() -> list[int]:
    return [int(at - START) // MINUTE for at in selectors.bars_load("BTCUSDT", "1m").open_time_ms]


def test_what_is_stored_comes_back_equal(desk_db: Path) -> None:
    bars = bars_at(range(5_000))
    assert store(bars) == StoreResult(5_000, 0, 0, 0)
    loaded = selectors.bars_load("BTCUSDT", "1m")
    assert all((mine == theirs).all() for mine, theirs in zip(bars, loaded, strict=True))
    assert all(column.dtype == "int64" and column.flags.c_contiguous for column in loaded)
    assert selectors.bar_last("BTCUSDT", "1m") == START + 4_999 * MINUTE
    assert selectors.bar_last("BTCUSDT", "5m") is None


def test_the_same_again_changes_nothing_and_another_value_is_kept_out(desk_db: Path) -> None:
    store(bars_at(range(10)))
    assert store(bars_at(range(5, 15))) == StoreResult(5, 5, 0, 0)
    revised = store(bars_at([3, 4, 15], close=104))
    assert revised == StoreResult(1, 0, 2, 0, (START + 3 * MINUTE, START + 4 * MINUTE))
    assert int(selectors.bars_load("BTCUSDT", "1m").close_e8[3]) == 101 * E8


def test_one_bad_bar_keeps_the_whole_block_out(desk_db: Path) -> None:
    bars = bars_at(range(10))
    bars.low_e8[7] = 0
    with pytest.raises(DataError, match=r"BTCUSDT 1m bar opening at .*not_positive.*1 of 10"):
        store(bars)
    assert stored() == []


def test_an_open_bar_is_refused(desk_db: Path) -> None:
    with pytest.raises(DataError, match="not_closed"):
        store(bars_at([0]), ts_ms=START + 30_000)


def test_a_bar_behind_the_fold_is_kept_as_late(desk_db: Path) -> None:
    store(bars_at([0, 1, 3]))
    result = store(bars_at([2, 4]), watermark=START + 3 * MINUTE)
    assert (result.inserted, result.late) == (2, 1)
    assert stored() == [0, 1, 3, 4]
    assert selectors.bars_load("BTCUSDT", "1m", folded_only=False).n == 5


def test_windows_and_limits(desk_db: Path) -> None:
    store(bars_at(range(20)))
    window = selectors.bars_load("BTCUSDT", "1m", start_ms=START + 5 * MINUTE, end_ms=START + 15 * MINUTE, limit=3)
    assert [int(at - START) // MINUTE for at in window.open_time_ms] == [12, 13, 14]
    newest = selectors.ohlcv("BTCUSDT", "1m", limit=2)
    assert [row["open_time"] for row in newest] == ["2020-09-13T12:45:00.000Z", "2020-09-13T12:46:00.000Z"]
    assert newest[0] == {
        **{"open_time": "2020-09-13T12:45:00.000Z", "close_time": "2020-09-13T12:45:59.999Z"},
        **{"open": 100.0, "high": 105.0, "low": 95.0, "close": 101.0, "volume": 25.0, "trades": 3},
    }
    oldest = selectors.ohlcv("BTCUSDT", "1m", limit=2, start_ms=START + 4 * MINUTE)
    assert oldest[0]["open_time"] == "2020-09-13T12:31:00.000Z"


def test_a_bar_is_never_changed_or_deleted_through_its_model(desk_db: Path) -> None:
    store(bars_at([0]))
    bar = Bar.objects.get()
    bar.close_e8 = 1
    with pytest.raises(IntegrityBreach):
        bar.save()
    with pytest.raises(IntegrityBreach):
        bar.delete()


def test_the_database_itself_refuses_an_impossible_bar(desk_db: Path) -> None:
    store(bars_at([0]))
    with pytest.raises(IntegrityError), connection.cursor() as cursor:
        cursor.execute("UPDATE marketdata_bar SET high_e8 = low_e8 - 1")


def test_rules_become_revisions_only_when_they_change(desk_db: Path) -> None:
    services.filters_record(symbol="BTCUSDT", filters=FILTERS, ts_ms=1)
    services.filters_record(symbol="BTCUSDT", filters=FILTERS, ts_ms=2)
    assert selectors.filters_current("BTCUSDT") == FILTERS._replace(revision=1)
    services.filters_record(symbol="BTCUSDT", filters=FILTERS._replace(step_e8=10_000), ts_ms=3)
    assert selectors.filters_current("BTCUSDT").revision == 2
    assert selectors.filters_at("BTCUSDT", 1).step_e8 == 1_000
    assert FilterRevision.objects.count() == 2
    with pytest.raises(UnknownName):
        selectors.filters_current("NOPE")


def test_the_watch_list_keeps_the_order_of_the_setting(desk_db: Path, settings: object) -> None:
    settings.SYMBOLS = ("SOLUSDT", "BTCUSDT", "ETHUSDT")
    for symbol in ("BTCUSDT", "SOLUSDT", "XRPUSDT"):
        services.filters_record(symbol=symbol, filters=FILTERS, ts_ms=1)
    assert [(info.symbol, info.base_asset, info.quote_asset) for info in selectors.watch_list()] == [
        ("SOLUSDT", "SOL", "USDT"),
        ("BTCUSDT", "BTC", "USDT"),
    ]
