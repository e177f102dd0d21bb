"""The outputs of a decision as sections of its record, under the names of the contract: for people and for replay."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

from apps.engine.codec import float_text
from apps.engine.decimals import e8_text
from apps.engine.decision import (
    ARM_A,
    ARM_B,
    ARM_H,
    ARM_LOC,
    ARM_SIGNAL,
    SOURCE_ROUTER,
    Decision,
    DecisionInputs,
)
from apps.engine.embedding import UNFITTED, Embedding
from apps.engine.gate import GATE_GUARDS
from apps.engine.order_record import ledger_out, step_out
from apps.engine.order_types import effective_time_in_force
from apps.engine.policies import arms
from apps.engine.reasons import REASON_TEXT, Reason, Status, Verdict
from apps.engine.regime import LABELS
from apps.engine.values import Filters
from apps.engine.view import View

ARM_NAMES = (*(policy.policy_id for policy in arms()), "cash")
NO_VIEW = "the decision rests on no view"
SOURCES = ("router", "person", "flatten")
# Sections of a decision record that replay recomputes and compares.
OUTPUT_SECTIONS = ("policy", "sizing", "guards", "order", "fills", "position", "rehearsal", "outcome")
_VERDICTS = {verdict.value: verdict.name for verdict in Verdict}
# What records of orders that are no market orders hold besides.
PLACED_SECTIONS = ("placed", "ledger")


def sections(inputs: DecisionInputs, view: View | None, decision: Decision) -> dict[str, Any]:
    """The outputs of a decision as the record's sections, under the names of the contract."""
    found: dict[str, Any] = _camel(
        {
            "policy": _policy(inputs, view, decision),
            "sizing": _sizing(inputs, decision),
            "guards": _guards(decision),
            "order": _order(inputs, decision),
            "fills": _fills(inputs, decision),
            "position": _position(inputs, decision),
            "rehearsal": _rehearsal(inputs, decision),
            "outcome": _outcome(inputs, decision),
        }
    )
    if decision.step is not None and decision.ledger is not None:
        found["placed"], found["ledger"] = step_out(decision.step), ledger_out(decision.ledger)
    return found


def context_section(
    inputs: DecisionInputs, view: View | None, embedding: Embedding = UNFITTED
) -> dict[str, Any]:  # fmt: skip
    """What the decision saw, for people: nothing in it decides, so replay has nothing to compare in it."""
    tick = inputs.filters.tick_e8
    quote = None
    if len(inputs.seen_bids) and len(inputs.seen_asks):
        bid, ask = int(inputs.seen_bids[0, 0]) * tick, int(inputs.seen_asks[0, 0]) * tick
        quote = {"bid": e8_text(bid), "ask": e8_text(ask), "ts_ms": inputs.seen_ts_ms}
    context: dict[str, Any] = {
        "quote": quote,
        "data_age_ms": inputs.desk.data_age_ms,
        **_embedding(embedding if view is not None else Embedding(None, NO_VIEW)),
    }
    if view is not None:
        context["bar"] = {"open_ms": view.record.bar_open_ms, "index": view.record.bar_index, "is_grid": view.is_grid}
        context["features"] = [float_text(float(value)) for value in view.context]
        context["regime"] = {
            "label": LABELS[view.record.regime_label],
            "age": float_text(view.record.regime_age),
            "change_probability": float_text(view.record.change_probability),
        }
        context["sigma_bar"] = float_text(view.record.sigma_bar)
    found: dict[str, Any] = _camel(context)
    return found


def _embedding(found: Embedding) -> dict[str, Any]:
    if found.values is None or found.novelty is None:
        return {"embedding": None, "null_reasons": {"embedding": found.reason}}
    return {"embedding": [float_text(value) for value in found.values], "novelty": float_text(found.novelty)}


