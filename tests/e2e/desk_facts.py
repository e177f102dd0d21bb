"""What the rows of a var folder say, printed as JSON: run as a process of its own, with nothing of a desk in memory."""

from __future__ import annotations

import json
from io import StringIO


def facts() -> dict[str, object]:
    """One moment of the rows: the desk that was started anew may be trading already."""
    from django.db import transaction

    from apps.audit.replaying import is_decision, replays
    from apps.audit.selectors import audit_after
    from apps.execution.models import Execution, Order
    from apps.execution.reconciler import book_differences

    with transaction.atomic():
        records = list(audit_after(0, 1_000_000))
        recorded = {record.audit_id: record for record in records if is_decision(record)}
        executions = set(Execution.objects.values_list("audit_id", flat=True))
        orders = dict(Order.objects.values_list("order_id", "execution__audit_id"))
        differences = book_differences()
    ordered = {record.content["orderId"]: key for key, record in recorded.items() if record.content["orderId"]}
    return {
        "verify_audit": exit_code("verify_audit", "--all", "--no-checkpoint"),
        "book_differences": [difference._asdict() for difference in differences],
        "executions_without_record": sorted(executions - set(recorded)),
        "records_without_execution": sorted(set(recorded) - executions),
        "orders_that_differ": sorted(map(str, set(orders.items()) ^ set(ordered.items()))),
        "replay_differing": [found.audit_id for found in replays(records) if not getattr(found, "matches", True)],
        "executions": sorted(executions),
        "orders": sorted(orders),
    }


def exit_code(command: str, *arguments: str) -> int:
    """That of a management command, its words kept off standard output."""
    from django.core.management import call_command

    try:
        call_command(command, *arguments, stdout=StringIO())
    except SystemExit as error:
        return int(str(error.code))
    return 0


if __name__ == "__main__":
    import django

    django.setup()
    print(json.dumps(facts()))
