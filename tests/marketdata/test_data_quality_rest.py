"""Rows of a page that are no bars, single bars, and the second word over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from channels.db import database_sync_to_async

from apps.engine.errors import DataError
from apps.marketdata import quarantine, releasing
from apps.marketdata.exchange.binance import UnreadableRow, bars_of_klines, venue
from apps.marketdata.exchange.client import KLINES_PAGE, ExchangeClient
from apps.marketdata.exchange.simulated.process import ExchangeProcess, start_exchange
from apps.marketdata.market import MarketView
from apps.marketdata.models import Quarantine
from apps.marketdata.quality_gate import bars_admit
from apps.marketdata.replacing import Replacer, second_client
from apps.marketdata.services import bars_store
from tests.marketdata.builders import MINUTE, START, kline_row
from tests.marketdata.quality_samples import bars_of, spiked

LOOPBACK = venue("simulated", rest_url="http://127.0.0.1:1", ws_url="ws://127.0.0.1:1")


def bad_row(at: int) -> list[Any]:
    return kline_row(at, close="NaN")


@pytest.mark.parametrize(
    ("row", "opened"),
    [
        (bad_row(1), START + MINUTE),
        ([START + MINUTE, "1"], START + MINUTE),
        ([*kline_row(1)[:8], 3.5, *kline_row(1)[9:]], START + MINUTE),
        (["soon", *kline_row(1)[1:]], None),
        ([True, *kline_row(1)[1:]], None),
        ([], None),
        ({"open": 1}, None),
        (None, None),
    ],
)
def test_a_row_that_is_no_bar_is_set_aside_as_it_came(row: Any, opened: int | None) -> None:
    aside: list[UnreadableRow] = []
    bars = bars_of_klines([kline_row(0), row, kline_row(2)], aside)
    assert bars.open_time_ms.tolist() == [START, START + 2 * MINUTE]
    assert [(found.open_time_ms, json.loads(found.raw)) for found in aside] == [(opened, row)] and aside[0].why
    with pytest.raises(DataError):
        bars_of_klines([kline_row(0), row, kline_row(2)])


def test_a_body_that_is_no_list_is_refused_whatever_is_set_aside() -> None:
    for body in ({"code": -1}, "busy", 7):
        with pytest.raises(DataError):
            bars_of_klines(body, [])
    assert bars_of_klines([bad_row(0)], []).n == 0


def client_of(rows: dict[int, list[Any]], n_bars: int) -> ExchangeClient:
    """An exchange whose clock stands after `n_bars` and whose history has these rows in place of its own."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/time"):
            return httpx.Response(200, json={"serverTime": START + n_bars * MINUTE + 5_000})
        query = dict(request.url.params)
        first = -(-(int(query["startTime"]) - START) // MINUTE)
        last = min(first + int(query["limit"]), n_bars + 1)
        return httpx.Response(200, json=[rows.get(at) or kline_row(at) for at in range(first, last)])

    return ExchangeClient(LOOPBACK, transport=httpx.MockTransport(answer))


async def test_a_page_goes_on_without_the_row_that_is_no_bar() -> None:
    bad = {at: bad_row(at) for at in (5, KLINES_PAGE - 1, KLINES_PAGE + 3)}
    aside: list[UnreadableRow] = []
    async with client_of(bad, KLINES_PAGE + 50) as client:
        pages = [page async for page in client.klines("BTCUSDT", "1m", start_ms=START, unreadable=aside)]
    opens = [(int(opened) - START) // MINUTE for page in pages for opened in page.open_time_ms]
    assert sorted({*opens, *bad}) == list(range(KLINES_PAGE + 50)) and len(opens) == KLINES_PAGE + 47
    assert sorted({row.open_time_ms for row in aside}) == [START + at * MINUTE for at in bad]


async def test_a_page_without_one_readable_bar_is_passed_by() -> None:
    aside: list[UnreadableRow] = []
    async with client_of({at: bad_row(at) for at in range(KLINES_PAGE)}, KLINES_PAGE + 2) as client:
        pages = [page async for page in client.klines("BTCUSDT", "1m", start_ms=START, unreadable=aside)]
    assert [page.n for page in pages] == [2] and len(aside) == KLINES_PAGE


async def test_a_single_bar_is_closed_and_is_the_one_asked_for() -> None:
    async with client_of({4: bad_row(4)}, 10) as client:
        found = await client.kline("BTCUSDT", "1m", START + 3 * MINUTE)
        assert found is not None and found.open_time_ms.tolist() == [START + 3 * MINUTE]
        for absent in (START + 10 * MINUTE, START + 3 * MINUTE + 1, -MINUTE, 2**62):
            assert await client.kline("BTCUSDT", "1m", absent) is None, absent
        with pytest.raises(DataError):
            await client.kline("BTCUSDT", "1m", START + 4 * MINUTE)


@pytest.fixture(scope="module")
def exchange() -> Iterator[ExchangeProcess]:
    with start_exchange(symbols=("BTCUSDT",)) as process:
        yield process


async def test_the_simulated_exchange_and_its_second_call_settle_both_kinds(
    desk_db: Path, exchange: ExchangeProcess
) -> None:
    first = ExchangeClient(venue("simulated", rest_url=exchange.rest_url, ws_url=exchange.ws_url))
    second = second_client(first.venue)
    view = MarketView(symbols=["BTCUSDT"])
    async with first, second:
        now_ms = await first.time()
        view.clock.observe(now_ms)
        (page,) = [bars async for bars in first.klines("BTCUSDT", "1m", start_ms=now_ms - 140 * MINUTE)]
        candles = quarantine.candles_of(page)
        # The true values of two bars: one comes spoiled; the other as it is, and a person's eye would have held it.
        wrong, true = spiked(candles[-2], 1.1), candles[-1]
        await sync(arrive)(candles[:-2], wrong, true, now_ms)
        await Replacer(first, second, bars_store, view).round(now_ms + 2_000)
    assert await sync(statuses)() == {wrong[0]: "replaced", true[0]: "confirmed"}
    assert await sync(releasing.stored_candle)("BTCUSDT", "1m", wrong[0]) == candles[-2]
    assert await sync(releasing.stored_candle)("BTCUSDT", "1m", true[0]) == true


def arrive(history: list[Any], wrong: Any, true: Any, now_ms: int) -> None:
    told: dict[str, Any] = {"symbol": "BTCUSDT", "interval": "1m", "source": "simulated", "ts_ms": now_ms}
    bars_store(bars=bars_of(history), **told)
    bars_admit(bars=bars_of([wrong]), origin="stream", **told)
    finding = quarantine.Finding(
        *("BTCUSDT", "1m", true[0], "spike", "by hand", quarantine.candle_text(true), "stream", "simulated", true)
    )
    quarantine.findings_record(findings=[finding], mode="strict", status=Quarantine.PENDING, ts_ms=now_ms)


def statuses() -> dict[int | None, str]:
    return dict(Quarantine.objects.values_list("open_time_ms", "status"))


def sync(function: Any) -> Any:
    return database_sync_to_async(function)
