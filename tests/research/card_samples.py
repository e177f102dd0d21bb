"""The states of the card of backtests."""

from __future__ import annotations

from typing import Any

ROW = {
    **{"run_id": "bt_434c42e121997726a5ef78", "symbol": "BTCUSDT", "interval": "1m", "policy": "router"},
    **{"fills": "base", "span": "2024-01-01 to 2024-02-01", "trades": 111, "return_tone": "down"},
    **{"return_text": "\u22120.50\u202f%", "hold_text": "+21.17\u202f%", "sharpe_text": "\u22123.17"},
    "drawdown_text": "\u22120.65\u202f%",
}
UNDEFINED = {**ROW, "trades": 0, "return_tone": "flat", "return_text": "—", "sharpe_text": "—", "drawdown_text": "—"}
SAMPLES: dict[str, dict[str, Any]] = {
    "backtests": {"empty": {"rows": []}, "filled": {"rows": [ROW]}, "undefined": {"rows": [UNDEFINED, ROW]}}
}
