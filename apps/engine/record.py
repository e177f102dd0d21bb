"""What a decision leaves behind: its inputs as JSON values and back, its outputs as sections, and its replay.

Floats are `float.hex()` text and counts of 1e-8 are digits, so a record survives any JSON reader bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from apps.engine.codec import float_from, float_text
from apps.engine.decide import decide, no_view
from apps.engine.decimals import e8_text
from apps.engine.decision import (
    ARM_A,
    ARM_B,
    ARM_H,
    ARM_LOC,
    ARM_N,
    ARM_SIGNAL,
    CASH_ARM,
    SOURCE_ROUTER,
    ArrivalRecord,
    Decision,
    DecisionInputs,
    Draw,
    TermsRecord,
)
from apps.engine.desk import DeskRecord, LimitRecord
from apps.engine.gate import GATE_GUARDS
from apps.engine.policies import arms
from apps.engine.reasons import REASON_TEXT, Reason, Status, Verdict
from apps.engine.regime import LABELS
from apps.engine.rng import philox_uniform_nb
from apps.engine.router import RouterParams
from apps.engine.values import Filters, IntArray2d
from apps.engine.view import View, view_from_snapshot

ARM_NAMES = (*(policy.policy_id for policy in arms()), "cash")
SOURCES = ("router", "person", "flatten")
# Sections of a decision record that replay recomputes and compares.
OUTPUT_SECTIONS = ("policy", "sizing", "guards", "order", "fills", "position", "rehearsal", "outcome")


class Difference(NamedTuple):
    """One place where a recomputed record is not the recorded one."""

    path: str
    recorded: Any
    recomputed: Any


def _out(record: Any) -> dict[str, Any]:
    fields = record._asdict().items()
    return {name: _value_out(name, value) for name, value in fields}


def _value_out(name: str, value: Any) -> Any:
    if isinstance(value, float):
        return float_text(value)
    return str(value) if name.endswith(("_e8", "_id")) else int(value)


def _back(kind: Any, fields: dict[str, Any]) -> Any:
    # Annotations are text here, or a reference that holds the text.
    is_float = {name: "float" in str(annotation) for name, annotation in kind.__annotations__.items()}
    return kind(**{name: float_from(text) if is_float[name] else int(text) for name, text in fields.items()})


def _levels(rows: IntArray2d) -> list[list[int]]:
    return [[int(ticks), int(lots)] for ticks, lots in rows]


def _levels_back(rows: list[list[int]]) -> IntArray2d:
    return np.array(rows, np.int64).reshape(len(rows), 2)


def inputs_out(inputs: DecisionInputs) -> dict[str, Any]:
    """The inputs of a decision as JSON values; the view is named by its snapshot's hash."""
    return {
        "symbol": inputs.symbol,
        "snapshot": inputs.snapshot,
        "desk": _out(inputs.desk),
        "limits": _out(inputs.limits),
        "terms": _out(inputs.terms),
        "router": _out(inputs.params),
        "arrival": _out(inputs.arrival),
        "filters": _out(inputs.filters),
        "draw": _out(inputs.draw),
        "book_seen": {
            "ts_ms": inputs.seen_ts_ms,
            "bids": _levels(inputs.seen_bids),
            "asks": _levels(inputs.seen_asks),
        },
        "book_arrival": {
            "ts_ms": inputs.arrival_ts_ms,
            "bids": _levels(inputs.bids),
            "asks": _levels(inputs.asks),
        },
    }


def inputs_back(fields: dict[str, Any], load_snapshot: Callable[[str], bytes]) -> tuple[DecisionInputs, View | None]:
    """The inputs and the view they name. The uniform is drawn anew from its key, not read."""
    view = view_from_snapshot(load_snapshot(fields["snapshot"])) if fields["snapshot"] else None
    record, arms, gates = (view.record, view.arms, view.gates) if view else no_view()
    draw: Draw = _back(Draw, fields["draw"])
    redrawn = philox_uniform_nb(draw.seed, draw.symbol_id, draw.bar_open_ms, draw.attempt)
    seen, arrival = fields["book_seen"], fields["book_arrival"]
    inputs = DecisionInputs(
        symbol=fields["symbol"],
        snapshot=fields["snapshot"],
        view=record,
        arms=arms,
        gates=gates,
        desk=_back(DeskRecord, fields["desk"]),
        limits=_back(LimitRecord, fields["limits"]),
        terms=_back(TermsRecord, fields["terms"]),
        params=_back(RouterParams, fields["router"]),
        arrival=_back(ArrivalRecord, fields["arrival"]),
        bids=_levels_back(arrival["bids"]),
        asks=_levels_back(arrival["asks"]),
        seen_ts_ms=seen["ts_ms"],
        seen_bids=_levels_back(seen["bids"]),
        seen_asks=_levels_back(seen["asks"]),
        arrival_ts_ms=arrival["ts_ms"],
        filters=_back(Filters, fields["filters"]),
        draw=draw._replace(u=float(redrawn)),
    )
    return inputs, view


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
    return found


