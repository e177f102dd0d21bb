"""The card of the forecasts: do rewards fall where they were expected, and has the desk seen such a market before?"""

from __future__ import annotations

from typing import Any

from django.conf import settings

from apps.dashboard import cards
from apps.strategy.selectors import coverage_current, situation_current

TARGET = 0.9


def forecasts_context() -> dict[str, Any]:
    """Coverage of each arm's forecasts by symbol, and how new each symbol's situation is."""
    found = {symbol: {arm["policy_id"]: arm for arm in coverage_current(symbol)} for symbol in settings.SYMBOLS}
    names = list(dict.fromkeys(name for arms in found.values() for name in arms))
    rows = [{"name": name, "cells": [_cell(found[symbol].get(name)) for symbol in settings.SYMBOLS]} for name in names]
    return {
        "symbols": list(settings.SYMBOLS),
        "rows": rows,
        "situations": [_situation(symbol) for symbol in settings.SYMBOLS],
        "alerts": sum(cell["tone"] != "" for row in rows for cell in row["cells"]),
        "target": TARGET,
    }


def _cell(arm: dict[str, Any] | None) -> dict[str, Any]:
    if arm is None:
        return {"coverage": None, "why": "no forecast yet", "tone": ""}
    return {
        "coverage": arm["coverage"],
        "why": arm["reason"] if arm["coverage"] is None else "",
        "tone": "warn" if arm["alert"] else "",
    }


def _situation(symbol: str) -> dict[str, Any]:
    embedding = situation_current(symbol).embedding
    is_new = embedding.novelty is not None and embedding.novelty > 1.0
    return {"novelty": embedding.novelty, "why": embedding.reason, "tone": "warn" if is_new else ""}


cards.register(
    cards.Card(
        "forecasts", "Forecasts", "strategy/cards/forecasts.html", forecasts_context, order=95, span=12, ttl_s=5.0,
        query_budget=2 * len(settings.SYMBOLS),
    )
)  # fmt: skip
