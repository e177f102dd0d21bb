"""The states of the guards card."""

from __future__ import annotations

from typing import Any

EMPTY: dict[str, Any] = {
    "state": "HALTED",
    "tone": "bad",
    "meaning": "Nothing passes but a confirmed flatten.",
    "why": "the controls were never seeded (unknown)",
    "symbols": [],
    "rows": [],
    "as_of_ms": None,
    "max_drawdown_bps": 500,
    "window_trades": 50,
    "breaker": None,
    "latches": [],
    "blocked": 0,
}
FILLED: dict[str, Any] = {
    **EMPTY,
    "state": "REDUCING",
    "tone": "warn",
    "symbols": [{"symbol": "SOLUSDT", "state": "HALTED", "tone": "bad", "why": "delisting (owner:alice)"}],
    "rows": [{"name": "All symbols", "used": "97,480", "limit": "250,000", "share": 0.39}],
    "as_of_ms": 1_767_625_387_000,
    "breaker": {
        "is_tripped": True,
        "tripped_at_ms": 1_767_625_000_000,
        "until_ms": 1_767_625_900_000,
        "drawdown_bps": 512,
    },
    "latches": [
        {
            "name": "hard drawdown",
            "symbol": "",
            "reason": "equity is 10.40 % below its peak, limit 10.00 %",
            "since_ms": 1_767_625_000_000,
            "until_ms": 0,
        },
        {
            "name": "daily loss",
            "symbol": "",
            "reason": "the day has lost 3.10 %, limit 3.00 %",
            "since_ms": 1_767_624_000_000,
            "until_ms": 1_767_657_600_000,
        },
    ],
    "blocked": 3,
}
REARMED = {**FILLED, "breaker": {**FILLED["breaker"], "is_tripped": False}}
SAMPLES = {"guards": {"empty": EMPTY, "filled": FILLED, "re-armed": REARMED}}
