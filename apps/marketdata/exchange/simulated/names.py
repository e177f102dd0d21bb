"""What does a stream's name ask for?"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass, field

from apps.marketdata.exchange.simulated.book import TICK_MS

SLOW_DEPTH_MS = 1_000
ALL_MINI_TICKERS = "!miniTicker@arr"
_NAME = re.compile(
    r"(?P<symbol>[a-z0-9\-_.]{1,20})@(?:"
    r"kline_(?P<interval>\w+)|depth(?P<levels>5|10|20)?(?:@(?P<pace>100ms|1000ms))?"
    r"|(?P<kind>aggTrade|trade|bookTicker|miniTicker))",
    re.ASCII,
)


@dataclass
class Plan:
    """The streams of one symbol that somebody listens to; partial depth as (levels, milliseconds between frames)."""

    klines: dict[str, str] = field(default_factory=dict)
    depths: dict[str, tuple[int, int]] = field(default_factory=dict)
    diffs: dict[str, int] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)  # by kind


def add_to(plans: dict[str, Plan], name: str, *, symbols: Container[str], intervals: Container[str]) -> None:
    """Note what this name asks for. A name that means nothing asks for nothing."""
    match = _NAME.fullmatch(name)
    symbol = match["symbol"].upper() if match else ""
    if match is None or symbol not in symbols:
        return
    plan = plans.setdefault(symbol, Plan())
    every_ms = TICK_MS if match["pace"] == "100ms" else SLOW_DEPTH_MS
    if match["interval"]:
        if match["interval"] in intervals:
            plan.klines[name] = match["interval"]
    elif match["kind"]:
        plan.others[match["kind"]] = name
    elif match["levels"]:
        plan.depths[name] = (int(match["levels"]), every_ms)
    else:
        plan.diffs[name] = every_ms
