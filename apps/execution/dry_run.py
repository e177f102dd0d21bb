"""What would the router choose now? The same decision, taken on what is known, and never written."""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS, transaction

from apps.engine.decide import decide
from apps.engine.decision import ARM_N, SOURCE_ROUTER
from apps.engine.errors import Unavailable
from apps.engine.record import sections
from apps.engine.view import View
from apps.execution.account import account_state
from apps.execution.answers import numbers
from apps.execution.assembling import decision_inputs
from apps.execution.controls import controls_read
from apps.execution.desk import prepare
from apps.execution.facts import live_facts
from apps.execution.requests import DecisionRequest
from apps.execution.services import rules_read
from apps.risk.sentinel import sentinel_reason
from apps.web.values import iso_ms


def router_snapshot(symbol: str) -> dict[str, Any]:
    """Choice, posterior and regime of a symbol at its newest view; changes nothing.

    Raises Unavailable before the first view or while the market's time is unknown.
    """
    prepared = prepare(DecisionRequest(symbol=symbol, source=SOURCE_ROUTER, actor="dry-run"))
    if prepared.view is None:
        raise Unavailable(f"{symbol} has no view yet: no bar has been folded")
    facts = live_facts(symbol, seen=prepared.seen, arrival=prepared.seen)
    with transaction.atomic():
        state = account_state(using=DEFAULT_DB_ALIAS)
        filters, facts = rules_read(symbol, state.positions, facts)
        controls = controls_read(symbol=symbol, halted=sentinel_reason(), using=DEFAULT_DB_ALIAS)
        inputs = decision_inputs(
            prepared=prepared,
            facts=facts,
            state=state,
            controls=controls,
            filters=filters,
            attempt=0,
            using=DEFAULT_DB_ALIAS,
        )
    decision = decide(inputs)
    parts = sections(inputs, prepared.view.view, decision)
    policy = numbers(parts["policy"])
    return {
        "symbol": symbol,
        "choice": policy["choice"],
        "posterior": [
            {**numbers(arm), "pulls": pulls, "enabled": arm["gate"] == 0}
            for arm, pulls in zip(parts["policy"]["posterior"], _pulls(prepared.view.view), strict=True)
        ],
        "regime": prepared.view.regime["label"],
        "outcome": parts["outcome"],
        "barOpenTime": iso_ms(prepared.view.view.record.bar_open_ms),
        "ts": iso_ms(facts.ts_ms),
    }


def _pulls(view: View) -> list[float]:
    """Discounted rewards that each arm has learned from; records leave them to their snapshot. Cash learns none."""
    return [*(float(count) for count in view.arms[ARM_N]), 0.0]
