"""What the desk did within a span of market time: decisions, orders and fills as plain values, oldest first."""

from __future__ import annotations

from typing import NamedTuple

from django.db.models import Q

from apps.execution.models import Account, EquityPoint, Execution, Fill, Order
from apps.execution.open_orders import PROTECTIVE

__all__ = ["PROTECTIVE"]


class Epoch(NamedTuple):
    """The current epoch of the account. `first_ts_ms` is the market time of its first decision, `first_bar_ms` the bar
    of it; a desk on recorded bars opens its account before it knows what time it is there."""

    number: int
    first_ts_ms: int
    first_bar_ms: int
    initial_cash_e8: int


class DecisionRow(NamedTuple):
    """One decision; `audit_id` names the record that holds all of it."""

    execution_id: str
    symbol: str
    source: str
    bar_open_ms: int
    attempt: int
    status: str
    reason: str | None
    ts_ms: int
    audit_id: str
    audit_sequence: int


class FillRow(NamedTuple):
    """One fill with what its order says of it. `side` is BUY or SELL, `fee_asset` quote or base."""

    execution_id: str
    origin: str
    symbol: str
    side: str
    price_e8: int
    quantity_e8: int
    notional_e8: int
    fee_e8: int
    fee_asset: str
    audit_id: str
    ts_ms: int


class SentRow(NamedTuple):
    """One order as counters see it; `equity_after_e8` is the account's after it, where it filled."""

    symbol: str
    origin: str
    side: str
    decided_ts_ms: int
    filled_e8: int
    equity_after_e8: int


def epoch_current() -> Epoch | None:
    """The newest epoch; None before anything was decided in it."""
    row = Account.objects.order_by("-epoch").first()
    first = Execution.objects.filter(account=row).order_by("audit_sequence").first()
    return (
        None if row is None or first is None else Epoch(row.epoch, first.ts_ms, first.bar_open_ms, row.initial_cash_e8)
    )


def decisions_between(epoch: int, start_ms: int, end_ms: int) -> list[DecisionRow]:
    """Decisions with start_ms <= time < end_ms, in the order of their records."""
    rows = Execution.objects.filter(account_id=epoch, ts_ms__gte=start_ms, ts_ms__lt=end_ms)
    return [DecisionRow(*row) for row in rows.order_by("audit_sequence").values_list(*DecisionRow._fields)]


def fills_between(epoch: int, start_ms: int, end_ms: int) -> list[FillRow]:
    """Fills with start_ms <= time < end_ms, in the order they were written."""
    names = ["order__execution_id", "order__origin", *FillRow._fields[2:]]
    rows = Fill.objects.filter(account_id=epoch, ts_ms__gte=start_ms, ts_ms__lt=end_ms)
    return [FillRow(*row) for row in rows.order_by("pk").values_list(*names)]


def orders_before(epoch: int, end_ms: int) -> list[SentRow]:
    """Orders of an epoch that were decided before a moment."""
    rows = Order.objects.filter(Q(account_id=epoch), decided_ts_ms__lt=end_ms).order_by("number")
    return [SentRow(*row) for row in rows.values_list(*SentRow._fields)]


def equity_between(epoch: int, start_ms: int, end_ms: int) -> dict[int, int]:
    """Equity at the closes of bars with start_ms <= time <= end_ms, by time."""
    points = EquityPoint.objects.filter(account_id=epoch, ts_ms__gte=start_ms, ts_ms__lte=end_ms)
    return dict(points.order_by("ts_ms").values_list("ts_ms", "equity_e8"))
