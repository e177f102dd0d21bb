"""What of trading is measured? Counted from rows at each scrape, so a restart loses nothing."""

from __future__ import annotations

from collections.abc import Iterator

from apps.execution.selectors import account_current, decision_totals
from apps.telemetry.metrics import Sample, collect_with

BLOCKED = ("blocked", "rejected")


def collect() -> Iterator[Sample]:
    """Decisions by outcome, refusals by reason, and the account."""
    totals = decision_totals()
    by_status: dict[str, int] = {}
    by_reason: dict[str, int] = {}
    for (status, reason), count in totals.items():
        by_status[status] = by_status.get(status, 0) + count
        if status in BLOCKED:
            by_reason[reason] = by_reason.get(reason, 0) + count
    for status in ("no_trade", "filled", "partial", "blocked", "rejected", "expired", "open"):
        count = by_status.get(status, 0)
        yield Sample("router_decisions_total", "Decisions by outcome", {"status": status}, count)
    for reason, count in by_reason.items() or (("none", 0),):
        yield Sample("exec_blocked_total", "Decisions that a guard or filter refused", {"reason": reason}, count)
    account = account_current()
    if account is not None:
        yield Sample("tradedesk_cash_quote_units", "Paper cash", {}, account.cash_e8 / 1e8)
        yield Sample("tradedesk_fees_quote_units", "Fees paid in this epoch", {}, account.fees_e8 / 1e8)


collect_with(collect)
