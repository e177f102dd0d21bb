"""The states of execution's cards."""

from __future__ import annotations

from typing import Any

NOW_MS = 1_767_625_380_000
E8 = 10**8
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")

EQUITY: dict[str, Any] = {
    "rows": [(NOW_MS - 60_000, 10**14, 10**14), (NOW_MS, 10**14 + 5 * E8, 10**14 - 7 * E8)],
    "equity_e8": 10**14 + 4 * E8,
    "pnl_e8": 4 * E8,
    "pnl_share": 0.000004,
    "hold_pnl_e8": -7 * E8,
    "hold_pnl_share": -0.000007,
    "drawdown": 0.0001,
    "exposure_e8": 12_345 * E8,
    "exposure_share": 0.012345,
    "cash_e8": 987_655 * E8,
    "fees_e8": 12 * E8,
    "started_ts_ms": NOW_MS - 3_600_000,
    "data_age_ms": 300,
    "stale_after_ms": 5000,
}
EQUITY_EMPTY: dict[str, Any] = {**dict.fromkeys(EQUITY), "rows": [], "stale_after_ms": 5000}


def position(symbol: str, quantity_e8: int, **changes: Any) -> dict[str, Any]:
    flat = {"notional_e8": 0, "unrealized_e8": 0, "realized_e8": 0, "fees_e8": 0, "entry": "—", "mark": "92,400.12"}
    return {"symbol": symbol, "quantity_e8": quantity_e8, "is_reduce_only": False, **flat, **changes}


SUMS = {"notional_e8": 0, "unrealized_e8": 0, "realized_e8": 0, "fees_e8": 0}
AGES = {"data_age_ms": 300, "stale_after_ms": 5000}
SIZING = {
    "symbol": "BTCUSDT",
    "policy": "ema_cross",
    "signal": 0.72,
    "base_e8": 71_419 * E8,
    "width": 0.4398,
    "sigmoid": 0.3917,
    "weight": 0.3333,
    "target_e8": 1_250_000,
    "is_cash": False,
}
HELD = position("BTCUSDT", 1_250_000, notional_e8=1_155 * E8, unrealized_e8=-3 * E8, entry="92,640.00", fees_e8=E8)
POSITIONS: dict[str, Any] = {
    "rows": [HELD, position("ETHUSDT", 0), position("SOLUSDT", 0, mark="—")],
    "places": 4,
    "sums": {**SUMS, "notional_e8": 1_155 * E8, "unrealized_e8": None},
    "sizings": [SIZING, {**SIZING, "symbol": "ETHUSDT", "policy": "cash", "signal": 0.0, "is_cash": True}],
    **AGES,
}
POSITIONS_EMPTY = {
    "rows": [position(name, 0) for name in SYMBOLS],
    "places": 0,
    "sums": SUMS,
    "sizings": [],
    "data_age_ms": None,
    "stale_after_ms": 5000,
}

CELL = {"probability": 0.62, "mean": 0.031, "sd": 0.11, "is_chosen": True, "closed": ""}
ROUTER: dict[str, Any] = {
    "symbols": [
        {"symbol": "BTCUSDT", "regime": "bull trend", "ts_ms": NOW_MS, "audit_id": "ad1", "is_router_on": False},
        {"symbol": "ETHUSDT", "regime": None, "ts_ms": None, "audit_id": None, "is_router_on": True},
    ],
    "arms": [
        {"name": "ema_cross", "cells": [CELL, None]},
        {"name": "vol_target", "cells": [{**CELL, "is_chosen": False, "closed": "warming up"}, None]},
        {"name": "cash", "cells": [{**CELL, "mean": 0.0, "sd": 0.0}, None]},
    ],
    "horizon_bars": 5,
}
ROUTER_EMPTY = {**ROUTER, "arms": []}

BOUGHT = {
    "ts_ms": NOW_MS,
    "audit_id": "ad1",
    "symbol": "BTCUSDT",
    "policy": "ema_cross",
    "side": "BUY",
    "status": "Bought",
    "tone": "good",
    "signal": 0.72,
    "size_e8": 1_250_000,
    "is_sent": True,
    "price": "92,400.12",
    "slippage_bps": 1.1,
    "why": "Target 0.0125, held 0.",
}
NOTHING = {"price": "—", "slippage_bps": None, "is_sent": False}
BLOCKED = {**BOUGHT, **NOTHING, "policy": "a person", "status": "Blocked", "tone": "warn", "signal": None}
NO_TRADE = {**BOUGHT, **NOTHING, "side": "", "status": "No trade", "tone": "", "size_e8": None}
DECISIONS = {"rows": [BOUGHT, BLOCKED, NO_TRADE], "places": 4}

HONESTY: dict[str, Any] = {
    "rules": [{"name": "depth", "n": 7, "share": 0.7}, {"name": "queue", "n": 2, "share": 0.2},
              {"name": "through", "n": 1, "share": 0.1}],
    "n_fills": 10, "closed": 6, "missed": 1, "missed_share": 1 / 6, "shortfall_bps": 1.25, "n_costs": 5, "large": 0,
    "large_share": 0.0, "n_sized": 6,
}  # fmt: skip
HONESTY_EMPTY: dict[str, Any] = {
    **HONESTY, "rules": [{"name": "depth", "n": 0, "share": None}], "n_fills": 0, "closed": 0, "missed": 0,
    "missed_share": None, "shortfall_bps": None, "n_costs": 0, "large_share": None, "n_sized": 0,
}  # fmt: skip

CONTROLS: dict[str, Any] = {
    "states": [
        {"name": "Desk", "state": "REDUCING", "tone": "warn", "reason": "thin books"},
        {"name": "SOLUSDT", "state": "HALTED", "tone": "bad", "reason": "delisting"},
    ],
    "symbols": list(SYMBOLS),
    "release_word": "RELEASE",
    "flatten_word": "FLATTEN",
}
CONTROLS_EMPTY: dict[str, Any] = {
    **CONTROLS,
    "states": [{"name": "Desk", "state": "HALTED", "tone": "bad", "reason": "the controls were never seeded"}],
    "symbols": [],
}

SAMPLES = {
    "controls": {"empty": CONTROLS_EMPTY, "filled": CONTROLS},
    "honesty": {"empty": HONESTY_EMPTY, "filled": HONESTY},
    "equity": {"empty": EQUITY_EMPTY, "filled": EQUITY},
    "positions": {"empty": POSITIONS_EMPTY, "filled": POSITIONS},
    "router": {"empty": ROUTER_EMPTY, "filled": ROUTER},
    "decisions": {"empty": {"rows": [], "places": 0}, "filled": DECISIONS},
}
