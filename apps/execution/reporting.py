"""What did this desk do, and does all of it hold together? Figures from rows, and the three proofs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apps.audit.replaying import NotADecision, records_all, replays
from apps.audit.selectors import audit_verify
from apps.engine.decimals import e8_text
from apps.execution.models import EquityPoint, Execution, Order
from apps.execution.reconciler import book_differences
from apps.execution.selectors import account_current, decision_totals
from apps.strategy.selectors import views_count

PROGRESS_EVERY = 500
Progress = Callable[[int], None]


def desk_report(progress: Progress = lambda done: None) -> dict[str, Any]:
    """Decisions, trades, equity against buy-and-hold; then replay of every record with inputs, the chain, the books."""
    account = account_current()
    last = EquityPoint.objects.filter(account=account).order_by("-ts_ms").first()
    verified = audit_verify(from_checkpoint=False)
    replayed, differing = replay_all(progress)
    differences = book_differences()
    return {
        "bars_folded": views_count(),
        "decisions": Execution.objects.count(),
        "by_outcome": {f"{status} {reason}": count for (status, reason), count in sorted(decision_totals().items())},
        "position_changes": Order.objects.filter(filled_e8__gt=0).count(),
        "initial_cash": e8_text(account.initial_cash_e8) if account else None,
        "equity": e8_text(last.equity_e8) if last else None,
        "buy_and_hold": e8_text(last.buy_and_hold_e8) if last else None,
        "fees": e8_text(account.fees_e8) if account else None,
        "audit_records": verified.records,
        "audit_intact": verified.intact,
        "first_broken": verified.first_broken,
        "replayed": replayed,
        "replay_differing": differing,
        "book_differences": [difference._asdict() for difference in differences],
        "holds": verified.intact and not differing and not differences,
    }


def replay_all(progress: Progress) -> tuple[int, list[str]]:
    """(records replayed, ids of those that came out otherwise)."""
    replayed, differing = 0, []
    for result in replays(records_all()):
        if isinstance(result, NotADecision):
            continue
        replayed += 1
        if not result.matches:
            differing.append(result.audit_id)
        if replayed % PROGRESS_EVERY == 0:
            progress(replayed)
    progress(replayed)
    return replayed, differing
