"""The states of the forecasts card."""

from __future__ import annotations

from typing import Any

UNKNOWN = {"coverage": None, "why": "12 of 500 forecasts judged", "tone": ""}
EMPTY: dict[str, Any] = {
    "symbols": ["BTCUSDT", "ETHUSDT"],
    "rows": [],
    "situations": [{"novelty": None, "why": "its projection has not been fitted", "tone": ""}] * 2,
    "alerts": 0,
    "target": 0.9,
}
FILLED: dict[str, Any] = {
    **EMPTY,
    "rows": [
        {"name": "donchian", "cells": [{"coverage": 0.904, "why": "", "tone": ""}, UNKNOWN]},
        {"name": "tsmom", "cells": [{"coverage": 0.862, "why": "", "tone": "warn"}, UNKNOWN]},
    ],
    "situations": [{"novelty": 1.31, "why": "", "tone": "warn"}, {"novelty": 0.42, "why": "", "tone": ""}],
    "alerts": 1,
}
SAMPLES = {"forecasts": {"empty": EMPTY, "filled": FILLED}}
