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


SAMPLES = {
    "prices": {"empty": prices(is_known=False), "filled": prices(is_known=True)},
    "feed": {
        "empty": feed("disconnected", "Nothing has arrived from the exchange yet.", "—", is_stale=True),
        "filled": feed("live", "", "0.4 s", is_stale=False),
        "stale": feed("stale", "The connection is open, but prices are old.", "34.0 s", is_stale=True),
    },
}
