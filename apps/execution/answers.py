"""The execution record that a caller gets: one decision in the contract's words."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

import orjson

from apps.engine.decimals import e8_text
from apps.engine.decision import Decision, DecisionInputs
from apps.engine.guards import GUARDS
from apps.engine.reasons import REASON_TEXT, Reason, Status
from apps.engine.record import ARM_NAMES, average_price_e8
from apps.web.values import iso_ms

ORDER_PREFIX = "od"
ORDER_STATUS = {Status.FILLED: "FILLED", Status.PARTIAL: "PARTIALLY_FILLED", Status.EXPIRED: "EXPIRED"}


def content_key(*parts: object) -> str:
    """22 hex digits that follow from the parts, so that a retry meets the same row."""
    return hashlib.sha256("|".join(str(part) for part in parts).encode()).hexdigest()[:22]


def slippage_bps(inputs: DecisionInputs, decision: Decision) -> float | None:
    """Average fill against the mid seen when deciding, positive where it cost; None without a fill or a mid."""
    ints = decision.ints
    if ints.filled_lots == 0 or not len(inputs.seen_bids) or not len(inputs.seen_asks):
        return None
    mid = (int(inputs.seen_bids[0, 0]) + int(inputs.seen_asks[0, 0])) * inputs.filters.tick_e8 / 2
    price = average_price_e8(ints.notional_e8, ints.filled_lots, inputs.filters)
    return round(float(ints.side) * (price - mid) / mid * 1e4, 4)


def answer_document(
    *,
    execution_id: str,
    order_id: str | None,
    inputs: DecisionInputs,
    decision: Decision,
    sections: dict[str, Any],
    audit_id: str,
    content_hash: str,
    request_id: str | None,
) -> dict[str, Any]:
    """The record with exact decimals as strings and statistics as numbers."""
    ints, status, reason = decision.ints, Status(decision.ints.status), Reason(decision.ints.reason)
    price = average_price_e8(ints.notional_e8, ints.filled_lots, inputs.filters)
    step = inputs.filters.step_e8
    return {
        "executionId": execution_id,
        "symbol": inputs.symbol,
        "policyId": ARM_NAMES[ints.arm] if ints.arm >= 0 else None,
        "signal": decision.floats.signal if ints.arm >= 0 else None,
        "requestedSize": e8_text(ints.requested_lots * step),
        "finalSize": e8_text(ints.sent_lots * step),
        "sizing": numbers(sections["sizing"]),
        "side": {1: "BUY", -1: "SELL"}.get(ints.side),
        "fillPrice": e8_text(price) if price else None,
        "fee": e8_text(ints.fee_e8),
        "slippageBps": slippage_bps(inputs, decision),
        "orderId": order_id,
        "status": status.name.lower(),
        "blocked": status in (Status.BLOCKED, Status.REJECTED),
        "reason": reason.code if reason else None,
        "detail": _detail(decision, reason),
        "guards": [_told(finding) for finding in sections["guards"]],
        "fills": sections["fills"],
        "position": sections["position"],
        "rehearsal": numbers(sections["rehearsal"]),
        "auditId": audit_id,
        "contentHash": content_hash,
        "requestId": request_id,
        "ts": iso_ms(ints.ts_ms),
    }


def answer_bytes(document: dict[str, Any]) -> bytes:
    return orjson.dumps(document)


def numbers(section: Any) -> Any:
    """The same section with float texts as JSON numbers."""
    if isinstance(section, dict):
        return {name: numbers(value) for name, value in section.items()}
    if isinstance(section, str) and section.startswith(("0x", "-0x")):
        return float.fromhex(section)
    return section


def _told(finding: dict[str, Any]) -> dict[str, Any]:
    """A guard's finding with what records leave out: the unit of its numbers, and that it could read its input."""
    return {**finding, "unit": _unit(finding["name"]), "isUnknown": finding.get("isUnknown", False)}


@cache
def _unit(guard: str) -> str:
    return GUARDS.get(guard).unit


def _detail(decision: Decision, reason: Reason) -> str | None:
    if not reason:
        return None
    return REASON_TEXT[reason]
