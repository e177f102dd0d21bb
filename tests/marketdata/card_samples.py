"""The states of market data's cards."""

from __future__ import annotations

from typing import Any

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


def prices(*, is_known: bool) -> dict[str, Any]:
    known = {"last_e8": 9_240_012_000_000, "bid_e8": 9_240_000_000_000, "ask_e8": 9_240_100_000_000, "spread_bps": 1.08}
    values = known if is_known else dict.fromkeys(known)
    return {"rows": [{"symbol": name, **values} for name in SYMBOLS], "symbol": "BTCUSDT", "interval": "1m"}


def feed(state: str, trouble: str, age: str, *, is_stale: bool) -> dict[str, Any]:
    ages = {"quote_age": age, "event_age": age, "bar_age": age, "is_stale": is_stale}
    return {
        "state": state,
        "trouble": trouble,
        "rows": [{"symbol": name, **ages} for name in SYMBOLS],
        "silent": age,
        "stale_after_ms": 5000,
        "messages_per_second": 38.2,
        "reconnects": 2,
        "dropped": 0,
        "source": "simulated",
    }


def quality(*, mode: str, pending: int, alerted: int, rows: list[dict[str, Any]]) -> dict[str, Any]:
    counts = {"checked": 21_600, "accepted": 21_597, "quarantined": 3, "confirmed": 1, "replaced": 1}
    return {"mode": mode, **counts, "pending": pending, "alerted": alerted, "rows": rows}


def held(status: str, reason: str, score: float | None, open_time_ms: int | None) -> dict[str, Any]:
    candle = {"symbol": "BTCUSDT", "interval": "1m", "open_time_ms": open_time_ms, "reason": reason, "score": score}
    return {**candle, "status": status, "is_pending": status == "pending", "why": "the two disagree"}


HELD = [
    held("pending", "unreadable", None, None),
    held("replaced", "spike", 31.4, 1_600_000_020_000),
    held("confirmed", "jump", 0.214, 1_600_000_020_000),
]

SAMPLES = {
    "quality": {
        "empty": quality(mode="strict", pending=0, alerted=0, rows=[]),
        "filled": quality(mode="strict", pending=1, alerted=0, rows=HELD),
        "alerted": quality(mode="relaxed", pending=1, alerted=1, rows=HELD),
    },
    "prices": {"empty": prices(is_known=False), "filled": prices(is_known=True)},
    "feed": {
        "empty": feed("disconnected", "Nothing has arrived from the exchange yet.", "—", is_stale=True),
        "filled": feed("live", "", "0.4 s", is_stale=False),
        "stale": feed("stale", "The connection is open, but prices are old.", "34.0 s", is_stale=True),
    },
}
