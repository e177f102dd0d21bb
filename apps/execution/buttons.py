"""The button that closes positions, and the card it stands on with those that stop trading."""

from __future__ import annotations

from typing import Any

import orjson
from django.conf import settings
from django.http import HttpResponse
from django.urls import reverse
from rest_framework.request import Request

from apps.dashboard.buttons import ButtonView, told
from apps.engine.reasons import TradingState
from apps.execution import desk
from apps.execution.flattening import FLATTEN_WORD, flatten_decisions
from apps.execution.lifecycle import held_off_list
from apps.risk.selectors import trading_states
from apps.risk.states import DESK, RELEASE_WORD
from apps.web.actors import actor_of
from apps.web.bodies import Field, read_body

TONES = {TradingState.ACTIVE: "good", TradingState.REDUCING: "warn", TradingState.HALTED: "bad"}


class FlattenButton(ButtonView):
    """Close one position, or all of them, and say of each what came of it."""

    def post(self, request: Request) -> HttpResponse:
        body = read_body(
            request,
            Field("reason", "text"),
            Field("confirmation", "text", required=False),
            Field("symbol", "symbol", required=False),
        )
        decisions = flatten_decisions(**body, actor=actor_of(request), key_of=lambda symbol: None)
        records = [orjson.loads(desk.take(decision).body) for decision in decisions]
        if not records:
            return told("Nothing is held and no order is open.", tone="flat")
        is_closed = all(record["status"] in ("filled", "no_trade") for record in records)
        links = [(f"{record['symbol']} record", reverse("decision", args=[record["auditId"]])) for record in records]
        text = " ".join(map(_outcome, records))
        return told(text, tone="good" if is_closed else "warn", links=links)


def _outcome(record: dict[str, Any]) -> str:
    symbol, price = record["symbol"], record["fillPrice"]
    if record["status"] == "filled":
        return f"{symbol} closed at {price}."
    return f"{symbol}: {record['status'].replace('_', ' ')}. {record['detail'] or ''}".strip()


def controls_context() -> dict[str, Any]:
    """What is stopped now, and the scopes that a person may choose."""
    return {
        "states": [
            {
                "name": state.scope or "Desk",
                "state": state.state.name,
                "tone": TONES[state.state],
                "reason": state.reason,
            }
            for scope, state in sorted(trading_states().items())
            if scope == DESK or state.state is not TradingState.ACTIVE
        ],
        "symbols": [*settings.SYMBOLS, *held_off_list()],
        "release_word": RELEASE_WORD,
        "flatten_word": FLATTEN_WORD,
    }
