"""Write one decision: rows of the book, what risk shows, and last of all its audit record."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
from django.conf import settings
from django.forms.models import model_to_dict

from apps.audit import services as audit
from apps.engine.decision import Decision, DecisionInputs
from apps.engine.portfolio import PositionRecord, position_after
from apps.engine.reasons import Reason, Status
from apps.engine.record import (
    ARM_NAMES,
    SOURCES,
    as_recorded,
    context_section,
    inputs_out,
    null_reasons,
    sections,
)
from apps.engine.trips import OPEN, trip_nb
from apps.engine.view import View
from apps.execution.account import AccountState, next_order_number
from apps.execution.answers import ORDER_PREFIX, ORDER_STATUS, answer_bytes, answer_document, content_key
from apps.execution.assembling import lots_held
from apps.execution.models import ClosedTrade, Execution, Fill, IdempotencyKey, Order, Position
from apps.execution.pushing import push_down
from apps.execution.requests import Answer, Prepared
from apps.execution.settings_snapshot import settings_keep

KIND = "execution.decision"
ENGINE_VERSIONS = {"numba": version("numba"), "numpy": version("numpy")}


def decision_record(
    *, prepared: Prepared, inputs: DecisionInputs, decision: Decision, state: AccountState, sequence: int, using: str
) -> Answer:
    """Write everything a decision changes, in one order, and answer. The caller holds fence and transaction."""
    request, ints = prepared.request, decision.ints
    execution_id = "ex" + content_key(state.account.epoch, request.symbol, inputs.draw.bar_open_ms, inputs.draw.attempt)
    order_id = ORDER_PREFIX + content_key(execution_id, 0) if ints.sent_lots > 0 else None
    view = prepared.view.view if prepared.view else None
    parts = sections(inputs, view, decision)
    settings_keep(inputs, using=using)
    draft = audit.audit_draft(
        kind=KIND,
        actor=request.actor,
        ts_ms=ints.ts_ms,
        body=_body(prepared, inputs, view, decision, parts, execution_id, order_id, sequence),
        using=using,
    )
    document = answer_document(
        execution_id=execution_id,
        order_id=order_id,
        inputs=inputs,
        decision=decision,
        sections=parts,
        audit_id=draft.entry.audit_id,
        content_hash=draft.entry.content_hash,
        request_id=request.request_id,
    )
    answer = Answer(200, answer_bytes(document))
    execution = Execution(
        execution_id=execution_id,
        account=state.account,
        symbol=request.symbol,
        source=SOURCES[request.source],
        bar_open_ms=inputs.draw.bar_open_ms,
        attempt=inputs.draw.attempt,
        status=Status(ints.status).name.lower(),
        reason=Reason(ints.reason).code if ints.reason else None,
        policy_id=ARM_NAMES[ints.arm] if ints.arm >= 0 else None,
        ts_ms=ints.ts_ms,
        answer=answer.body,
        audit_id=draft.entry.audit_id,
        audit_sequence=draft.entry.sequence,
    )
    execution.save(using=using, force_insert=True)
    if order_id is not None:
        _write_order(execution, order_id, prepared, inputs, decision, state, using)
    _write_account(decision, state, draft.entry.sequence, using)
    _write_repeat_latch(inputs, decision, state, draft.entry.sequence, using)
    push_down(
        inputs,
        decision,
        window_start_order=state.account.window_start_order,
        sequence=draft.entry.sequence,
        using=using,
    )
    if request.idempotency is not None:
        IdempotencyKey(
            scope=request.idempotency.scope,
            key=request.idempotency.key,
            fingerprint=request.idempotency.fingerprint,
            status=answer.status,
            answer=answer.body,
            ts_ms=ints.ts_ms,
        ).save(using=using, force_insert=True)
    audit.audit_write(draft)
    return answer


def _body(
    prepared: Prepared,
    inputs: DecisionInputs,
    view: View | None,
    decision: Decision,
    parts: dict[str, Any],
    execution_id: str,
    order_id: str | None,
    sequence: int,
) -> dict[str, Any]:
    request = prepared.request
    return {
        "symbol": request.symbol,
        "executionId": execution_id,
        "orderId": order_id,
        "reason": request.reason,
        "controlsSequence": sequence,
        "preparedTsMs": prepared.t0_ms,
        "context": context_section(inputs, view),
        **parts,
        "versions": {"code": settings.VERSION, "engine": settings.ENGINE_HASH, **ENGINE_VERSIONS},
        "inputs": inputs_out(as_recorded(inputs, decision)),
        "nullReasons": null_reasons(inputs, decision),
    }


def _write_order(
    execution: Execution,
    order_id: str,
    prepared: Prepared,
    inputs: DecisionInputs,
    decision: Decision,
    state: AccountState,
    using: str,
) -> None:
    ints, filters, request = decision.ints, inputs.filters, prepared.request
    side = "BUY" if ints.side > 0 else "SELL"
    order = Order(
        number=next_order_number(using=using),
        order_id=order_id,
        account=state.account,
        execution=execution,
        client_order_id=request.client_order_id or order_id,
        symbol=request.symbol,
        side=side,
        type="MARKET",
        time_in_force="IOC",
        quantity_e8=ints.sent_lots * filters.step_e8,
        filled_e8=ints.filled_lots * filters.step_e8,
        status=ORDER_STATUS[Status(ints.status)],
        reason=Reason(ints.reason).code if ints.reason else None,
        decided_ts_ms=ints.ts_ms,
        origin=SOURCES[request.source],
        filter_revision=filters.revision,
        prepared_ts_ms=prepared.t0_ms,
        updated_ts_ms=ints.ts_ms,
        arrived_ts_ms=inputs.arrival_ts_ms,
        equity_after_e8=ints.equity_after_e8,
    )
    order.save(using=using, force_insert=True)
    fills = [
        Fill(
            order=order,
            account=state.account,
            symbol=request.symbol,
            side=side,
            price_e8=ticks * filters.tick_e8,
            quantity_e8=lots * filters.step_e8,
            notional_e8=ticks * lots * filters.unit_e8,
            fee_e8=fee_e8,
            ts_ms=ints.ts_ms,
        )
        for ticks, lots, fee_e8 in decision.fills
    ]
    Fill.objects.using(using).bulk_create(fills)
    _write_position(inputs, decision, state, using, is_router=request.source == 0)


def _write_position(
    inputs: DecisionInputs, decision: Decision, state: AccountState, using: str, *, is_router: bool
) -> None:
    row: Position = state.position(inputs.symbol)
    step, unit, ints = inputs.filters.step_e8, inputs.filters.unit_e8, decision.ints
    record = PositionRecord(lots_held(row.quantity_e8, inputs.filters), row.cost_e8, row.realized_e8, row.fees_e8)
    dust = row.quantity_e8 - record.lots * step
    for ticks, lots, fee_e8 in decision.fills:
        record = position_after(record, side=ints.side, lots=lots, ticks=ticks, unit_e8=unit, fee_e8=fee_e8)
    row.quantity_e8 = record.lots * step + dust
    row.cost_e8, row.realized_e8, row.fees_e8 = record.cost_e8, record.realized_e8, record.fees_e8
    if is_router:
        row.last_signal = decision.floats.signal
    if ints.filled_lots:
        trip_settle(
            row,
            before_lots=ints.position_before_lots,
            after_lots=ints.position_after_lots,
            flow_e8=ints.cash_after_e8 - ints.cash_before_e8,
            notional_e8=ints.notional_e8,
            is_stop=False,
            ts_ms=ints.ts_ms,
            using=using,
        )
    row.updated_ts_ms = ints.ts_ms
    row.save(using=using)


def trip_settle(
    row: Position,
    *,
    before_lots: int,
    after_lots: int,
    flow_e8: int,
    notional_e8: int,
    is_stop: bool,
    ts_ms: int,
    using: str,
) -> None:
    """Carry fills into the round trip of a position's row; a trip that closes becomes a row of its own."""
    trip = np.array([row.trip_cash_e8, row.trip_entry_e8, row.trip_exit_ms], np.int64)
    profit = int(trip_nb(trip, before_lots, after_lots, flow_e8, notional_e8, ts_ms))
    row.trip_cash_e8, row.trip_entry_e8, row.trip_exit_ms = (int(value) for value in trip)
    if profit != OPEN:
        given = {"account": row.account, "symbol": row.symbol, "profit_bps": profit, "is_stop": is_stop, "ts_ms": ts_ms}
        ClosedTrade.objects.using(using).create(**given)


