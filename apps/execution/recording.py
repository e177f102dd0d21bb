"""Write one decision: rows of the book, what risk shows, and last of all its audit record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from django.conf import settings

from apps.audit import services as audit
from apps.audit import statements
from apps.engine.decision import SOURCE_ROUTER, Decision, DecisionInputs
from apps.engine.embedding import UNFITTED
from apps.engine.order_values import FeeAsset
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
from apps.engine.view import View
from apps.execution import ready_sql
from apps.execution.account import AccountState, next_order_number
from apps.execution.answers import ORDER_PREFIX, answer_bytes, answer_document, content_key
from apps.execution.booking import trip_settle
from apps.execution.models import Execution, Fill, IdempotencyKey, Position
from apps.execution.order_desk import execution_id_of
from apps.execution.order_documents import documents_of
from apps.execution.order_rows import market_order_write, orders_write
from apps.execution.pushing import push_down
from apps.execution.requests import Answer, DecisionRequest, Prepared
from apps.execution.settings_snapshot import settings_keep
from apps.execution.taken import ledger_after, ledger_write

KIND = "execution.decision"
ENGINE_VERSIONS = {"numba": version("numba"), "numpy": version("numpy")}


def decision_record(
    *,
    prepared: Prepared,
    inputs: DecisionInputs,
    decision: Decision,
    state: AccountState,
    sequence: int,
    using: str,
    canceled: Sequence[str] = (),
) -> Answer:
    """Write everything a decision changes, in one order, and answer. The caller holds fence and transaction.

    `canceled` are the orders that a flatten has ended.
    """
    request, ints = prepared.request, decision.ints
    execution_id = execution_id_of(state.account.epoch, request.symbol, inputs.draw)
    order_id = ORDER_PREFIX + content_key(execution_id, 0) if ints.sent_lots > 0 else None
    view = prepared.view.view if prepared.view else None
    parts = sections(inputs, view, decision)
    settings_keep(inputs, using=using)
    draft = audit.audit_draft(
        kind=KIND,
        actor=request.actor,
        ts_ms=ints.ts_ms,
        body={
            **_body(prepared, inputs, view, decision, parts, execution_id, order_id, sequence),
            **({"canceledOrders": list(canceled)} if canceled else {}),
        },
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
    execution = _execution(execution_id, prepared, inputs, decision, state, draft.entry, answer)
    with statements.together(using=using):
        ready_sql.insert(execution, using=using)
        if order_id is not None:
            fills = _write_orders(execution, order_id, prepared, inputs, decision, state, using)
            placed = inputs.placing is not None
            answer = _with_orders(answer, document, execution, using) if placed else replace(answer, fills=tuple(fills))
        _write_effects(inputs, decision, state, draft.entry.sequence, using)
        _keep_answer(request, answer, ints.ts_ms, using)
        audit.audit_write(draft)
    return answer


def _write_effects(inputs: DecisionInputs, decision: Decision, state: AccountState, sequence: int, using: str) -> None:
    """What a decision changes of the account, its latches, and what risk shows."""
    _write_account(decision, state, sequence, using)
    _write_repeat_latch(inputs, decision, state, sequence, using)
    window_start = state.account.window_start_order
    push_down(inputs, decision, window_start_order=window_start, sequence=sequence, using=using)


def _execution(
    execution_id: str,
    prepared: Prepared,
    inputs: DecisionInputs,
    decision: Decision,
    state: AccountState,
    entry: audit.AuditEntry,
    answer: Answer,
) -> Execution:
    """The row of a decision, whatever it came to."""
    ints = decision.ints
    return ready_sql.make(
        Execution,
        execution_id=execution_id,
        account=state.account,
        symbol=prepared.request.symbol,
        source=SOURCES[prepared.request.source],
        bar_open_ms=inputs.draw.bar_open_ms,
        attempt=inputs.draw.attempt,
        status=Status(ints.status).name.lower(),
        reason=Reason(ints.reason).code if ints.reason else None,
        policy_id=ARM_NAMES[ints.arm] if ints.arm >= 0 else None,
        ts_ms=ints.ts_ms,
        answer=answer.body,
        audit_id=entry.audit_id,
        audit_sequence=entry.sequence,
    )


def _keep_answer(request: DecisionRequest, answer: Answer, ts_ms: int, using: str) -> None:
    """The bytes that the caller's key will always get, where the caller gave one."""
    if request.idempotency is None:
        return
    kept = ready_sql.make(
        IdempotencyKey,
        scope=request.idempotency.scope,
        key=request.idempotency.key,
        fingerprint=request.idempotency.fingerprint,
        status=answer.status,
        answer=answer.body,
        ts_ms=ts_ms,
    )
    ready_sql.insert(kept, using=using)


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
    request, situation = prepared.request, prepared.view.situation if prepared.view else None
    versions = {"code": settings.VERSION, "engine": settings.ENGINE_HASH, **ENGINE_VERSIONS}
    return {
        "symbol": request.symbol,
        "executionId": execution_id,
        "orderId": order_id,
        "reason": request.reason,
        "controlsSequence": sequence,
        "preparedTsMs": prepared.t0_ms,
        "context": context_section(inputs, view, situation.embedding if situation else UNFITTED),
        **parts,
        "versions": {**versions, **({"embedding": situation.version} if situation and situation.version else {})},
        "inputs": inputs_out(as_recorded(inputs, decision)),
        "nullReasons": null_reasons(inputs, decision),
    }


