"""WebSocket streams and connections behave as the documents and recordings say."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import orjson
import pytest

from apps.marketdata.exchange.simulated.connection import MAX_QUEUED_FRAMES, Connection, Manners
from tests.marketdata.simulated.conftest import NOON_MS, frames_now

KLINE, TRADES, TICKER, DEPTH = "btcusdt@kline_1m", "btcusdt@aggTrade", "btcusdt@bookTicker", "btcusdt@depth20@100ms"


async def ask(ws: aiohttp.ClientWebSocketResponse, message: object) -> dict:
    await ws.send_str(message if isinstance(message, str) else orjson.dumps(message).decode())
    return orjson.loads((await ws.receive(timeout=2)).data)


async def walk(desk, start_ms: int, stop_ms: int, step_ms: int = 100) -> None:
    for ts_ms in range(start_ms, stop_ms + 1, step_ms):
        await desk.clock.step(ts_ms)


async def test_a_minute_is_streamed_as_it_is_served(open_desk) -> None:
    """Closing frame, trades and books of the stream equal REST, digit by digit."""
    desk = await open_desk(now_ms=NOON_MS)
    ws = await desk.listen(f"/stream?streams={KLINE}/{TRADES}/{TICKER}/{DEPTH}/btcusdt@kline_5m")
    await walk(desk, NOON_MS + 100, NOON_MS + 60_000)
    frames = await frames_now(ws)
    by_name = {name: [f["data"] for f in frames if f["stream"] == name] for name in (KLINE, TRADES, TICKER, DEPTH)}
    _, rows, _ = await desk.get(f"klines?symbol=BTCUSDT&interval=1m&startTime={NOON_MS}&limit=1")
    klines = [frame["k"] for frame in by_name[KLINE]]
    last = klines[-1]
    assert [k["x"] for k in klines] == [False] * 29 + [True]
    assert [last[n] for n in ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q")] == rows[0][:11]
    assert by_name[KLINE][-1]["E"] == NOON_MS + 60_000 and last["T"] == NOON_MS + 59_999
    _, trades, _ = await desk.get(f"aggTrades?symbol=BTCUSDT&startTime={NOON_MS + 1}&endTime={NOON_MS + 60_000}")
    assert [{k: v for k, v in f.items() if k not in "eEs"} for f in by_name[TRADES]] == trades
    assert last["n"] == trades[-2]["l"] - last["f"] + 1 and last["L"] == trades[-2]["l"]
    assert len(by_name[DEPTH]) == 600
    _, depth, _ = await desk.get("depth?symbol=BTCUSDT&limit=20")
    assert by_name[DEPTH][-1] == depth
    ids = [frame["u"] for frame in by_name[TICKER]]
    assert ids == sorted(set(ids)) and 20 < len(ids) < 600
    tops = [(frame["b"], frame["B"], frame["a"], frame["A"]) for frame in by_name[TICKER]]
    assert all(a != b for a, b in zip(tops, tops[1:], strict=False))
    assert [f for f in frames if f["stream"] == "btcusdt@kline_5m"][-1]["data"]["k"]["n"] > 0


async def test_closing_frames_come_before_anything_else_of_their_moment(open_desk) -> None:
    desk = await open_desk(now_ms=NOON_MS + 59_900)
    ws = await desk.listen(f"/stream?streams={DEPTH}/{TRADES}/ethusdt@kline_1m/ethusdt@kline_5m/{KLINE}")
    await desk.clock.step(NOON_MS + 60_000)
    frames = await frames_now(ws)
    assert {f["stream"] for f in frames[:2]} == {KLINE, "ethusdt@kline_1m"}
    assert all(f["data"]["k"]["x"] for f in frames[:2])
    assert not [f for f in frames if f["stream"] == "ethusdt@kline_5m"]


async def test_frames_look_like_the_recorded_ones(open_desk, recorded_data: Path) -> None:
    desk = await open_desk(now_ms=NOON_MS)
    raw = await desk.listen(f"/ws/{KLINE}/{TRADES}/{TICKER}/{DEPTH}")
    await walk(desk, NOON_MS + 1_000, NOON_MS + 4_000, 1_000)
    frames = await frames_now(raw)
    kinds = {frame.get("e") or ("depth" if "bids" in frame else "bookTicker"): frame for frame in frames}
    folder = recorded_data / "payloads" / "ws"
    lines = (folder / "kline-captures" / "btcusdt-kline_5m-2020-05-24.txt").read_text().splitlines()
    recorded = orjson.loads(lines[0])
    assert {k: type(v) for k, v in kinds["kline"]["k"].items()} == {k: type(v) for k, v in recorded["k"].items()}
    assert set(kinds["kline"]) == set(recorded)
    lines = (folder / "frames-crypto-msg-parser.jsonl").read_text().splitlines()
    others = [orjson.loads(line) for line in lines]
    trade = next(frame["data"] for frame in others if "aggTrade" in frame.get("stream", ""))
    depth = next(frame["data"] for frame in others if "depth20" in frame.get("stream", ""))
    assert {k: type(v) for k, v in kinds["aggTrade"].items()} == {k: type(v) for k, v in trade.items()}
    assert set(kinds["depth"]) == set(depth) and set(kinds["bookTicker"]) == {"u", "s", "b", "B", "a", "A"}


async def test_control_messages_are_answered_as_documented(open_desk, recorded_data: Path) -> None:
    desk = await open_desk(now_ms=NOON_MS, manners=Manners(messages_per_s=1000))
    ws = await desk.listen("/ws")
    path = recorded_data / "payloads" / "ws" / "control-messages-documented.jsonl"
    lines = [orjson.loads(line) for line in path.read_text().splitlines()]
    pairs = zip(lines, lines[1:], strict=False)
    talks = [(a["msg"], b["msg"]) for a, b in pairs if a["dir"] == "client" and b["dir"] == "server"]
    assert len(talks) == 5
    for question, expected in talks:
        assert await ask(ws, question) == expected


@pytest.mark.parametrize(
    ("message", "code", "text"),
    [
        ({"method": "GET_PROPERTY", "params": ["color"], "id": 1}, 0, "Unknown property"),
        ({"method": "SET_PROPERTY", "params": ["combined", 1], "id": 1}, 1, "Invalid value type: expected Boolean"),
        (
            {"method": "SET_PROPERTY", "params": ["combined", True, 3], "id": 1},
            2,
            "Invalid request: too many parameters",
        ),
        ({"method": "DANCE", "params": [], "id": 1}, 2, "Invalid request: unknown variant `DANCE`"),
        ({"method": "SUBSCRIBE", "id": 1}, 2, "Invalid request: missing field `params`"),
        ({"method": "SUBSCRIBE", "params": [1], "id": 1}, 2, "Invalid request: params must be an array of strings"),
        ({"method": "SUBSCRIBE", "params": [], "id": 1.5}, 2, "Invalid request: request ID"),
        ({"params": [], "id": 1}, 2, "Invalid request: missing field `method`"),
        ([1], 2, "Invalid request: "),
        ("{no json", 3, "Invalid JSON: expected value at line 1 column"),
    ],
)
async def test_a_wrong_control_message_gets_its_code(open_desk, message: object, code: int, text: str) -> None:
    desk = await open_desk()
    ws = await desk.listen("/ws")
    answer = await ask(ws, message)
    assert answer["code"] == code and answer["msg"].startswith(text)


async def test_subscriptions_begin_and_end_and_stay_bounded(open_desk) -> None:
    desk = await open_desk(now_ms=NOON_MS)
    ws = await desk.listen("/stream")
    assert await ask(
        ws, {"method": "SUBSCRIBE", "params": [DEPTH, "nope@depth20", "BTCUSDT@aggTrade"], "id": "a1"}
    ) == {
        "result": None,
        "id": "a1",
    }
    await desk.clock.step(NOON_MS + 5_000)
    assert {frame["stream"] for frame in await frames_now(ws)} == {DEPTH}
    await ask(ws, {"method": "UNSUBSCRIBE", "params": [DEPTH], "id": 2})
    await desk.clock.step(NOON_MS + 6_000)
    assert await frames_now(ws) == []
    many = [f"s{number}@aggTrade" for number in range(1023)]
    answer = await ask(ws, {"method": "SUBSCRIBE", "params": many, "id": 3})
    assert answer == {"error": {"code": 4, "msg": "Too many subscriptions"}, "id": 3}
    assert (await ask(ws, {"method": "LIST_SUBSCRIPTIONS", "id": 4}))["result"] == ["nope@depth20", "BTCUSDT@aggTrade"]


async def test_slow_and_fast_depth_keep_their_rates(open_desk) -> None:
    desk = await open_desk(now_ms=NOON_MS)
    ws = await desk.listen("/stream?streams=btcusdt@depth5/btcusdt@depth10@100ms")
    await walk(desk, NOON_MS + 100, NOON_MS + 3_000)
    frames = await frames_now(ws)
    slow = [f["data"] for f in frames if f["stream"] == "btcusdt@depth5"]
    fast = [f["data"] for f in frames if f["stream"] == "btcusdt@depth10@100ms"]
    assert (len(slow), len(fast)) == (3, 30) and len(slow[0]["bids"]) == 5 and len(fast[0]["asks"]) == 10


async def test_microsecond_connections_get_microseconds(open_desk) -> None:
    desk = await open_desk(now_ms=NOON_MS)
    micro = await desk.listen(f"/stream?streams={KLINE}&timeUnit=MICROSECOND")
    milli = await desk.listen(f"/ws/{KLINE}")
    await desk.clock.step(NOON_MS + 2_000)
    (first,), (second,) = await frames_now(micro), await frames_now(milli)
    assert first["data"]["k"]["t"] == second["k"]["t"] * 1000 and first["data"]["E"] == second["E"] * 1000
    assert first["data"]["k"]["T"] == (second["k"]["T"] + 1) * 1000 - 1


async def test_a_sixth_message_within_a_second_cuts_the_connection(open_desk) -> None:
    desk = await open_desk()
    ws = await desk.listen("/ws")
    for number in range(5):
        await ws.send_json({"method": "LIST_SUBSCRIPTIONS", "id": number})
    for _ in range(5):
        assert (await ws.receive(timeout=2)).type is aiohttp.WSMsgType.TEXT
    await ws.ping()
    assert (await ws.receive(timeout=2)).type is aiohttp.WSMsgType.CLOSE
    assert ws.close_code == 1008


async def test_who_does_not_answer_pings_is_cut(open_desk) -> None:
    manners = Manners(ping_s=0.05, pong_s=0.2)
    desk = await open_desk(manners=manners)
    polite = await desk.listen("/ws")
    silent = await desk.listen("/ws", autoping=False)
    listening = asyncio.create_task(polite.receive())
    seen = []
    while (message := await silent.receive(timeout=2)).type is aiohttp.WSMsgType.PING:
        seen.append(bytes(message.data))
        await silent.pong(b"")
    assert message.type is aiohttp.WSMsgType.CLOSE and silent.close_code == 1008
    assert message.extra == "Pong timeout" and 3 <= len(seen) <= 5 and all(payload.isdigit() for payload in seen)
    assert not listening.done()
    listening.cancel()


@pytest.mark.parametrize(("notice_s", "is_combined"), [(0.1, False), (0.1, True), (0.0, True)])
async def test_a_connection_ends_after_its_life(open_desk, notice_s: float, is_combined: bool) -> None:
    desk = await open_desk(manners=Manners(life_s=0.3, notice_s=notice_s))
    ws = await desk.listen("/stream" if is_combined else "/ws")
    frames = await frames_now(ws, quiet_s=1.0)
    bodies = [frame["data"] if is_combined else frame for frame in frames]
    assert [body["e"] for body in bodies] == (["serverShutdown"] if notice_s else [])
    assert not is_combined or all(frame["stream"] == "!serverShutdown" for frame in frames)
    assert ws.closed


async def test_a_client_that_does_not_read_is_dropped(open_desk) -> None:
    desk = await open_desk(now_ms=NOON_MS)
    stalled, reading = await desk.listen(f"/stream?streams={DEPTH}"), await desk.listen(f"/stream?streams={DEPTH}")
    stalled._conn.transport.pause_reading()
    connection: Connection = next(iter(desk.exchange._connections))
    most, received = 0, 0
    for step in range(1, 4 * MAX_QUEUED_FRAMES):
        await desk.clock.step(NOON_MS + step * 100)
        most = max([most, *(one.queued for one in desk.exchange._connections)])
        received += (await reading.receive(timeout=2)).type is aiohttp.WSMsgType.TEXT
        if len(desk.exchange._connections) < 2:
            break
    assert connection is not None and len(desk.exchange._connections) == 1
    assert 100 < most <= MAX_QUEUED_FRAMES + 1 and received == step
