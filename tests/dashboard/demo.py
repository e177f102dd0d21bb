"""A desk for the tests to look at: cards of every shape, on values that a real app would select."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apps.dashboard.cards import CARDS, Card
from apps.dashboard.header import CLOCKS, PILLS, Clock, ClockState, Pill, PillState
from apps.engine.registry import Registry

TEMPLATES = Path(__file__).parent / "templates"
NOW_MS = 1_767_625_387_000
E8 = 100_000_000


def equity() -> dict[str, Any]:
    rows = [
        (
            NOW_MS - (240 - minute) * 60_000,
            (1_000_000 + round(900 * math.sin(minute / 37) + 9 * minute)) * E8,
            (1_000_000 + round(1500 * math.sin(minute / 29))) * E8,
        )
        for minute in range(240)
    ]
    return {"equity_e8": rows[-1][1], "pnl_e8": rows[-1][1] - 1_000_000 * E8, "drawdown_bps": 42, "rows": rows}


def positions() -> dict[str, Any]:
    lines = [("BTCUSDT", 31_200_000, 9_240_012_000_000, 4_312_000_000), ("ETHUSDT", -120_000_000, 321_055_000_000, -1)]
    rows = [
        {
            "symbol": symbol,
            "quantity_e8": quantity,
            "mark_e8": mark,
            "notional_e8": abs(quantity * mark // E8),
            "pnl_e8": pnl * (1 if pnl > 0 else 1_822_000_000),
            "history": [math.sin(index / 3) * pnl for index in range(30)],
        }
        for symbol, quantity, mark, pnl in lines
    ]
    rows.append({"symbol": "SOLUSDT", "quantity_e8": 0, "mark_e8": None, "notional_e8": 0, "pnl_e8": 0, "history": [1]})
    return {"rows": rows, "share": 0.81, "cap": "250,000 USDT"}


def prices() -> dict[str, Any]:
    quotes = [("BTCUSDT", 9_240_012_000_000), ("ETHUSDT", 321_055_000_000), ("SOLUSDT", 18_764_000_000)]
    rows = [{"symbol": name, "last_e8": last, "bid_e8": last - E8, "ask_e8": last + E8} for name, last in quotes]
    return {"rows": rows, "symbol": "BTCUSDT", "interval": "1m", "data_age_ms": 480, "stale_after_ms": 5000}


def decisions() -> dict[str, Any]:
    lines = [
        ("BTCUSDT", "ema_cross", "buy", 1_250_000, "filled", "good", "signal"),
        ("ETHUSDT", "boll_revert", "sell", 40_000_000, "filled", "good", "signal"),
        ("SOLUSDT", "cash", "", 0, "no trade", "", "already at the target"),
        ("BTCUSDT", "vol_target", "buy", 0, "blocked", "bad", "symbol_cap"),
    ]
    return {
        "rows": [
            {"ts_ms": NOW_MS - 60_000 * (index // 3), "symbol": symbol, "policy": policy, "side": side}
            | {"size_e8": size, "status": status, "tone": tone, "reason": reason, "audit_id": f"a{index}"}
            for index, (symbol, policy, side, size, status, tone, reason) in enumerate(lines * 3)
        ]
    }


def broken() -> dict[str, Any]:
    raise LookupError("the sizing table is empty")


def empty() -> dict[str, Any]:
    return {"rows": []}


DEMO_CARDS = (
    Card("demo-equity", "Equity", "demo/equity.html", equity, order=1, span=7),
    Card("demo-prices", "Prices", "demo/prices.html", prices, order=2, span=5),
    Card("demo-decisions", "Last decisions", "demo/decisions.html", decisions, order=3, span=7),
    Card("demo-positions", "Positions", "demo/positions.html", positions, order=4, span=5),
    Card("demo-empty", "Orders", "demo/decisions.html", empty, order=5, span=4),
    Card("demo-broken", "Sizing", "demo/equity.html", broken, order=6, span=4),
)
DEMO_PILLS = (
    Pill("trading", "Trading", lambda: PillState("ACTIVE", "good", "All symbols may trade", "/api/guards/state")),
)
DEMO_CLOCK = Clock(lambda: ClockState(NOW_MS, 1.0))


@contextmanager
def only(registry: Registry[Any], *entries: Any) -> Iterator[None]:
    """The registry holds just these entries while the block runs."""
    before = dict(registry._entries)
    registry._entries.clear()
    try:
        for entry in entries:
            registry.register(entry)
        yield
    finally:
        registry._entries.clear()
        registry._entries.update(before)


@contextmanager
def demo_desk(*cards: Card) -> Iterator[None]:
    """A desk of only these cards (all the demo's by default), with a pill and a clock, and nothing rendered yet."""
    from apps.dashboard.fragments import CACHE

    shown = cards or DEMO_CARDS
    with only(CARDS, *shown), only(PILLS, *DEMO_PILLS), only(CLOCKS, DEMO_CLOCK):
        CACHE.clear()
        try:
            yield
        finally:
            CACHE.clear()