def _write_orders(
    execution: Execution,
    order_id: str,
    prepared: Prepared,
    inputs: DecisionInputs,
    decision: Decision,
    state: AccountState,
    using: str,
) -> list[Fill]:
    """Orders, fills, what was taken of the book, and the position; answers the fills' rows."""
    given: dict[str, Any] = {
        "execution": execution,
        "prepared": prepared,
        "inputs": inputs,
        "decision": decision,
        "state": state,
        "audit_id": execution.audit_id,
    }
    if inputs.placing is None:
        fills = market_order_write(order_id=order_id, using=using, **given)
    else:
        fills = orders_write(using=using, **given)
    ledger = ledger_after(inputs, decision)
    if ledger is not None:
        ledger_write(ledger, inputs.filters, using=using)
    _write_position(inputs, decision, fills, state, using, is_router=prepared.request.source == SOURCE_ROUTER)
    return fills


def _with_orders(answer: Answer, document: dict[str, Any], execution: Execution, using: str) -> Answer:
    """The answer with the orders as they are now: they go on, and what was answered to a key must not."""
    orders = documents_of(execution, using=using)
    execution.answer = answer_bytes({**document, "orders": orders})
    ready_sql.update(execution, using=using)
    return replace(answer, body=execution.answer)


def position_settle(row: Position, fill: Fill) -> int:
    """Carry a fill into a position's row; answers what its fee is worth in quote."""
    before = PositionRecord(row.quantity_e8, row.cost_e8, row.realized_e8, row.fees_e8)
    after = position_after(
        before,
        side=1 if fill.side == "BUY" else -1,
        quantity_e8=fill.quantity_e8,
        notional_e8=fill.notional_e8,
        fee_e8=fill.fee_e8,
        is_base_fee=fill.fee_asset == FeeAsset.BASE,
    )
    row.quantity_e8, row.cost_e8, row.realized_e8, row.fees_e8 = after
    return after.fees_e8 - before.fees_e8


def _write_position(
    inputs: DecisionInputs,
    decision: Decision,
    fills: list[Fill],
    state: AccountState,
    using: str,
    *,
    is_router: bool,
) -> None:
    row: Position = state.position(inputs.symbol)
    ints = decision.ints
    state.account.fees_e8 += sum(position_settle(row, fill) for fill in fills)
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
    ready_sql.save(row, using=using)


def _write_account(decision: Decision, state: AccountState, sequence: int, using: str) -> None:
    """The row of the epoch, when the decision changed it. `sequence` is the record that a new latch names."""
    account, ints = state.account, decision.ints
    before = None if ints.filled_lots else ready_sql.contents(account)
    account.cash_e8 = ints.cash_after_e8
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
    if ready_sql.contents(account) != before:
        ready_sql.update(account, using=using)


def _write_repeat_latch(
    inputs: DecisionInputs, decision: Decision, state: AccountState, sequence: int, using: str
) -> None:
    """The repeated-orders guard stops the router on this symbol until a person releases it."""
    if decision.ints.is_repeat_tripped:
        row = state.position(inputs.symbol)
        row.repeat_latch_sequence = sequence
        ready_sql.save(row, using=using)
