"""How does the exchange write down what it saw? Rows and frames, times in the unit asked for."""

from __future__ import annotations

from typing import Any

import orjson

from apps.marketdata.exchange.simulated.bars import BarTable
from apps.marketdata.exchange.simulated.book import Depth, Level
from apps.marketdata.exchange.simulated.diffs import Diff
from apps.marketdata.exchange.simulated.rolling import Day
from apps.marketdata.exchange.simulated.tape import Kline, Trade
from apps.marketdata.exchange.simulated.units import text8

MILLI, MICRO = 1, 1000


def last_moment(close_ms: int, unit: int) -> int:
    """The end of a closed span: ...999 ms, or ...999999 us."""
    return (close_ms + 1) * unit - 1


def kline_rows(table: BarTable, unit: int) -> list[list[Any]]:
    """The twelve columns of GET klines."""
    return [
        [
            bar.open_ms * unit,
            text8(bar.open_e8),
            text8(bar.high_e8),
            text8(bar.low_e8),
            text8(bar.close_e8),
            text8(bar.volume_e8),
            last_moment(bar.close_ms, unit),
            text8(bar.quote_e8),
            bar.trades,
            text8(bar.taker_e8),
            text8(bar.taker_quote_e8),
            "0",
        ]
        for bar in table.rows()
    ]


def kline_frame(symbol: str, interval: str, kline: Kline, now_ms: int, closed: bool, unit: int) -> bytes:
    bar = kline.bar
    body = {
        "t": bar.open_ms * unit,
        "T": last_moment(bar.close_ms, unit),
        "s": symbol,
        "i": interval,
        "f": kline.first_trade_id,
        "L": kline.last_trade_id,
        "o": text8(bar.open_e8),
        "c": text8(bar.close_e8),
        "h": text8(bar.high_e8),
        "l": text8(bar.low_e8),
        "v": text8(bar.volume_e8),
        "n": bar.trades,
        "x": closed,
        "q": text8(bar.quote_e8),
        "V": text8(bar.taker_e8),
        "Q": text8(bar.taker_quote_e8),
        "B": "0",
    }
    return orjson.dumps({"e": "kline", "E": now_ms * unit, "s": symbol, "k": body})


def trade_row(trade: Trade, unit: int) -> dict[str, Any]:
    """One element of GET aggTrades."""
    return {
        "a": trade.agg_id,
        "p": text8(trade.price_e8),
        "q": text8(trade.quantity_e8),
        "f": trade.first_trade_id,
        "l": trade.last_trade_id,
        "T": trade.ts_ms * unit,
        "m": trade.buyer_is_maker,
        "M": True,
    }


def trade_frame(symbol: str, trade: Trade, now_ms: int, unit: int) -> bytes:
    return orjson.dumps({"e": "aggTrade", "E": now_ms * unit, "s": symbol, **trade_row(trade, unit)})


def single_trade_frame(symbol: str, trade: Trade, now_ms: int, unit: int) -> bytes:
    """One trade of its own: the first and last id of the aggregate are the same."""
    body = {
        "t": trade.first_trade_id,
        "p": text8(trade.price_e8),
        "q": text8(trade.quantity_e8),
        "T": trade.ts_ms * unit,
        "m": trade.buyer_is_maker,
        "M": True,
    }
    return orjson.dumps({"e": "trade", "E": now_ms * unit, "s": symbol, **body})


def mini_ticker(symbol: str, day: Day, now_ms: int, unit: int) -> bytes:
    body = {
        "c": text8(day.close_e8),
        "o": text8(day.open_e8),
        "h": text8(day.high_e8),
        "l": text8(day.low_e8),
        "v": text8(day.volume_e8),
        "q": text8(day.quote_e8),
    }
    return orjson.dumps({"e": "24hrMiniTicker", "E": now_ms * unit, "s": symbol, **body})


def diff_frame(symbol: str, diff: Diff, now_ms: int, unit: int) -> bytes:
    head = orjson.dumps({"e": "depthUpdate", "E": now_ms * unit, "s": symbol, "U": diff.first_id, "u": diff.last_id})
    return head[:-1] + f',"b":{_levels(diff.bids)},"a":{_levels(diff.asks)}}}'.encode()


def depth_body(depth: Depth, levels: int) -> bytes:
    """Partial depth, as stream and REST write it: no symbol, no time."""
    bids, asks = _levels(depth.bids[:levels]), _levels(depth.asks[:levels])
    return f'{{"lastUpdateId":{depth.update_id},"bids":{bids},"asks":{asks}}}'.encode()


def book_ticker_frame(symbol: str, depth: Depth) -> bytes:
    (bid, bid_quantity), (ask, ask_quantity) = depth.bids[0], depth.asks[0]
    return orjson.dumps(
        {
            "u": depth.update_id,
            "s": symbol,
            "b": text8(bid),
            "B": text8(bid_quantity),
            "a": text8(ask),
            "A": text8(ask_quantity),
        }
    )


def _levels(levels: list[Level]) -> str:
    # Written by hand: forty levels ten times a second per symbol are most of what the server says.
    return "[" + ",".join([f'["{text8(price)}","{text8(quantity)}"]' for price, quantity in levels]) + "]"
