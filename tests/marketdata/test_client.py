"""The REST client against a small fake: paging, weights, limits, bans, firewalls."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from apps.engine.errors import DataError, InvalidInput, Unavailable, UnknownName
from apps.marketdata.exchange.binance import Venue, combined_url, stream_names, venue
from apps.marketdata.exchange.client import BODY_LIMIT_BYTES, ExchangeClient
from tests.marketdata.builders import MINUTE, START, kline_row

Answer = Callable[[httpx.Request], httpx.Response]


class Fake:
    """Answers requests by function and records them; time only passes when the client sleeps."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[httpx.Request] = []
        self.slept: list[float] = []
        self.now_s = 1_700_000_000.0

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answer(request)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds

    def client(self) -> ExchangeClient:
        return ExchangeClient(
            Venue("simulated", "http://127.0.0.1:1", "ws://127.0.0.1:1"),
            transport=httpx.MockTransport(self.handle),
            sleep=self.sleep,
            wall=lambda: self.now_s,
            monotonic=lambda: self.now_s,
            uniform=lambda low, high: high,
        )


def answers(*responses: httpx.Response) -> Fake:
    left = list(responses)
    return Fake(lambda request: left.pop(0) if len(left) > 1 else left[0])


def ok(body: Any, **headers: str) -> httpx.Response:
    return httpx.Response(200, json=body, headers=headers)


class History:
    """An exchange with bars 0..n-1 closed and bar n running; the start bound is inclusive, pages hold 1000."""

    def __init__(self, n_closed: int) -> None:
        self.n_closed = n_closed

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/time"):
            return ok({"serverTime": START + self.n_closed * MINUTE + 20_000})
        query = dict(request.url.params)
        first = max(0, -(-(int(query["startTime"]) - START) // MINUTE))
        return ok([kline_row(at) for at in range(first, min(first + int(query["limit"]), self.n_closed + 1))])


async def opens(client: ExchangeClient, **bounds: int) -> list[int]:
    pages = [page async for page in client.klines("BTCUSDT", "1m", **bounds)]
    return [int(at - START) // MINUTE for page in pages for at in page.open_time_ms]


async def test_pages_follow_each_other_without_a_gap_or_a_repeat() -> None:
    fake = Fake(History(2_345))
    async with fake.client() as client:
        assert await opens(client, start_ms=START) == list(range(2_345))
    starts = [int(request.url.params["startTime"]) for request in fake.requests[1:]]
    assert starts == [START, START + 1_000 * MINUTE, START + 2_000 * MINUTE]


async def test_the_running_bar_is_dropped_and_the_end_is_kept() -> None:
    async with Fake(History(10)).client() as client:
        assert await opens(client, start_ms=START + 7 * MINUTE) == [7, 8, 9]
        assert await opens(client, start_ms=START, end_ms=START + 3 * MINUTE) == [0, 1, 2]
        assert await opens(client, start_ms=START + 10 * MINUTE) == []


async def test_a_bar_that_comes_twice_is_taken_once() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/time"):
            return ok({"serverTime": START + 100 * MINUTE})
        return ok([kline_row(0), kline_row(1), kline_row(1, close="102"), kline_row(2)])

    async with Fake(answer).client() as client:
        assert await opens(client, start_ms=START) == [0, 1, 2]


async def test_recorded_bodies(recorded_data: Path) -> None:
    body = json.loads((recorded_data / "payloads/rest/spot-2021-10/klines.json").read_text())
    trades = json.loads((recorded_data / "payloads/rest/spot-2021-10/agg_trades.json").read_text())

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/time"):
            return ok({"serverTime": body[-1][0] + 10 * MINUTE})
        return ok(trades if request.url.path.endswith("/aggTrades") else body)

    async with Fake(answer).client() as client:
        pages = [page async for page in client.klines("BTCUSDT", "1m", start_ms=body[0][0])]
        assert pages[0].n == len(body) and int(pages[0].open_e8[0]) == 6_068_522_000_000
        assert int(pages[0].trades[0]) == 617
        found = [trade async for page in client.agg_trades("BTCUSDT", from_id=trades[2]["a"]) for trade in page]
        assert [trade.trade_id for trade in found] == [row["a"] for row in trades[2:]]


async def test_trades_page_by_id() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        first = int(request.url.params["fromId"])
        rows = range(first, min(first + 1_000, 2_500))
        return ok([{"a": at, "p": "1", "q": "2", "f": 1, "l": 1, "T": at, "m": True, "M": True} for at in rows])

    fake = Fake(answer)
    async with fake.client() as client:
        found = [trade.trade_id async for page in client.agg_trades("X", from_id=7) for trade in page]
        some = [trade.trade_id async for page in client.agg_trades("X", from_id=7, until_id=9) for trade in page]
    assert found == list(range(7, 2_500)) and some == [7, 8, 9]


async def test_after_429_it_waits_as_told() -> None:
    fake = answers(httpx.Response(429, headers={"Retry-After": "35"}, json={"code": -1003, "msg": "x"}), ok({}))
    async with fake.client() as client:
        await client.ping()
    assert fake.slept == [35.0]


async def test_418_ends_every_call_until_the_ban_is_over() -> None:
    fake = answers(httpx.Response(418, headers={"Retry-After": "120"}, json={"code": -1003, "msg": "banned"}), ok({}))
    async with fake.client() as client:
        with pytest.raises(Unavailable, match="banned"):
            await client.ping()
        with pytest.raises(Unavailable, match="banned"):
            await client.ping()
        assert len(fake.requests) == 1 and fake.slept == []
        fake.now_s += 121
        await client.ping()


async def test_it_waits_before_the_limit_of_the_minute_is_reached() -> None:
    fake = Fake(lambda request: ok({}, **{"X-MBX-USED-WEIGHT-1M": "5399"}))
    fake.now_s = 1_700_000_040.0 // 60 * 60 + 10
    async with fake.client() as client:
        await client.ping()
        await client.ping()
        assert fake.slept == []
        client.budget.used = 5_400
        await client.ping()
    assert fake.slept == [pytest.approx(50.05)]


async def test_the_limit_is_the_exchange_s_own() -> None:
    entry = {
        **{"symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT"},
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": "0.01"},
            {"filterType": "LOT_SIZE", "stepSize": "0.001"},
        ],
    }
    limits = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 1200}]
    fake = Fake(lambda request: ok({"symbols": [entry], "rateLimits": limits}))
    async with fake.client() as client:
        rules = await client.exchange_info(["BTCUSDT"])
        assert client.budget.limit == 1_200
        assert rules[0].filters.tick_e8 == 1_000_000 and rules[0].filters.max_qty_e8 == 0
        with pytest.raises(UnknownName, match="ETHUSDT"):
            await client.exchange_info(["BTCUSDT", "ETHUSDT"])


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(503, text="<html>busy</html>"),
        httpx.Response(403, text="<html>firewall</html>"),
        httpx.Response(502, text=""),
        httpx.Response(200, text="<html>captive portal</html>"),
        httpx.Response(500, json={"code": -1000, "msg": "?"}),
    ],
)
async def test_what_may_pass_is_tried_again_a_few_times(response: httpx.Response) -> None:
    fake = Fake(lambda request: response)
    async with fake.client() as client:
        with pytest.raises(Unavailable):
            await client.ping()
        assert fake.slept == [0.5, 1.0, 2.0, 4.0]
        fake.answer = answers(response, ok({})).answer
        await client.ping()


