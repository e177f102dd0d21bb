"""May this desk start trading? Recompute the book from fills and verify the audit log; halt it on any mismatch."""

from __future__ import annotations

from typing import NamedTuple

from django.db import DEFAULT_DB_ALIAS, transaction

from apps.audit import selectors as audit
from apps.audit import services as audit_services
from apps.execution.account import account_state
from apps.execution.models import Account, Position
from apps.execution.selectors import account_current, fill_sums
from apps.risk import services as risk


class BookDifference(NamedTuple):
    """A stored figure that the fills do not give."""

    what: str
    stored: int
    from_fills: int


@transaction.atomic
def book_differences() -> list[BookDifference]:
    """Cash, fees and every position against the sum of the epoch's fills; empty when they agree to the last unit.

    The account's lock keeps decisions of other processes out while its rows are read.
    """
    account = account_current()
    if account is None:
        return []
    account = account_state(using=DEFAULT_DB_ALIAS).account
    sums = fill_sums()
    fees = sum(fee for _, _, fee in sums.values())
    cash = account.initial_cash_e8 - sum(notional for _, notional, _ in sums.values()) - fees
    found = [BookDifference("cash", account.cash_e8, cash), BookDifference("fees", account.fees_e8, fees)]
    stored = _stored_positions(account)
    for symbol in sorted({*stored, *sums}):
        expected = sums.get(symbol, (0, 0, 0))[0]
        found.append(BookDifference(f"position {symbol}", stored.get(symbol, 0), expected))
    return [difference for difference in found if difference.stored != difference.from_fills]


def _stored_positions(account: Account) -> dict[str, int]:
    return dict(Position.objects.filter(account=account).values_list("symbol", "quantity_e8"))


def start_check(*, ts_ms: int) -> str | None:
    """Verify log and book; the reason why the desk was HALTED, None when all is well."""
    verified = audit.audit_verify()
    if verified.intact:
        audit_services.checkpoint_record(result=verified)
    differences = book_differences()
    reason = None
    if not verified.intact:
        reason = f"the audit log is broken at record {verified.first_broken}"
    elif differences:
        worst = differences[0]
        reason = f"the book does not balance: {worst.what} is {worst.stored}, fills give {worst.from_fills}"
    if reason is not None:
        risk.kill_engage(actor="recovery", reason=reason, ts_ms=ts_ms)
    return reason
