"""A person takes an order back: the cancel travels like an order, so a fill may win the race."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS

from apps.audit import services as audit
from apps.engine.errors import Conflict, UnknownName
from apps.engine.order_step import request_cancel
from apps.execution.account import account_state
from apps.execution.answers import answer_bytes
from apps.execution.models import IdempotencyKey, Order
from apps.execution.open_orders import order_of
from apps.execution.order_documents import order_document
from apps.execution.requests import Answer, Idempotency
from apps.execution.services import answer_of_key
from apps.risk import fence
from apps.web.casing import to_wire

REQUEST_KIND = "execution.cancel_request"


def order_cancel(
    *,
    order_id: str,
    actor: str,
    read_now: Callable[[], int],
    idempotency: Idempotency | None = None,
    using: str = DEFAULT_DB_ALIAS,
) -> Answer:
    """Send a cancel for an open order, and for the other leg of its OCO. The answer is the order as it then stands.

    Asking twice changes nothing. Raises UnknownName, and Conflict for an order that is closed. A HALTED desk lets
    cancels pass: they only take away.
    """
    with fence.shared(using=using, allow_halted=True):
        account_state(using=using)
        stored = answer_of_key(idempotency, using=using) if idempotency is not None else None
        if stored is not None:
            return stored
        now_ms = read_now()
        row = Order.objects.using(using).filter(order_id=order_id).select_related("execution").first()
        if row is None:
            raise UnknownName("there is no such order", field="order_id")
        if not row.is_open:
            raise Conflict(f"the order is {row.status}: there is nothing left to cancel")
        sent = [leg.order_id for leg in _legs(row, using) if _send(leg, now_ms, using)]
        row.refresh_from_db()
        answer = Answer(202, answer_bytes(to_wire(order_document(row))))
        if idempotency is not None:
            _keep(idempotency, answer, now_ms, using)
        if sent:
            body = {"symbol": row.symbol, "orderIds": sent, "cancelDueMs": order_of(row).cancel_due_ms}
            audit.audit_append(kind=REQUEST_KIND, actor=actor, ts_ms=now_ms, body=body, using=using)
        return answer


def _legs(row: Order, using: str) -> list[Order]:
    """The order, or every open leg of its list."""
    if not row.list_id:
        return [row]
    return list(Order.objects.using(using).filter(list_id=row.list_id, is_open=True).order_by("number"))


def _send(row: Order, now_ms: int, using: str) -> bool:
    """Send a cancel after an order; False where one was on its way before."""
    before = order_of(row)
    after = request_cancel(before, ts_ms=now_ms, latency_ms=settings.ENTRY_LATENCY_MS)
    if after == before:
        return False
    row.state, row.updated_ts_ms = after.to_json(), now_ms
    row.save(using=using)
    return True


def _keep(idempotency: Idempotency, answer: Answer, now_ms: int, using: str) -> None:
    IdempotencyKey(
        scope=idempotency.scope,
        key=idempotency.key,
        fingerprint=idempotency.fingerprint,
        status=answer.status,
        answer=answer.body,
        ts_ms=now_ms,
    ).save(using=using, force_insert=True)
