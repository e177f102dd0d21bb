"""The faults that people can ask the simulated exchange for: how they are named, and what each of them does."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import struct

import aiohttp
import orjson
import pytest

from apps.marketdata.exchange.simulated.connection import Manners
from apps.marketdata.exchange.simulated.faults import KINDS, Setting, parse_faults
from apps.marketdata.exchange.simulated.limits import ConnectionLimits
from apps.marketdata.exchange.simulated.options import DEFAULT_SEED
from tests.marketdata.simulated.conftest import NOON_MS, frames_now

KLINE, TRADES, DEPTH = "btcusdt@kline_1m", "btcusdt@aggTrade", "btcusdt@depth20@100ms"
MINUTE = 60_000


async def walk(desk, stop_ms: int, step_ms: int = 100) -> None:
    for ts_ms in range(desk.clock.now_ms() + step_ms, stop_ms + 1, step_ms):
        await desk.clock.step(ts_ms)


async def klines(desk, path: str = "klines", n: int = 500) -> list[list]:
    return (await desk.get(f"{path}?symbol=BTCUSDT&interval=1m&endTime={NOON_MS - 1}&limit={n}"))[1]


def test_a_spec_names_faults_with_their_chance_and_duration() -> None:
    assert parse_faults("reset:0.01,stall:5s, latency:200ms:1") == {
        "reset": Setting(0.01, 0.0),
        "stall": Setting(KINDS["stall"].chance, 5.0),
        "latency": Setting(1.0, 0.2),
    }


def test_all_means_every_fault_and_later_entries_win() -> None:
    found = parse_faults("all,reset:0,halt:1:2m")
    assert set(found) == set(KINDS) - {"reset"} and found["halt"] == Setting(1.0, 120.0)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("flood", "unknown fault 'flood'"),
        ("reset:2", "reset: '2' is not a chance from 0 to 1"),
        ("reset:5s", "reset: '5s' is not a chance"),
        ("stall:nan", "stall: 'nan' is not a chance from 0 to 1 or a duration"),
        ("stall:-1", "stall: '-1' is not a chance"),
        ("all:0.5", "`all` takes no values"),
    ],
)
def test_a_wrong_spec_is_refused_with_what_is_wrong(spec: str, words: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_faults(spec)
    assert str(refused.value).startswith(words)


async def test_frames_can_come_twice_exchanged_or_never(open_desk) -> None:
    desk = await open_desk(now_ms=NOON_MS, faults=parse_faults("duplicate:0.2,reorder:0.2,lose:0.2"), seed=DEFAULT_SEED)
    ws = await desk.listen(f"/ws/{DEPTH}")
    await walk(desk, NOON_MS + 20_000)
    ids = [frame["lastUpdateId"] for frame in await frames_now(ws)]
    steps = [b - a for a, b in zip(ids, ids[1:], strict=False)]
    assert 0 in steps and -1 in steps and 2 in steps


async def test_garbage_comes_between_frames_and_not_in_place_of_them(open_desk) -> None:
    desk = await open_desk(now_ms=NOON_MS, faults=parse_faults("garbage:0.5"), seed=1)
    ws = await desk.listen(f"/ws/{DEPTH}")
    await walk(desk, NOON_MS + 5_000)
    texts = [(await ws.receive(timeout=1)).data for _ in range(60)]
    good = [text for text in texts if text.startswith('{"lastUpdateId"')]
    assert 20 < len(good) < 50 and len(set(good)) == len(good)


async def test_sliced_frames_arrive_whole(open_desk) -> None:
    desk = await open_desk(now_ms=NOON_MS, faults=parse_faults("slice:1"), manners=Manners(ping_s=0.02))
    ws = await desk.listen(f"/ws/{DEPTH}")
    await walk(desk, NOON_MS + 2_000)
    ids = [frame["lastUpdateId"] for frame in await frames_now(ws)]
    assert ids == list(range(ids[0], ids[0] + 20))


async def test_a_huge_frame_is_two_mebibytes_of_text(open_desk) -> None:
    desk = await open_desk(now_ms=NOON_MS, faults=parse_faults("huge:1"))
    ws = await desk.listen(f"/ws/{DEPTH}", max_msg_size=0)
    await asyncio.sleep(0.05)
    await walk(desk, NOON_MS + 1_000)
    texts = [(await ws.receive(timeout=1)).data for _ in range(10)]
    assert any(len(text) > 2 * 1024 * 1024 for text in texts)


async def test_a_reset_is_no_goodbye(open_desk) -> None:
    desk = await open_desk(now_ms=NOON_MS, faults=parse_faults("reset:1"))
    ws = await desk.listen(f"/ws/{DEPTH}")
    await asyncio.sleep(0.02)
    await walk(desk, NOON_MS + 1_000)
    message = await ws.receive(timeout=1)
    while message.type is aiohttp.WSMsgType.TEXT:
        message = await ws.receive(timeout=1)
    assert ws.close_code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE


async def test_a_half_open_connection_says_nothing_and_is_forgotten_in_the_end(open_desk) -> None:
    manners = Manners(ping_s=0.05, pong_s=0.2)
    desk = await open_desk(now_ms=NOON_MS, faults=parse_faults("half-open:1"), manners=manners)
    ws = await desk.listen(f"/ws/{DEPTH}", autoping=False)
    await asyncio.sleep(0.02)
    await walk(desk, NOON_MS + 1_000)
    assert await frames_now(ws, quiet_s=0.1) == [] and not ws.closed
    await asyncio.sleep(0.4)
    assert not desk.exchange._connections


async def test_a_silent_connection_still_pings(open_desk) -> None:
    desk = await open_desk(now_ms=NOON_MS, faults=parse_faults("silence:1"), manners=Manners(ping_s=0.05))
    ws = await desk.listen(f"/ws/{DEPTH}", autoping=False)
    await asyncio.sleep(0.02)
    await walk(desk, NOON_MS + 1_000)
    assert [(await ws.receive(timeout=1)).type for _ in range(2)] == [aiohttp.WSMsgType.PING] * 2


async def test_a_stall_keeps_the_frames_for_later(open_desk) -> None:
    desk = await open_desk(now_ms=NOON_MS, faults=parse_faults("stall:1:300ms"))
    ws = await desk.listen(f"/ws/{DEPTH}")
    await asyncio.sleep(0.05)
    await walk(desk, NOON_MS + 200)
    with pytest.raises(TimeoutError):
        await ws.receive(timeout=0.15)
    assert len(await frames_now(ws, quiet_s=0.4)) == 2


async def test_late_frames_keep_their_pace(open_desk) -> None:
    desk = await open_desk(now_ms=NOON_MS, faults=parse_faults("latency:1:200ms"))
    ws = await desk.listen(f"/ws/{DEPTH}")
    loop = asyncio.get_running_loop()
    sent = loop.time()
    await walk(desk, NOON_MS + 5_000)
    assert len([await ws.receive(timeout=1) for _ in range(50)]) == 50
    assert 0.2 <= loop.time() - sent < 0.8


async def test_a_swallowed_pong_costs_the_connection(open_desk) -> None:
    manners = Manners(ping_s=0.05, pong_s=0.2)
    desk = await open_desk(faults=parse_faults("swallow-pong:1"), manners=manners)
    ws = await desk.listen("/ws")
    assert (await ws.receive(timeout=2)).extra == "Pong timeout" and ws.close_code == 1008


async def test_a_short_life_is_announced(open_desk) -> None:
    desk = await open_desk(faults=parse_faults("life:300ms"))
    ws = await desk.listen("/ws")
    assert [frame["e"] for frame in await frames_now(ws, quiet_s=1)] == ["serverShutdown"] and ws.closed


async def test_a_wrong_bar_is_wrong_on_the_stream_alone(open_desk) -> None:
    desk = await open_desk(now_ms=NOON_MS, faults=parse_faults("wrong-bar:1"), seed=DEFAULT_SEED)
    ws = await desk.listen(f"/ws/{KLINE}")
    await walk(desk, NOON_MS + 6 * MINUTE, 10_000)
    told = {frame["k"]["t"]: frame["k"] for frame in await frames_now(ws) if frame["k"]["x"]}
    _, rows, _ = await desk.get(f"klines?symbol=BTCUSDT&interval=1m&startTime={NOON_MS}&limit=6")
    differ = [[told[row[0]][name] for name in "ohlc"] != row[1:5] for row in rows]
    assert differ == [True] * 6 and len(told) == 6


async def test_a_late_correction_changes_a_bar_that_was_served(open_desk) -> None:
    desk = await open_desk(now_ms=NOON_MS, faults=parse_faults("late-correction:1:60s"), seed=DEFAULT_SEED)
    ws = await desk.listen(f"/ws/{KLINE}")
    await walk(desk, NOON_MS + MINUTE, 10_000)
    question = f"symbol=BTCUSDT&interval=1m&startTime={NOON_MS}&endTime={NOON_MS}"
    (first,), (truth,) = (await desk.get(f"klines?{question}"))[1], (await desk.get(f"uiKlines?{question}"))[1]
    (told,) = [frame["k"] for frame in await frames_now(ws) if frame["k"]["x"]]
    await desk.clock.step(NOON_MS + 3 * MINUTE)
    (later,) = (await desk.get(f"klines?{question}"))[1]
    assert first != truth and later == truth and told["v"] == first[5] and told["c"] == first[4]


async def test_missing_bars_are_told_nowhere(open_desk) -> None:
    desk = await open_desk(now_ms=NOON_MS, faults=parse_faults("missing-bar:0.3"), seed=DEFAULT_SEED)
    ws = await desk.listen(f"/ws/{KLINE}")
    await walk(desk, NOON_MS + 20 * MINUTE, 10_000)
    told = [frame["k"]["t"] for frame in await frames_now(ws) if frame["k"]["x"]]
    question = f"symbol=BTCUSDT&interval=1m&startTime={NOON_MS}&endTime={NOON_MS + 20 * MINUTE - 1}"
    served = [row[0] for row in (await desk.get(f"klines?{question}"))[1]]
    assert told == served == [row[0] for row in (await desk.get(f"uiKlines?{question}"))[1]] and 8 < len(told) < 20


async def test_a_halt_is_silent_and_leaves_a_hole(open_desk) -> None:
    desk = await open_desk(now_ms=NOON_MS, faults=parse_faults("halt:0.1:3m"), seed=DEFAULT_SEED)
    ws = await desk.listen(f"/stream?streams={KLINE}/{TRADES}/{DEPTH}")
    await walk(desk, NOON_MS + 30 * MINUTE, 10_000)
    frames = await frames_now(ws)
    _, rows, _ = await desk.get(
        f"klines?symbol=BTCUSDT&interval=1m&startTime={NOON_MS}&endTime={NOON_MS + 30 * MINUTE - 1}"
    )
    opens = [row[0] for row in rows]
    assert [f["data"]["k"]["t"] for f in frames if f["stream"] == KLINE and f["data"]["k"]["x"]] == opens
    holes = set(range(NOON_MS, NOON_MS + 30 * MINUTE, MINUTE)) - set(opens)
    traded = {frame["data"]["T"] // MINUTE * MINUTE for frame in frames if frame["stream"] == TRADES}
    assert 3 <= len(holes) < 25 and not traded & holes and traded == set(opens)


async def test_rest_can_answer_with_a_page(open_desk) -> None:
    desk = await open_desk(faults=parse_faults("html:1"))
    seen = set()
    for _ in range(20):
        async with desk.session.get(f"{desk.exchange.rest_url}/api/v3/time") as response:
            assert response.content_type == "text/html" and (await response.text()).startswith("<html>")
            seen.add(response.status)
    assert seen == {403, 503}


async def test_faults_are_drawn_from_the_seed(open_desk) -> None:
    found = []
    for seed in (1, 1, 2):
        desk = await open_desk(now_ms=NOON_MS, faults=parse_faults("missing-bar:0.1,halt:0.05"), seed=seed)
        found.append([row[0] for row in await klines(desk)])
    assert found[0] == found[1] != found[2]


async def test_the_three_hundred_and_first_connection_is_refused(open_desk) -> None:
    desk = await open_desk(connection_limits=ConnectionLimits(3, window_s=0.3))
    for _ in range(3):
        await desk.listen("/ws")
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await desk.listen("/ws")
    assert refused.value.status == 429
    await asyncio.sleep(0.35)
    await desk.listen("/ws")


async def test_a_client_may_leave_at_any_moment_without_a_traceback(open_desk, caplog) -> None:
    desk = await open_desk(now_ms=NOON_MS, manners=Manners(messages_per_s=10_000, ping_s=0.01))
    rng = random.Random(4)
    with caplog.at_level(logging.WARNING):
        for turn in range(30):
            ws = await desk.listen(f"/stream?streams={DEPTH}/{TRADES}")
            for number in range(20):
                await ws.send_bytes(orjson.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
                await ws.ping(b"still there?")
            peer = ws._conn.transport.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await asyncio.sleep(rng.choice((0.0, 0.0005, 0.002)))
            if turn % 3:
                ws._conn.transport.abort()
            else:
                await asyncio.wait_for(ws.close(), 1)
            await desk.clock.step(NOON_MS + (turn + 1) * 1_000)
        await asyncio.sleep(0.1)
    assert [record.message for record in caplog.records] == [] and not desk.exchange._connections
