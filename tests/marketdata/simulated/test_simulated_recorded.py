"""A recorded market lives through the bars of its file: exactly, gaps included, on a clock of its own."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import numpy as np
import orjson
import pytest

from apps.engine.errors import DataError
from apps.marketdata.exchange.simulated.clock import RecordedClock
from apps.marketdata.exchange.simulated.klinefile import read_klines
from apps.marketdata.exchange.simulated.payloads import depth_body
from apps.marketdata.exchange.simulated.recorded import RecordedMarket
from apps.marketdata.exchange.simulated.tape import Tape
from apps.marketdata.exchange.simulated.units import text8
from tests.marketdata.simulated.conftest import frames_now

START_MS = 1_600_000_020_000
FULL = (
    "open_time,open,high,low,close,volume,close_time,quote_asset_volume,number_of_trades,"
    "taker_buy_base_volume,taker_buy_quote_volume"
)


def a_row(minute: int, *, trades: int = 9, scale: int = 1, volume: str = "1.5") -> str:
    opened = (START_MS + minute * 60_000) * scale
    price = 100 + minute % 7
    closed = opened + 60_000 * scale - 1
    return f"{opened},{price},{price + 2}.25,{price - 1}.5,{price + 1},{volume},{closed},150.25,{trades},0.7,70.1"


def a_file(folder: Path, minutes: range | list[int], **options: object) -> Path:
    path = folder / "BTCUSDT-1m-test.csv"
    path.write_text("\n".join([FULL, *(a_row(minute, **options) for minute in minutes)]) + "\n")
    return path


def a_market(path: Path, seed: int = 1) -> RecordedMarket:
    return RecordedMarket(read_klines(path), seed=seed)


def test_every_layout_says_the_same(tmp_path: Path) -> None:
    rows = [a_row(minute) for minute in range(5)]
    plain = a_file(tmp_path, range(5))
    (tmp_path / "BTCUSDT-raw.csv").write_text("\n".join(row + ",0" for row in rows))
    (tmp_path / "BTCUSDT-us.csv").write_text("\n".join(a_row(minute, scale=1000) + ",0" for minute in range(5)))
    (tmp_path / "BTCUSDT-a.csv.gz").write_bytes(gzip.compress(plain.read_bytes()))
    with zipfile.ZipFile(tmp_path / "BTCUSDT-a.zip", "w") as archive:
        archive.write(plain, "BTCUSDT.csv")
    expected = read_klines(plain).bars
    for name in ("BTCUSDT-raw.csv", "BTCUSDT-us.csv", "BTCUSDT-a.csv.gz", "BTCUSDT-a.zip"):
        found = read_klines(tmp_path / name)
        assert found.symbol == "BTCUSDT"
        assert all((a == b).all() for a, b in zip(found.bars, expected, strict=True)), name


def test_a_short_layout_is_completed_from_its_trades(tmp_path: Path) -> None:
    path = tmp_path / "ETHUSDT-1m.csv"
    path.write_text("timestamp,open,high,low,close,volume\n" + ",".join(a_row(0).split(",")[:6]) + "\n")
    bar = a_market(path).table("ETHUSDT", 0, 2 * START_MS).rows()[0]
    assert bar.close_ms == START_MS + 59_999 and bar.volume_e8 == 150_000_000
    assert bar.trades == 60 and 0 < bar.taker_e8 < bar.volume_e8 and 99 < bar.quote_e8 / bar.volume_e8 < 103


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("1600000020000,100,99,98,100,1", "contradict"),
        ("1600000020000,nan,101,98,100,1", "not a decimal"),
        ("1600000020000,100,101,98", "too few columns"),
        ("x,100,101,98,100,1", "invalid literal"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path: Path, row: str, reason: str) -> None:
    path = tmp_path / "BTCUSDT-1m.csv"
    path.write_text("open_time,open,high,low,close,volume\n1600000000000,1,1,1,1,1\n" + row + "\n")
    with pytest.raises(DataError, match=rf"BTCUSDT-1m.csv, line 3: .*{reason}"):
        read_klines(path)


@pytest.mark.parametrize("trades", [2, 4, 9, 5000])
def test_the_trades_of_a_bar_keep_to_it(tmp_path: Path, trades: int) -> None:
    path_of_file = tmp_path / "BTCUSDT-1m.csv"
    lines = [a_row(minute, trades=trades) for minute in range(40)]
    if trades == 2:
        lines = [line.replace(".25,", ",", 1) for line in lines]
        lines = [
            ",".join([*cells[:2], cells[4], cells[1], *cells[4:]]) for cells in (line.split(",") for line in lines)
        ]
    path_of_file.write_text("\n".join([FULL, *lines]))
    market = a_market(path_of_file)
    for bar in market.table("BTCUSDT", 0, 2 * START_MS).rows():
        path = market.path("BTCUSDT", bar.open_ms)
        assert path.n == min(trades, 60)
        assert (path.price_e8[0], path.price_e8[-1]) == (bar.open_e8, bar.close_e8)
        assert (path.price_e8.max(), path.price_e8.min()) == (bar.high_e8, bar.low_e8)
        assert path.quantity_e8.sum() == bar.volume_e8 and (path.quantity_e8 > 0).all()
        assert path.counts.sum() == trades and path.times[0] == bar.open_ms and path.times[-1] <= bar.close_ms


def test_file_and_seed_make_the_trades(tmp_path: Path) -> None:
    path = a_file(tmp_path, range(3))

    def prices(seed: int) -> list[int]:
        return a_market(path, seed).path("BTCUSDT", START_MS).price_e8.tolist()

    assert prices(1) == prices(1) != prices(2)


def test_a_bar_without_volume_has_no_trades(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-1m.csv"
    path.write_text(f"{FULL}\n{START_MS},7,7,7,7,0,{START_MS + 59_999},0,0,0,0\n")
    tape = Tape(a_market(path))
    kline = tape.running("BTCUSDT", "1m", START_MS + 30_000)
    assert kline is not None and kline.bar.close_e8 == 700_000_000 and kline.bar.volume_e8 == 0
    assert (kline.first_trade_id, kline.last_trade_id) == (-1, -1)
    assert list(tape.trades("BTCUSDT", 0, START_MS + 60_000)) == []


@pytest.mark.parametrize("speed", [5.0, 50.0, 0.0])
def test_the_clock_is_slow_after_closes_and_fast_elsewhere(tmp_path: Path, speed: float) -> None:
    market = a_market(a_file(tmp_path, range(4)))
    clock = RecordedClock(market, history=2, speed=speed)
    now, pace = clock.now_ms(), {}
    assert now == market.ends[1]
    for step in clock._all_steps():
        assert step.ts_ms > now
        within = (now - START_MS) % 60_000
        slow = within < 2_000
        rate = (step.ts_ms - now) / 1000.0 / step.wait_s if step.wait_s else float("inf")
        pace.setdefault(slow, set()).add(round(rate, 6))
        assert not slow or step.ts_ms - now <= 100
        now = step.ts_ms
    assert now == market.ends[3] + 2_000
    assert pace[True] <= {min(speed or 10.0, 10.0), 10.0}
    assert pace[False] == {speed or float("inf")}


def test_a_jump_stops_shortly_before_the_close(tmp_path: Path) -> None:
    market = a_market(a_file(tmp_path, [0, 1, 30]))
    marks = [step.ts_ms for step in RecordedClock(market, history=1, speed=0)._all_steps()]
    for row in (1, 2):
        assert market.ends[row] in marks and market.ends[row] - 200 in marks
        inside = [mark for mark in marks if market.open_at(row) + 2_000 < mark < market.ends[row]]
        assert 4 <= len(inside) <= 10
    gap = [mark for mark in marks if market.ends[1] + 2_000 < mark < market.open_at(2)]
    assert gap == []


async def test_every_bar_of_the_file_is_streamed_and_served_exactly(open_desk, tmp_path: Path) -> None:
    """Ninety bars at jump speed; the file is the oracle, digit by digit. A gap of ten bars stays silent."""
    minutes = [*range(80), *range(90, 100)]
    path = a_file(tmp_path, minutes, volume="3.00000001")
    market = a_market(path)
    ended: list[int] = []
    # Slow phases of 2 s would take 200 ms per bar; the schedule has its own test.
    clock = RecordedClock(market, history=10, speed=0)
    steps = [step._replace(wait_s=0.0) for step in clock._all_steps()]
    clock._steps = iter(steps)
    desk = await open_desk(
        market=market, clock=clock, wait_for_client=True, is_paced=True, on_end=lambda ts_ms: ended.append(ts_ms)
    )
    assert (await desk.get("time"))[1] == {"serverTime": market.ends[9]}
    ws = await desk.listen("/stream?streams=btcusdt@depth5@100ms")
    assert await frames_now(ws) == [] and desk.clock.now_ms() == market.ends[9]
    await ws.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@kline_1m", "btcusdt@aggTrade"], "id": 1})
    frames = await frames_now(ws, quiet_s=0.5)
    assert ended == [market.ends[-1] + 2_000] and not ws.closed
    closing = [f["data"]["k"] for f in frames if f.get("stream") == "btcusdt@kline_1m" and f["data"]["k"]["x"]]
    order = ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q")
    expected = []
    for line in path.read_text().splitlines()[1:]:
        cells = line.split(",")
        texts = [text8(round(float(cell) * 1e8)) for cell in cells]
        expected.append(
            [int(cells[0]), *texts[1:6], int(cells[6]), texts[7], int(cells[8]), *texts[9:11]],
        )
    assert [[k[name] for name in order] for k in closing] == expected[10:]
    _, rows, _ = await desk.get("klines?symbol=BTCUSDT&interval=1m&limit=1000")
    assert [row[:11] for row in rows] == expected and all(row[11] == "0" for row in rows)
    halt = range(market.ends[79] + 1, market.open_at(80))
    assert not [f for f in frames if f.get("data", {}).get("E", 0) in halt]
    traded = [f["data"]["a"] for f in frames if f.get("stream") == "btcusdt@aggTrade"]
    # The first trade of the first new bar happened at the very moment the clock stood at.
    assert traded == sorted(set(traded)) and len(traded) == 80 * 9 - 1
    _, hours, _ = await desk.get("klines?symbol=BTCUSDT&interval=1h&limit=5")
    assert sum(row[8] for row in hours) == 90 * 9


@pytest.mark.real
def test_a_real_day_with_a_halt(recorded_data: Path) -> None:
    market = a_market(recorded_data / "klines" / "raw-dump" / "BTCUSDT-1m-2020-02-19.csv.gz")
    tape, end = Tape(market), market.ends[-1]
    bars = tape.klines("BTCUSDT", "1m", 0, None, 1000, end)
    assert bars.n == 1000 and market.n == 1086
    short = tape.klines("BTCUSDT", "1m", 1_582_112_100_000, None, 2, end).rows()
    assert short[0].close_ms - short[0].open_ms == 32_286 and short[1].open_ms - short[0].open_ms == 355 * 60_000
    halted = short[0].close_ms + 3_600_000
    assert tape.running("BTCUSDT", "1m", halted) is None and tape.depth("BTCUSDT", 5, halted) is not None
    assert tape.depth("BTCUSDT", 5, halted) == tape.depth("BTCUSDT", 5, halted + 60_000)
    hour = tape.closed("BTCUSDT", "1h", short[1].open_ms, short[1].open_ms + 60_000)
    assert [kline.bar.open_ms for kline in hour] == [1_582_110_000_000]


@pytest.mark.real
def test_the_recorded_files_can_all_be_lived_through(recorded_data: Path) -> None:
    for name in ("XMRBTC-1m-2021-04-20_2021-05-20.csv.gz", "DOGEUSDT-1m-2021-04-20_2021-05-20.csv.gz"):
        market = a_market(recorded_data / "klines" / "1m" / name)
        spec = market.specs[market.symbol]
        assert spec.tick_e8 * spec.step_e8 % 10**8 == 0
        for row in range(0, market.n, 4001):
            bar, path = market._row(row), market.path(market.symbol, market.open_at(row))
            assert path.n == 0 or path.quantity_e8.sum() == bar.volume_e8
            assert path.n == 0 or (path.price_e8.max(), path.price_e8.min()) == (bar.high_e8, bar.low_e8)
            assert np.all(path.quantity_e8 > 0)


def test_an_answer_of_the_book_is_json(tmp_path: Path) -> None:
    depth = Tape(a_market(a_file(tmp_path, range(2)))).depth("BTCUSDT", 20, START_MS + 61_000)
    body = orjson.loads(depth_body(depth, 5))
    assert len(body["bids"]) == len(body["asks"]) == 5 and body["lastUpdateId"] == (START_MS + 61_000) // 100
