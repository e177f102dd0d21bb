"""The frame parser, against recorded frames and against broken ones."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from apps.engine.errors import DataError, InvalidInput
from apps.marketdata.exchange.frames import (
    MOST_STREAMS,
    AggTradeEvent,
    BadKline,
    BookTickerEvent,
    ControlEvent,
    DepthEvent,
    FrameParser,
    KlineEvent,
    ShutdownEvent,
)
from apps.marketdata.exchange.rules import rules_of

KLINE = {
    **{"e": "kline", "E": 1653818762502, "s": "BTCUSDT"},
    "k": {
        **{"t": 1653818760000, "T": 1653818819999, "s": "BTCUSDT", "i": "1m", "f": 1, "L": 2, "o": "29038.46000000"},
        **{"c": "29038.47000000", "h": "29038.47000000", "l": "29038.46000000", "v": "0.20926000", "n": 31, "x": True},
        **{"q": "6076.58918320", "V": "0.10436000", "Q": "3030.45472920", "B": "0"},
    },
}

TICKER = {"u": 7, "s": "BTCUSDT", "b": "29038.46000000", "B": "0.5", "a": "29038.47000000", "A": "2.00000000"}
TRADE = {
    **{"e": "aggTrade", "E": 1653818762502, "s": "BTCUSDT", "a": 9, "p": "29038.46000000", "q": "0.00100000"},
    **{"f": 1, "l": 2, "T": 1653818762501, "m": True, "M": True},
}
DEPTH = {
    "lastUpdateId": 11,
    "bids": [["29038.46000000", "1.00000000"], ["29038.45000000", "0.00000000"]],
    "asks": [["29038.47000000", "3.25000000"]],
}
STREAMS = {
    "btcusdt@kline_1m": KLINE,
    "btcusdt@bookTicker": TICKER,
    "btcusdt@aggTrade": TRADE,
    "btcusdt@depth20@100ms": DEPTH,
}


def wrapped(stream: str) -> bytes:
    return json.dumps({"stream": stream, "data": STREAMS[stream]}, separators=(",", ":")).encode()


def parse(frame: object, *, stream: str = "") -> object:
    return FrameParser().parse(json.dumps({"stream": stream, "data": frame} if stream else frame))


def test_recorded_frames_of_each_kind(recorded_data: Path) -> None:
    frames = (recorded_data / "payloads/ws/frames-crypto-msg-parser.jsonl").read_text().splitlines()
    trade, depth, ticker, kline = (FrameParser().parse(frame) for frame in frames)
    assert trade == AggTradeEvent("BTCUSDT", 1616176861895, 640283266, 5_894_201_000_000, 35_600, 1616176861893, False)
    assert isinstance(depth, DepthEvent)
    assert depth.symbol == "ETHUSDT" and depth.update_id == 17044571457
    assert depth.bids[0] == (178_200_000_000, 648_300_000) and depth.asks[0] == (178_201_000_000, 1_546_080_000)
    assert ticker is None
    assert isinstance(kline, KlineEvent)
    assert (kline.open_time_ms, kline.close_time_ms, kline.event_ms) == (1653818760000, 1653818819999, 1653818762502)
    assert (kline.low_e8, kline.trades, kline.closed) == (2_903_846_000_000, 31, False)


def test_a_combined_recording_is_read_whole(recorded_data: Path) -> None:
    lines = (recorded_data / "payloads/ws/cryptofeed-20211012/combined-stream.txt").read_text().splitlines()[1:]
    parser = FrameParser()
    events = [parser.parse(line.partition(": ")[2]) for line in lines if "{" in line]
    kinds = Counter(type(event).__name__ for event in events)
    assert kinds == {"NoneType": 177, "BookTickerEvent": 84, "AggTradeEvent": 2, "KlineEvent": 2}
    assert parser.unknown == {"depthUpdate": 177}


def test_a_busy_recording_is_read_whole(recorded_data: Path) -> None:
    parser = FrameParser()
    with gzip.open(recorded_data / "payloads/ws/hft-2024-08-08/btcusdt_20240808.gz", "rt") as lines:
        frames = [line.partition(" ")[2] for line in islice(lines, 8, 10_000)]
    tickers = [event for frame in frames if isinstance(event := parser.parse(frame), BookTickerEvent)]
    assert len(tickers) > 5_000
    assert all(0 < ticker.bid_e8 < ticker.ask_e8 for ticker in tickers)
    assert [ticker.update_id for ticker in tickers] == sorted(ticker.update_id for ticker in tickers)


def test_raw_kline_recordings_close_one_bar(recorded_data: Path) -> None:
    lines = (recorded_data / "payloads/ws/kline-captures/btcusdt-kline_5m-2020-05-24.txt").read_text().splitlines()
    events = [event for line in lines if isinstance(event := FrameParser().parse(line), KlineEvent)]
    closed = [event for event in events if event.closed]
    assert len(events) == 33 and len(closed) == 1
    assert closed[0].close_time_ms == closed[0].open_time_ms + 299_999


def test_control_frames(recorded_data: Path) -> None:
    lines = (recorded_data / "payloads/ws/control-messages-documented.jsonl").read_text().splitlines()
    messages = [entry["msg"] for line in lines if (entry := json.loads(line))["dir"] == "server"]
    events = [parse(message) for message in messages]
    assert events[0] == ControlEvent(1, "")
    assert events[5:7] == [ShutdownEvent(1770123456789)] * 2
    assert events[-1] == ControlEvent(None, "3: Invalid JSON: expected value at line %s column %s")
    old = {"error": {"code": 4, "msg": "Too many subscriptions"}, "id": 19}
    assert parse(old) == ControlEvent(19, "4: Too many subscriptions")


def test_letter_case_tells_keys_apart() -> None:
    event = parse(KLINE, stream="btcusdt@kline_1m")
    assert isinstance(event, KlineEvent)
    assert event.close_time_ms - event.open_time_ms == 59_999
    assert event.volume_e8 == 20_926_000


def test_unknown_kinds_are_counted_and_bounded() -> None:
    parser = FrameParser()
    for number in range(200):
        assert parser.parse(json.dumps({"e": f"new{number}", "E": 1})) is None
    assert parser.unknown.total() == 200
    assert len(parser.unknown) == 51


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "not json",
        "[1]",
        '"text"',
        '{"stream":"btcusdt@kline_1m","data":null}',
        '{"stream":"btcusdt@kline_1m"}',
        '{"e":["kline"]}',
        '{"e":"kline","E":1,"s":"B","k":5}',
        '{"lastUpdateId":1,"bids":[],"asks":[]}',
        '{"stream":"x@depth20","data":{"lastUpdateId":1.5,"bids":[],"asks":[]}}',
        '{"stream":"x@depth20","data":{"lastUpdateId":1,"bids":[["1"]],"asks":[]}}',
        '{"stream":"x@bookTicker","data":{"u":1,"s":"X","b":"NaN","B":"1","a":"1","A":"1"}}',
        json.dumps({**KLINE, "E": "1653818762502"}),
        json.dumps({**KLINE, "k": {**KLINE["k"], "x": 1}}),
        json.dumps({**KLINE, "k": {**KLINE["k"], "o": "1e-9"}}),
        json.dumps({**KLINE, "k": {**KLINE["k"], "t": -1}}),
        '{"e":"aggTrade","E":1,"s":"X","a":1,"p":"0","q":"1","T":1,"m":false}',
    ],
)
def test_a_malformed_frame_is_named_not_guessed(frame: str) -> None:
    with pytest.raises(DataError):
        FrameParser().parse(frame)


def outcome(read: Callable[[bytes], object], frame: bytes) -> object:
    """The event, or the kind and words of the refusal."""
    try:
        return read(frame)
    except DataError as error:
        return type(error), str(error)


@pytest.mark.parametrize("stream", STREAMS)
def test_a_well_formed_frame_is_read_in_one_typed_pass(stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    careful = FrameParser()._read_with_care(wrapped(stream))
    monkeypatch.setattr(FrameParser, "_read_with_care", None)
    parser = FrameParser()
    for frame in (wrapped(stream), wrapped(stream).decode(), wrapped(stream)):
        event = parser.parse(frame)
        assert event == careful and type(event) is type(careful)


def test_the_typed_pass_accepts_nothing_that_the_careful_one_reads_otherwise() -> None:
    seed = random.randrange(2**32)
    draws, pieces = (
        random.Random(seed),
        [b'"', b"0", b"-", b".", b"e", b"1e2", b"null", b"true", b"[]", b",", b" ", b"u"],
    )
    frames = [wrapped(stream) for stream in STREAMS]
    parser, n_events = FrameParser(), 0
    for _ in range(20_000):
        frame = bytearray(draws.choice(frames))
        for _ in range(draws.randint(1, 3)):
            at = draws.randrange(len(frame))
            frame[at : at + draws.randint(0, 3)] = draws.choice(pieces)
        got, due = outcome(parser.parse, bytes(frame)), outcome(FrameParser()._read_with_care, bytes(frame))
        assert got == due and type(got) is type(due), f"seed {seed}: {bytes(frame)!r}"
        n_events += isinstance(got, (KlineEvent, BookTickerEvent, AggTradeEvent, DepthEvent))
    assert n_events > 1_000, f"seed {seed}"


def test_a_payload_is_what_it_says_whatever_its_stream_is_called() -> None:
    payloads = [
        *STREAMS.values(),
        {**TICKER, "e": "new"},
        {**TICKER, "e": None},
        {**DEPTH, **TICKER},
        {**TRADE, "e": 5},
    ]
    frames = [json.dumps({"stream": name, "data": data}).encode() for name in STREAMS for data in payloads]
    read = [outcome(FrameParser().parse, frame) for frame in frames]
    assert read == [outcome(FrameParser()._read_with_care, frame) for frame in frames]
    assert {type(event) for event in read} >= {KlineEvent, BookTickerEvent, AggTradeEvent, DepthEvent, type(None)}


def test_every_recorded_frame_reads_the_same_in_both_passes(recorded_data: Path) -> None:
    combined = (recorded_data / "payloads/ws/cryptofeed-20211012/combined-stream.txt").read_text().splitlines()
    frames = [line.partition(": ")[2].encode() for line in combined if "{" in line]
    with gzip.open(recorded_data / "payloads/ws/hft-2024-08-08/btcusdt_20240808.gz", "rt") as lines:
        frames += [line.partition(" ")[2].encode() for line in islice(lines, 8, 5_000)]
    parser, careful = FrameParser(), FrameParser()
    assert [outcome(parser.parse, frame) for frame in frames] == [
        outcome(careful._read_with_care, frame) for frame in frames
    ]
    assert parser.unknown == careful.unknown


@pytest.mark.parametrize(
    ("change", "opened", "closed"),
    [
        ({"c": "NaN"}, 1653818760000, True),
        ({"v": None}, 1653818760000, True),
        ({"h": "1e-9"}, 1653818760000, True),
        ({"t": "1653818760000"}, None, True),
        ({"t": -1}, None, True),
        ({"x": "true"}, 1653818760000, None),
        ({"n": 1.5, "x": False}, 1653818760000, False),
    ],
)
def test_a_kline_that_cannot_be_read_says_which_bar_it_meant(
    change: dict[str, object], opened: int | None, closed: bool | None
) -> None:
    frame = json.dumps({"stream": "btcusdt@kline_1m", "data": {**KLINE, "k": {**KLINE["k"], **change}}})
    with pytest.raises(BadKline) as caught:
        FrameParser().parse(frame)
    bad = caught.value
    assert (bad.symbol, bad.interval, bad.open_time_ms, bad.closed) == ("BTCUSDT", "1m", opened, closed)
    assert bad.raw == frame


@pytest.mark.parametrize(
    "rest", ["null}", '{"e":"kline","E":1,"k":5}}', '{"k":{"c":NaN}}}', '{"e":"kline","k":{"t":\ud800'], ids=str
)
def test_a_kline_without_a_readable_body_is_known_by_its_stream(rest: str) -> None:
    with pytest.raises(BadKline) as caught:
        FrameParser().parse('{"stream":"ethusdt@kline_5m","data":' + rest)
    bad = caught.value
    assert (bad.symbol, bad.interval, bad.open_time_ms, bad.closed) == ("ETHUSDT", "5m", None, None)


def test_other_broken_frames_are_no_klines() -> None:
    for frame in ("garbage", '{"stream":"x@aggTrade","data":{"e":"aggTrade"}}', '{"e":"serverShutdown"}'):
        with pytest.raises(DataError) as caught:
            FrameParser().parse(frame)
        assert not isinstance(caught.value, BadKline)


def test_what_a_hostile_frame_can_cost_is_bounded() -> None:
    parser = FrameParser()
    nested = '{"stream":"x@aggTrade","data":{"e":"aggTrade","deep":' + "[" * 100_000 + "]" * 100_000 + "}}"
    with pytest.raises(DataError):
        parser.parse(nested)
    for number in range(3_000):
        with pytest.raises(DataError):
            parser.parse(f'{{"stream":"s{number}@aggTrade","data":{{}}')
    assert len(parser._typed) <= MOST_STREAMS
    assert parser.parse(json.dumps({"e": "x" * 10_000})) is None
    assert parser.unknown == {"x" * 40: 1}


@pytest.mark.parametrize(
    ("file", "n_symbols"),
    [("exchangeInfo-2021-10-12.json.gz", 1695), ("exchangeInfo-2024-09-08-testnet-like.json.gz", 1248)],
)
def test_recorded_rules_are_read_or_refused_by_name(recorded_data: Path, file: str, n_symbols: int) -> None:
    entries = json.loads(gzip.decompress((recorded_data / "payloads/rest" / file).read_bytes()))["symbols"]
    assert len(entries) == n_symbols
    read, refused = {}, {}
    for entry in entries:
        try:
            read[entry["symbol"]] = rules_of(entry)
        except InvalidInput as error:
            refused[entry["symbol"]] = str(error)
    btc = read["BTCUSDT"].filters
    assert (btc.tick_e8, btc.step_e8, btc.min_notional_e8 >= 5 * 10**8) == (1_000_000, 1_000, True)
    assert all(rules.filters.is_exact() for rules in read.values())
    assert all(name in why for name, why in refused.items())
    assert "ETHBTC" in refused and len(refused) < 0.2 * n_symbols
    assert read["BTCUSDT"].base_asset == "BTC" and read["BTCUSDT"].status == "TRADING"