def _write_account(decision: Decision, state: AccountState, sequence: int, using: str) -> None:
    """The row of the epoch, when the decision changed it. `sequence` is the record that a new latch names."""
    account, ints = state.account, decision.ints
    before = model_to_dict(account)
    account.cash_e8 = ints.cash_after_e8
    account.fees_e8 += ints.fee_e8
    account.breaker_until_ms = ints.breaker_until_ms
    account.day_index, account.day_start_e8 = ints.day_index, ints.day_start_e8
    account.is_day_latched = bool(ints.is_day_latched)
    account.peak_e8 = ints.peak_e8
    if ints.is_hard_tripped:
        account.hard_latch_sequence = sequence
    elif not ints.is_hard_latched:
        account.hard_latch_sequence = 0
    if ints.is_rearmed:
        sent = 1 if ints.sent_lots > 0 else 0
        account.window_start_order = next_order_number(using=using) - 1 - sent
    if model_to_dict(account) != before:
        account.save(using=using)


def _write_repeat_latch(
    inputs: DecisionInputs, decision: Decision, state: AccountState, sequence: int, using: str
) -> None:
    """The repeated-orders guard stops the router on this symbol until a person releases it."""
    if decision.ints.is_repeat_tripped:
        row = state.position(inputs.symbol)
        row.repeat_latch_sequence = sequence
        row.save(using=using)