def context_section(inputs: DecisionInputs, view: View | None) -> dict[str, Any]:
    """What the decision saw, for people: taken from the inputs, so replay has nothing to compare in it."""
    tick = inputs.filters.tick_e8
    quote = None
    if len(inputs.seen_bids) and len(inputs.seen_asks):
        bid, ask = int(inputs.seen_bids[0, 0]) * tick, int(inputs.seen_asks[0, 0]) * tick
        quote = {"bid": e8_text(bid), "ask": e8_text(ask), "ts_ms": inputs.seen_ts_ms}
    context: dict[str, Any] = {
        "quote": quote,
        "data_age_ms": inputs.desk.data_age_ms,
        "embedding": None,
        "null_reasons": {"embedding": "its projection has not been fitted"},
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


def null_reasons(inputs: DecisionInputs, decision: Decision) -> dict[str, str]:
    """Why a section of this decision is null."""
    if inputs.terms.source != SOURCE_ROUTER:
        absent = "a person's order: no policy chose it and nothing sized it"
        reasons = {"policy": absent, "sizing": absent}
    elif decision.ints.arm < 0:
        reasons = {"sizing": REASON_TEXT[Reason(decision.ints.reason)] or "no arm was chosen"}
    else:
        reasons = {}
    if decision.ints.side == 0:
        reasons["order"] = "no order was formed: " + (REASON_TEXT[Reason(decision.ints.reason)] or "nothing to send")
    return reasons


def _camel(value: Any) -> Any:
    """The same value with camelCase keys: records speak the contract's names."""
    if isinstance(value, dict):
        return {_camel_name(name): _camel(entry) for name, entry in value.items()}
    return [_camel(entry) for entry in value] if isinstance(value, list) else value


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
            "policy_id": ARM_NAMES[arm],
            "signal": float_text(floats.signal),
            "expected_reward": float_text(floats.expected_reward),
            "width": float_text(floats.width),
            "propensity": float_text(floats.propensity),
        }
    return {
        "choice": choice,
        "posterior": [_arm(view, decision, k) for k in range(CASH_ARM + 1)],
        "seed": str(inputs.draw.seed),
        "attempt": inputs.draw.attempt,
        "u": float_text(inputs.draw.u),
        "propensity": float_text(floats.propensity),
    }


def _arm(view: View, decision: Decision, k: int) -> dict[str, Any]:
    probability = float_text(decision.probabilities[k])
    if k == CASH_ARM:
        zero = float_text(0.0)
        return {"policy_id": "cash", "mean": zero, "sd": zero, "pulls": zero, "prob_best": probability, "gate": 0}
    arms = view.arms
    deviation = math.sqrt(arms[ARM_B, k] / arms[ARM_A, k] * arms[ARM_H, k]) if arms[ARM_A, k] > 0 else 0.0
    return {
        "policy_id": ARM_NAMES[k],
        "signal": float_text(float(arms[ARM_SIGNAL, k])),
        "mean": float_text(float(arms[ARM_LOC, k])),
        "sd": float_text(deviation),
        "pulls": float_text(float(arms[ARM_N, k])),
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
    return [
        {
            "name": guard.name,
            "verdict": Verdict(finding[0]).name,
            "observed": str(finding[1]),
            "limit": str(finding[2]),
            "unit": guard.unit,
            "is_unknown": bool(finding[3]),
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
        "type": "MARKET",
        "time_in_force": "IOC",
        "quantity": _quantity(inputs, lots),
        "judged_price": e8_text(ints.judged_ticks * inputs.filters.tick_e8),
        "is_sent": ints.sent_lots > 0,
    }


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


def _position(inputs: DecisionInputs, decision: Decision) -> dict[str, Any]:
    ints = decision.ints
    return {
        "before": {
            "quantity": _quantity(inputs, ints.position_before_lots),
            "cash": e8_text(ints.cash_before_e8),
            "equity": e8_text(ints.equity_before_e8),
        },
        "after": {
            "quantity": _quantity(inputs, ints.position_after_lots),
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
    status = "disabled"
    if inputs.terms.rehearsal_bps > 0:
        status = "below_lot" if ints.rehearsal_lots == 0 else "filled"
        if ints.rehearsal_filled_lots < ints.rehearsal_lots:
            status = "partial" if ints.rehearsal_filled_lots else "expired"
    price = average_price_e8(ints.rehearsal_notional_e8, ints.rehearsal_filled_lots, inputs.filters)
    return {
        "weight": float_text(inputs.terms.rehearsal_bps * 1e-4),
        "size": _quantity(inputs, ints.rehearsal_lots),
        "fill_price": e8_text(price) if price else None,
        "status": status,
    }


def _outcome(inputs: DecisionInputs, decision: Decision) -> dict[str, Any]:
    reason = Reason(decision.ints.reason)
    return {
        "source": SOURCES[inputs.terms.source],
        "status": Status(decision.ints.status).name.lower(),
        "reason": reason.code if reason else None,
        "detail": REASON_TEXT[reason] or None,
    }


def replay(kind: str, body: dict[str, Any], load_snapshot: Callable[[str], bytes]) -> list[Difference]:
    """Recompute a decision record from its own inputs; the differences, none when it matches.

    Raises LookupError for a kind that holds no decision.
    """
    if not kind.startswith("execution.decision"):
        raise LookupError(f"{kind} is not a decision")
    inputs, view = inputs_back(body["inputs"], load_snapshot)
    recomputed = sections(inputs, view, decide(inputs))
    found: list[Difference] = []
    for name in OUTPUT_SECTIONS:
        _compare(name, body.get(name), recomputed[name], found)
    return found


def _compare(path: str, recorded: Any, recomputed: Any, found: list[Difference]) -> None:
    if isinstance(recorded, dict) and isinstance(recomputed, dict):
        for key in sorted({*recorded, *recomputed}):
            _compare(f"{path}.{key}", recorded.get(key), recomputed.get(key), found)
    elif isinstance(recorded, list) and isinstance(recomputed, list) and len(recorded) == len(recomputed):
        for index, (left, right) in enumerate(zip(recorded, recomputed, strict=True)):
            _compare(f"{path}[{index}]", left, right, found)
    elif recorded != recomputed:
        found.append(Difference(path, recorded, recomputed))
