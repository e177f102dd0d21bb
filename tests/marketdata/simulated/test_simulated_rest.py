"""REST answers as the documents and recordings say."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from apps.marketdata.exchange.simulated.limits import WeightLimits
from tests.marketdata.simulated.conftest import NOON_MS, SYMBOLS

HOUR_MS = 3_600_000
NOW_MS = NOON_MS + 42_345


def shape(value: Any) -> Any:
    """What a body looks like: types all the way down; a list is known by its first element."""
    if isinstance(value, dict):
        return {key: shape(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value and isinstance(value[0], dict | list) else [type(entry) for entry in value]
    return type(value)


async def test_klines_page_without_hole_or_repeat(open_desk) -> None:
    desk = await open_desk(now_ms=NOW_MS)
    start, rows = NOON_MS - 2_500 * 60_000, []
    while True:
        status, page, _ = await desk.get(f"klines?symbol=BTCUSDT&interval=1m&startTime={start}&limit=1000")
        assert status == 200
        if not page:
            break
        rows += page
        start = page[-1][0] + 60_000
    opens = [row[0] for row in rows]
    assert opens == list(range(NOON_MS - 2_500 * 60_000, NOON_MS + 1, 60_000))
    _, newest, _ = await desk.get("klines?symbol=BTCUSDT&interval=1m")
    assert len(newest) == 500 and newest == rows[-500:]


async def test_bounds_of_klines_are_inclusive_and_limits_hold(open_desk) -> None:
    desk = await open_desk(now_ms=NOW_MS)
    base = f"klines?symbol=ETHUSDT&interval=1m&startTime={NOON_MS - 600_000}"
    _, both, _ = await desk.get(f"{base}&endTime={NOON_MS - 300_000}")
    assert [row[0] for row in both] == list(range(NOON_MS - 600_000, NOON_MS - 300_000 + 1, 60_000))
    _, inside, _ = await desk.get(f"klines?symbol=ETHUSDT&interval=1m&startTime={NOON_MS - 599_999}&limit=1")
    assert inside[0][0] == NOON_MS - 540_000
    _, before, _ = await desk.get(f"klines?symbol=ETHUSDT&interval=1m&endTime={NOON_MS - 1}&limit=2")
    assert [row[0] for row in before] == [NOON_MS - 120_000, NOON_MS - 60_000]
    _, capped, _ = await desk.get("klines?symbol=ETHUSDT&interval=1m&limit=5000")
    assert len(capped) == 1000
    assert (await desk.get(f"{base}&endTime={NOON_MS - 700_000}"))[1] == []


async def test_the_last_kline_is_unfinished_until_its_close(open_desk) -> None:
    desk = await open_desk(now_ms=NOW_MS)
    _, early, _ = await desk.get("klines?symbol=BTCUSDT&interval=1m&limit=1")
    await desk.clock.step(NOON_MS + 60_000)
    _, late, _ = await desk.get("klines?symbol=BTCUSDT&interval=1m&limit=2")
    assert early[0][0] == late[0][0] == NOON_MS and early[0][6] == NOON_MS + 59_999
    assert early[0][1] == late[0][1] and float(early[0][5]) < float(late[0][5]) and early[0][8] < late[0][8]
    whole = desk.exchange.tape.market.table("BTCUSDT", NOON_MS, NOON_MS + 60_000).rows()[0]
    assert late[0][8] == whole.trades and late[1][0] == NOON_MS + 60_000


@pytest.mark.parametrize(("interval", "width"), [("5m", 5), ("1h", 60), ("1d", 1440), ("1w", 10080), ("1M", 0)])
async def test_longer_intervals_are_sums_of_minutes(open_desk, interval: str, width: int) -> None:
    desk = await open_desk(now_ms=NOW_MS)
    _, rows, _ = await desk.get(f"klines?symbol=SOLUSDT&interval={interval}&limit=3")
    assert len(rows) == 3
    for row in rows[1:]:
        stop = min(row[6] + 1, NOON_MS)
        minutes = desk.exchange.tape.market.table("SOLUSDT", row[0], stop).rows()
        assert width == 0 or row[6] - row[0] + 1 == width * 60_000
        if stop > NOON_MS - HOUR_MS:
            continue
        assert row[8] == sum(bar.trades for bar in minutes)
        assert round(float(row[2]) * 1e8) == max(bar.high_e8 for bar in minutes)
        assert round(float(row[5]) * 1e8) == sum(bar.volume_e8 for bar in minutes)
    opened = {"1w": 4 * 86_400_000, "1M": rows[1][0]}.get(interval, 0)
    assert width == 0 or (rows[0][0] - opened) % (width * 60_000) == 0
    _, again, _ = await desk.get(f"klines?symbol=SOLUSDT&interval={interval}&startTime={rows[0][0]}")
    assert again == rows


async def test_agg_trades_page_by_id_and_by_time(open_desk) -> None:
    desk = await open_desk(now_ms=NOW_MS)
    _, newest, _ = await desk.get("aggTrades?symbol=BTCUSDT&limit=150")
    assert len(newest) == 150 and newest[-1]["T"] <= NOW_MS < newest[-1]["T"] + 2_000
    ids = [trade["a"] for trade in newest]
    assert ids == list(range(ids[0], ids[0] + 150))
    _, by_id, _ = await desk.get(f"aggTrades?symbol=BTCUSDT&fromId={ids[40]}&limit=50")
    assert by_id == newest[40:90]
    _, by_time, _ = await desk.get(f"aggTrades?symbol=BTCUSDT&startTime={newest[10]['T']}&endTime={newest[20]['T']}")
    assert by_time == newest[10:21]
    assert all(a["l"] + 1 == b["f"] for a, b in zip(newest, newest[1:], strict=False) if a["a"] % 60 != 59)


async def test_shapes_equal_the_recorded_ones(open_desk, recorded_data: Path) -> None:
    desk = await open_desk(now_ms=NOW_MS)
    saved = recorded_data / "payloads" / "rest" / "spot-2021-10"
    for name, path in (
        ("klines", "klines?symbol=BTCUSDT&interval=1m&limit=10"),
        ("agg_trades", "aggTrades?symbol=BTCUSDT&limit=10"),
        ("book_ticker", "ticker/bookTicker?symbol=BTCUSDT"),
    ):
        assert shape((await desk.get(path))[1]) == shape(orjson.loads((saved / f"{name}.json").read_bytes())), name


@pytest.mark.parametrize(
    ("cassette", "path"),
    [
        ("get_depth_error", "depth?symbol=IDONTEXIST&limit=1000"),
        ("get_klines_interval_err", "klines?symbol=BTCUSDT&interval=1"),
        ("ping_ok", "ping"),
    ],
)
async def test_bodies_equal_the_cassettes(open_desk, recorded_data: Path, cassette: str, path: str) -> None:
    desk = await open_desk()
    tape = orjson.loads((recorded_data / "payloads" / "rest" / "cassettes" / f"{cassette}.json").read_bytes())
    recorded = tape[0]["response"]
    status, body, headers = await desk.get(path)
    assert (status, body) == (recorded["status_code"], orjson.loads(recorded["body"]))
    assert headers["Content-Type"].replace(" ", "") in (
        recorded["headers"]["Content-Type"],
        "application/json;charset=UTF-8",
    )
    assert {name for name in recorded["headers"] if name.startswith("x-mbx-used")} <= set(headers)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("klines?interval=1m", -1102),
        ("klines?symbol=BTCUSDT", -1102),
        ("klines?symbol=btcusdt&interval=1m", -1100),
        ("klines?symbol=BTCUSDT&interval=1M1", -1120),
        ("klines?symbol=BTCUSDT&interval=1m&limit=0", -1130),
        ("klines?symbol=BTCUSDT&interval=1m&limit=ten", -1100),
        ("klines?symbol=BTCUSDT&interval=1m&startTime=-1", -1100),
        ("klines?symbol=BTCUSDT&interval=1m&color=red", -1104),
        ("klines?symbol=BTCUSDT&symbol=BTCUSDT&interval=1m", -1101),
        ("ticker/price?symbol=BTCUSDT&symbols=[]", -1128),
        ("ticker/price?symbols=BTCUSDT", -1100),
        ("aggTrades?symbol=BTCUSDT&fromId=1&startTime=1", -1128),
        ("exchangeInfo?symbol=NOPE", -1121),
        ("depth?symbol=BTCUSDT&limit=x", -1100),
    ],
)
async def test_a_bad_request_gets_its_code(open_desk, path: str, code: int) -> None:
    desk = await open_desk()
    status, body, headers = await desk.get(path)
    assert (status, body["code"]) == (400, code) and set(body) == {"code", "msg"}
    assert int(headers["x-mbx-used-weight-1m"]) > 0


async def test_an_unknown_path_is_html(open_desk) -> None:
    desk = await open_desk()
    async with desk.session.get(desk.exchange.rest_url + "/api/v3/nothing") as response:
        assert response.status == 404 and response.content_type == "text/html"


async def test_exchange_info_has_limits_and_filters(open_desk) -> None:
    desk = await open_desk()
    _, info, _ = await desk.get("exchangeInfo")
    assert [entry["symbol"] for entry in info["symbols"]] == list(SYMBOLS)
    assert {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000} in info[
        "rateLimits"
    ]
    filters = {entry["filterType"]: entry for entry in info["symbols"][0]["filters"]}
    assert filters["PRICE_FILTER"]["tickSize"] == "0.01000000" and filters["LOT_SIZE"]["stepSize"] == "0.00001000"
    assert filters["MARKET_LOT_SIZE"]["stepSize"] == "0.00000000" and filters["NOTIONAL"]["minNotional"] == "5.00000000"
    assert {"bidMultiplierUp", "askMultiplierDown", "avgPriceMins"} <= set(filters["PERCENT_PRICE_BY_SIDE"])
    _, one, _ = await desk.get('exchangeInfo?symbols=["SOLUSDT"]')
    assert [entry["symbol"] for entry in one["symbols"]] == ["SOLUSDT"]


async def test_tickers_agree_with_book_and_trades(open_desk) -> None:
    desk = await open_desk(now_ms=NOW_MS)
    _, depth, _ = await desk.get("depth?symbol=SOLUSDT&limit=100")
    _, ticker, _ = await desk.get("ticker/bookTicker?symbol=SOLUSDT")
    _, price, _ = await desk.get("ticker/price?symbol=SOLUSDT")
    _, trades, _ = await desk.get("aggTrades?symbol=SOLUSDT&limit=1")
    _, average, _ = await desk.get("avgPrice?symbol=SOLUSDT")
    assert len(depth["bids"]) == len(depth["asks"]) == 100
    assert [ticker["bidPrice"], ticker["bidQty"]] == depth["bids"][0]
    assert [ticker["askPrice"], ticker["askQty"]] == depth["asks"][0]
    assert price["price"] == trades[0]["p"] == (depth["bids"] if trades[0]["m"] else depth["asks"])[0][0]
    assert abs(float(average["price"]) / float(price["price"]) - 1) < 0.05 and average["mins"] == 5
    _, every, _ = await desk.get("ticker/price")
    assert [entry["symbol"] for entry in every] == list(SYMBOLS)


async def test_microseconds_on_request(open_desk) -> None:
    desk = await open_desk(now_ms=NOW_MS)
    _, milli, _ = await desk.get(f"klines?symbol=BTCUSDT&interval=1m&startTime={NOON_MS}")
    _, micro, _ = await desk.get(
        f"klines?symbol=BTCUSDT&interval=1m&startTime={NOON_MS * 1000}", **{"X-MBX-TIME-UNIT": "MICROSECOND"}
    )
    assert micro[0][0] == milli[0][0] * 1000 and micro[0][6] == (milli[0][6] + 1) * 1000 - 1
    assert micro[0][1:6] == milli[0][1:6]


async def test_weights_are_counted_refused_and_banned(open_desk) -> None:
    wall = [999_999_990.0]
    desk = await open_desk(limits=WeightLimits(60, first_ban_s=120.0, clock=lambda: wall[0]))
    for path, used in (
        ("time", 1),
        ("klines?symbol=BTCUSDT&interval=1m&limit=1", 3),
        ("depth?symbol=BTCUSDT&limit=100", 8),
        ("depth?symbol=BTCUSDT&limit=101", 33),
        ("exchangeInfo", 53),
        ("ticker/price", 57),
        ("ticker/price?symbol=BTCUSDT", 59),
    ):
        assert (await desk.get(path))[2]["x-mbx-used-weight-1m"] == str(used), path
    status, body, headers = await desk.get("aggTrades?symbol=BTCUSDT")
    assert (status, body["code"]) == (429, -1003) and "Too much request weight used" in body["msg"]
    assert int(headers["Retry-After"]) == 31
    wall[0] += 31
    assert (await desk.get("ping"))[0] == 200
    statuses = [(await desk.get("depth?symbol=BTCUSDT&limit=1000"))[0] for _ in range(14)]
    assert statuses[0] == 200 and statuses[1] == 429 and statuses[-1] == 418
    status, body, headers = await desk.get("ping")
    assert status == 418 and int(headers["Retry-After"]) == 121
    assert f"banned until {int((wall[0] + 120) * 1000)}" in body["msg"]
    wall[0] += 120
    assert (await desk.get("ping"))[0] == 200


async def test_a_long_window_does_not_stop_the_loop(open_desk) -> None:
    desk = await open_desk(now_ms=NOW_MS)
    request = asyncio.create_task(desk.get("klines?symbol=BTCUSDT&interval=1d&limit=60"))
    turns = 0
    while not request.done():
        await asyncio.sleep(0.005)
        turns += 1
    status, rows, _ = await request
    assert status == 200 and len(rows) == 60 and turns > 10
