"""The streams beside klines, aggregate trades and partial books: book updates, single trades, mini tickers."""

from __future__ import annotations

import orjson

from apps.marketdata.exchange.simulated.book import update_id_at
from apps.marketdata.exchange.simulated.diffs import DIFF_LEVELS
from tests.marketdata.simulated.conftest import NOON_MS, SYMBOLS, frames_now

DAY_MS = 86_400_000


async def walk(desk, stop_ms: int, step_ms: int = 100) -> None:
    for ts_ms in range(desk.clock.now_ms() + step_ms, stop_ms + 1, step_ms):
        await desk.clock.step(ts_ms)


async def test_a_book_kept_from_its_updates_is_the_served_book(open_desk) -> None:
    """The documented procedure: buffer, snapshot, drop what is old, apply the rest, each U after the last u."""
    desk = await open_desk(now_ms=NOON_MS)
    ws = await desk.listen("/ws/btcusdt@depth@100ms")
    await walk(desk, NOON_MS + 1_000)
    _, snapshot, _ = await desk.get(f"depth?symbol=BTCUSDT&limit={DIFF_LEVELS}")
    await walk(desk, NOON_MS + 20_000)
    events = [event for event in await frames_now(ws) if event["u"] > snapshot["lastUpdateId"]]
    book = {side: dict(snapshot[side]) for side in ("bids", "asks")}
    last = snapshot["lastUpdateId"]
    for event in events:
        assert event["U"] == last + 1 and set(event) == {"e", "E", "s", "U", "u", "b", "a"}
        last = event["u"]
        for side, key in (("bids", "b"), ("asks", "a")):
            book[side] |= dict(event[key])
    kept = {side: {p: q for p, q in levels.items() if q != "0.00000000"} for side, levels in book.items()}
    _, served, _ = await desk.get(f"depth?symbol=BTCUSDT&limit={DIFF_LEVELS}")
    assert last == served["lastUpdateId"] == update_id_at(NOON_MS + 20_000) and len(events) == 190
    assert kept == {side: dict(served[side]) for side in ("bids", "asks")}


async def test_slow_book_updates_cover_the_ids_of_their_second(open_desk) -> None:
    desk = await open_desk(now_ms=NOON_MS)
    ws = await desk.listen("/ws/btcusdt@depth")
    await walk(desk, NOON_MS + 4_000)
    events = await frames_now(ws)
    assert [(event["U"], event["u"]) for event in events] == [
        (update_id_at(NOON_MS + second * 1_000) + 1, update_id_at(NOON_MS + (second + 1) * 1_000))
        for second in range(1, 4)
    ]


async def test_single_trades_add_up_to_the_aggregates(open_desk) -> None:
    desk = await open_desk(now_ms=NOON_MS)
    ws = await desk.listen("/stream?streams=btcusdt@trade/btcusdt@aggTrade")
    await walk(desk, NOON_MS + 10_000)
    frames = await frames_now(ws)
    single = [f["data"] for f in frames if f["stream"] == "btcusdt@trade"]
    whole = [f["data"] for f in frames if f["stream"] == "btcusdt@aggTrade"]
    assert [trade["t"] for trade in single] == [n for trade in whole for n in range(trade["f"], trade["l"] + 1)]
    assert sum(_e8(trade["q"]) for trade in single) == sum(_e8(trade["q"]) for trade in whole)
    assert {trade["e"] for trade in single} == {"trade"} and len(single) > len(whole) > 5


async def test_mini_tickers_roll_over_a_day(open_desk) -> None:
    desk = await open_desk(now_ms=NOON_MS)
    one, every = await desk.listen("/ws/btcusdt@miniTicker"), await desk.listen("/ws/!miniTicker@arr")
    await walk(desk, NOON_MS + 3_000)
    told, batches = await frames_now(one), await frames_now(every)
    question = f"symbol=BTCUSDT&interval=1m&startTime={NOON_MS - DAY_MS}"
    rows = [(await desk.get(f"klines?{question}&limit=1000"))[1]]
    rows.append((await desk.get(f"klines?symbol=BTCUSDT&interval=1m&startTime={rows[0][-1][0] + 1}"))[1])
    bars = rows[0] + rows[1]
    ticker = told[-1]
    assert len(bars) == 1441 and len(told) == 3 and ticker["E"] == NOON_MS + 3_000
    assert (ticker["o"], ticker["c"]) == (bars[0][1], bars[-1][4])
    assert _e8(ticker["h"]) == max(_e8(bar[2]) for bar in bars)
    assert _e8(ticker["l"]) == min(_e8(bar[3]) for bar in bars)
    assert _e8(ticker["v"]) == sum(_e8(bar[5]) for bar in bars)
    assert [[entry["s"] for entry in batch] for batch in batches] == [list(SYMBOLS)] * 3
    assert batches[-1][0] == ticker and orjson.dumps(batches[-1])


def _e8(text: str) -> int:
    return int(text.replace(".", ""))
