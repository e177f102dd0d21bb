"""The settings of the bench's desk."""

from __future__ import annotations

N_SYMBOLS = 8


def symbol_names() -> list[str]:
    return [f"BENCH{number}USDT" for number in range(N_SYMBOLS)]


def bench_environment() -> dict[str, str]:
    """No wait for a later book, no band around a target, and limits that do not get in the way."""
    return {
        "SYMBOLS": ",".join(symbol_names()),
        "ENTRY_LATENCY_MS": "0",
        "REBALANCE_BAND": "0",
        "ORDERS_PER_MINUTE": "60",
        "REPEAT_ORDERS": "0",
        "INITIAL_CASH": "10000000",
        "MAX_NOTIONAL": "8000000",
        "SYMBOL_NOTIONAL_CAP": "1000000",
        "MAX_ORDER_NOTIONAL": "0",
        "HORIZON_BARS": "5",
        "AUTOPILOT": "false",
        "LOG_LEVEL": "ERROR",
    }