async def test_a_dead_line_is_unavailable() -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow", request=request)

    async with Fake(fail).client() as client:
        with pytest.raises(Unavailable, match="ReadTimeout"):
            await client.time()


@pytest.mark.parametrize("status", [301, 302, 307, 451])
async def test_neither_redirects_nor_closed_doors_are_tried_again(status: int) -> None:
    fake = Fake(lambda request: httpx.Response(status, headers={"Location": "http://evil.example/"}, text="{}"))
    async with fake.client() as client:
        with pytest.raises(Unavailable):
            await client.ping()
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("code", "kind", "field"),
    [(-1121, UnknownName, "symbol"), (-1120, InvalidInput, "interval"), (-1100, InvalidInput, "body")],
)
async def test_a_wrong_question_is_not_repeated(code: int, kind: type[InvalidInput], field: str) -> None:
    fake = Fake(lambda request: httpx.Response(400, json={"code": code, "msg": "no"}))
    async with fake.client() as client:
        with pytest.raises(kind) as caught:
            await client.depth("NOPE")
    assert caught.value.field == field and len(fake.requests) == 1


async def test_observed_errors_never_pass_for_an_answer(recorded_data: Path) -> None:
    lines = (recorded_data / "payloads/errors-observed.jsonl").read_text().splitlines()
    for entry in map(json.loads, lines):
        status = entry.get("http_status") or 400
        fake = Fake(lambda request, entry=entry, status=status: httpx.Response(status, text=entry.get("body") or ""))
        async with fake.client() as client:
            with pytest.raises((Unavailable, InvalidInput)):
                await client.time()


@pytest.mark.parametrize("body", [[], {}, {"serverTime": "1"}, {"serverTime": True}, "x"])
async def test_an_answer_of_another_shape_is_a_data_error(body: Any) -> None:
    async with Fake(lambda request: ok(body)).client() as client:
        with pytest.raises(DataError):
            await client.time()


async def test_an_endless_body_is_cut_off() -> None:
    async with Fake(lambda request: httpx.Response(200, content=b"1" * (BODY_LIMIT_BYTES + 1))).client() as client:
        with pytest.raises(DataError, match="more than"):
            await client.ping()


@pytest.mark.parametrize(
    "url",
    [
        *("http://data-api.binance.vision", "https://evil.example", "https://data-api.binance.vision.evil.example"),
        *("https://user@data-api.binance.vision", "file:///etc/passwd", "https://169.254.169.254", ""),
    ],
)
def test_only_known_hosts_may_be_called(url: str) -> None:
    if not url:
        assert venue("binance").rest_url == "https://data-api.binance.vision"
        return
    with pytest.raises(InvalidInput) as caught:
        venue("binance", rest_url=url)
    assert caught.value.field == "EXCHANGE_REST_URL"


def test_the_simulated_exchange_is_wherever_it_was_started() -> None:
    assert venue("simulated", rest_url="http://127.0.0.1:5", ws_url="ws://127.0.0.1:5/").ws_url == "ws://127.0.0.1:5"
    with pytest.raises(InvalidInput):
        venue("simulated")
    with pytest.raises(InvalidInput):
        venue("kraken")


def test_stream_names_are_lower_case_and_bounded() -> None:
    names = stream_names(["BTCUSDT"], "1m")
    assert names == ["btcusdt@kline_1m", "btcusdt@bookTicker", "btcusdt@aggTrade", "btcusdt@depth20@100ms"]
    assert combined_url("wss://x", names[:2]) == "wss://x/stream?streams=btcusdt@kline_1m/btcusdt@bookTicker"
    with pytest.raises(InvalidInput):
        combined_url("wss://x", ["a"] * 1025)