def null_reasons(inputs: DecisionInputs, decision: Decision) -> dict[str, str]:
    """Why a section of this decision is null."""
    reasons = {}
    if inputs.terms.source != SOURCE_ROUTER:
        absent = "a person's order: no policy chose it and nothing sized it"
        reasons = {"policy": absent, "sizing": absent}
    elif decision.ints.arm < 0:
        reasons["sizing"] = REASON_TEXT[Reason(decision.ints.reason)] or "no arm was chosen"
        if inputs.snapshot is None:
            reasons["policy"] = reasons["sizing"]
    if decision.ints.side == 0:
        reasons["order"] = "no order was formed: " + (REASON_TEXT[Reason(decision.ints.reason)] or "nothing to send")
    return reasons


def _camel(value: Any) -> Any:
    """The same value with camelCase keys: records speak the contract's names."""
    if isinstance(value, dict):
        return {
            _camel_name(name): _camel(entry) if isinstance(entry, dict | list) else entry
            for name, entry in value.items()
        }
    return [_camel(entry) for entry in value] if isinstance(value, list) else value


@cache
def _camel_name(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _policy(inputs: DecisionInputs, view: View | None, decision: Decision) -> dict[str, Any] | None:
    if inputs.terms.source != SOURCE_ROUTER or view is None:
        return None
    arm, floats = decision.ints.arm, decision.floats
    choice = None
    if arm >= 0:
        choice = {
            "policy_id": (*view.policies, "cash")[arm],
            "signal": float_text(floats.signal),
            "expected_reward": float_text(floats.expected_reward),
            "width": float_text(floats.width),
            "propensity": float_text(floats.propensity),
        }
    return {
        "choice": choice,
        "posterior": [_arm(view, decision, k) for k in range(len(view.policies) + 1)],
        "seed": str(inputs.draw.seed),
        "attempt": inputs.draw.attempt,
        "u": float_text(inputs.draw.u),
        "propensity": float_text(floats.propensity),
    }


def _arm(view: View, decision: Decision, k: int) -> dict[str, Any]:
    probability = float_text(decision.probabilities[k])
    if k == len(view.policies):
        zero = float_text(0.0)
        return {"policy_id": "cash", "mean": zero, "sd": zero, "prob_best": probability, "gate": 0}
    arms = view.arms
    deviation = math.sqrt(arms[ARM_B, k] / arms[ARM_A, k] * arms[ARM_H, k]) if arms[ARM_A, k] > 0 else 0.0
    return {
        "policy_id": view.policies[k],
        "signal": float_text(float(arms[ARM_SIGNAL, k])),
        "mean": float_text(float(arms[ARM_LOC, k])),
        "sd": float_text(deviation),
        "prob_best": probability,
        "gate": int(view.gates[k]),
    }


def _quantity(inputs: DecisionInputs, lots: int) -> str:
    return e8_text(lots * inputs.filters.step_e8)


def _sizing(inputs: DecisionInputs, decision: Decision) -> dict[str, Any] | None:
    ints, floats = decision.ints, decision.floats
    if inputs.terms.source != SOURCE_ROUTER or ints.arm < 0:
        return None
    return {
        "base": e8_text(ints.base_e8),
        "width": float_text(floats.width),
        "sigmoid": float_text(floats.sigmoid),
        "portfolio_weight": float_text(inputs.terms.weight_e9 * 1e-9),
        "target_size": _quantity(inputs, ints.target_lots),
        "requested_size": _quantity(inputs, ints.requested_lots),
        "final_size": _quantity(inputs, ints.sent_lots),
        "canary_weight": float_text(inputs.terms.rehearsal_bps * 1e-4),
        "rehearsal_size": _quantity(inputs, ints.rehearsal_lots),
    }


def _guards(decision: Decision) -> list[dict[str, Any]]:
    """Every guard's verdict with what it compared; a guard that could not read its input says so."""
    return [
        {
            "name": guard.name,
            "verdict": _VERDICTS[finding[0]],
            "observed": str(finding[1]),
            "limit": str(finding[2]),
            **({"is_unknown": True} if finding[3] else {}),
        }
        for guard, finding in zip(GATE_GUARDS, decision.findings, strict=False)
    ]


def _order(inputs: DecisionInputs, decision: Decision) -> dict[str, Any] | None:
    ints = decision.ints
    if ints.side == 0:
        return None
    lots = ints.sent_lots or abs(ints.requested_lots)
    return {
        "side": "BUY" if ints.side > 0 else "SELL",
        **_shape(inputs),
        "quantity": _quantity(inputs, lots),
        "judged_price": e8_text(ints.judged_ticks * inputs.filters.tick_e8),
        "is_sent": ints.sent_lots > 0,
    }


def _shape(inputs: DecisionInputs) -> dict[str, Any]:
    """Type and prices as asked; an OCO has a shape per leg."""
    if inputs.placing is None:
        return {"type": "MARKET", "time_in_force": "IOC"}
    shapes = []
    for request in inputs.placing.requests:
        shape = {"type": str(request.type)}
        shape["time_in_force"] = str(effective_time_in_force(request.type, request.time_in_force))
        prices = {"price": request.price_e8, "stop_price": request.stop_price_e8}
        shape |= {name: e8_text(value) for name, value in prices.items() if value is not None}
        shapes.append(shape | ({"trailing_bps": request.trailing_bps} if request.trailing_bps is not None else {}))
    return shapes[0] if len(shapes) == 1 else {"type": "OCO", "time_in_force": "GTC", "legs": shapes}


def _fills(inputs: DecisionInputs, decision: Decision) -> list[dict[str, Any]]:
    return [
        {
            "price": e8_text(ticks * inputs.filters.tick_e8),
            "quantity": _quantity(inputs, lots),
            "fee": e8_text(fee_e8),
            "liquidity": "taker",
        }
        for ticks, lots, fee_e8 in decision.fills
    ]


def _held(inputs: DecisionInputs, lots: int, dust_e8: int) -> str:
    return e8_text(lots * inputs.filters.step_e8 + dust_e8)


def _position(inputs: DecisionInputs, decision: Decision) -> dict[str, Any]:
    ints = decision.ints
    return {
        "before": {
            "quantity": _held(inputs, ints.position_before_lots, inputs.desk.dust_e8),
            "cash": e8_text(ints.cash_before_e8),
            "equity": e8_text(ints.equity_before_e8),
        },
        "after": {
            "quantity": _held(inputs, ints.position_after_lots, ints.dust_after_e8),
            "cash": e8_text(ints.cash_after_e8),
            "equity": e8_text(ints.equity_after_e8),
        },
        "mark_price": e8_text(ints.mark_ticks * inputs.filters.tick_e8),
        "high_water": e8_text(ints.high_water_e8),
        "breaker_until_ms": ints.breaker_until_ms,
        "is_tripped": bool(ints.is_tripped),
        "is_rearmed": bool(ints.is_rearmed),
    }


def average_price_e8(notional_e8: int, lots: int, filters: Filters) -> int:
    """Average fill price in 1e-8 quote, rounded down; 0 when nothing filled."""
    return notional_e8 * filters.tick_e8 // (lots * filters.unit_e8) if lots else 0


def _rehearsal(inputs: DecisionInputs, decision: Decision) -> dict[str, Any]:
    ints = decision.ints
    price = average_price_e8(ints.rehearsal_notional_e8, ints.rehearsal_filled_lots, inputs.filters)
    return {
        "weight": float_text(inputs.terms.rehearsal_bps * 1e-4),
        "size": _quantity(inputs, ints.rehearsal_lots),
        "fill_price": e8_text(price) if price else None,
        "status": _rehearsal_status(inputs, decision),
    }


def _rehearsal_status(inputs: DecisionInputs, decision: Decision) -> str:
    ints = decision.ints
    if inputs.terms.rehearsal_bps == 0:
        return "disabled"
    if ints.sent_lots == 0:
        return "no_order"
    if ints.rehearsal_lots == 0:
        return "below_lot"
    if ints.rehearsal_filled_lots == 0:
        return "open" if ints.status == Status.OPEN else "expired"
    return "filled" if ints.rehearsal_filled_lots == ints.rehearsal_lots else "partial"


def _outcome(inputs: DecisionInputs, decision: Decision) -> dict[str, Any]:
    reason = Reason(decision.ints.reason)
    return {
        "source": SOURCES[inputs.terms.source],
        "status": Status(decision.ints.status).name.lower(),
        "reason": reason.code if reason else None,
        "detail": REASON_TEXT[reason] or None,
    }
