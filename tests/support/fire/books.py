"""What the rows say once it is quiet again, by a process that took no part."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from apps.audit.replaying import has_inputs, is_decision, replay_record
from apps.audit.selectors import audit_after, audit_verify
from apps.execution.models import Execution, Fill, IdempotencyKey, Order
from apps.execution.reconciler import book_differences


def books(*, replayed: int) -> dict[str, Any]:
    """Everything that must be empty or true; `replayed` records, spread over all, are computed anew."""
    with transaction.atomic():
        records = list(audit_after(0, 10_000_000))
    known = {record.audit_id for record in records}
    decisions = [record for record in records if is_decision(record)]
    executions = dict(Execution.objects.values_list("audit_id", "answer"))
    orders = set(Order.objects.values_list("order_id", flat=True))
    keyed = [bytes(row) for row in IdempotencyKey.objects.values_list("answer", flat=True)]
    computed = [record for record in records if has_inputs(record)]
    step = max(1, len(computed) // replayed)
    return {
        "is_intact": audit_verify(False).intact,
        "differences": [str(difference) for difference in book_differences()],
        "executions_without_record": sorted(set(executions) - known),
        "records_without_execution": sorted({record.audit_id for record in decisions} - set(executions)),
        "fills_without_record": sorted(set(Fill.objects.values_list("audit_id", flat=True)) - known),
        "orders_missing": sorted({record.content["orderId"] for record in decisions} - {None} - orders),
        "keys_without_execution": len(set(keyed) - {bytes(answer) for answer in executions.values()}),
        "replay_differing": [record.audit_id for record in computed[::step] if not replay_record(record).matches],
        "decisions": len(decisions),
    }
