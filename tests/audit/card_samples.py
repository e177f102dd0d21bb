"""The states of the audit card."""

from __future__ import annotations

from typing import Any

EMPTY: dict[str, Any] = {"sequence": 0, "record_hash": None, "verified": None, "since": None, "rows": []}
ROW = {
    "audit_id": "ad6e61bb01eee88315f30831",
    "sequence": 42,
    "ts_ms": 1_767_625_387_000,
    "kind": "execution.decision",
    "symbol": "BTCUSDT",
    "actor": "autopilot",
    "record_hash": "d7c38c90" * 8,
}
FILLED: dict[str, Any] = {"sequence": 42, "record_hash": "d7c38c90" * 8, "verified": 40, "since": 2, "rows": [ROW]}
SAMPLES = {"audit": {"empty": EMPTY, "filled": FILLED, "unverified": {**FILLED, "verified": None, "since": None}}}
