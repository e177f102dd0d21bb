"""Let a symbol's open orders meet what has come of its market: one transaction for each event that does something."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from django.db import DEFAULT_DB_ALIAS

from apps.audit import services as audit
from apps.engine.consumption import Consumption
from apps.engine.order_record import match
from apps.engine.order_step import Step
from apps.engine.order_types import OrderReason
from apps.engine.order_values import Depth, Phase, Trade, depth_of
from apps.engine.reasons import TradingState
from apps.engine.stream_events import AggTradeEvent
from apps.engine.values import Book, Filters
from apps.execution.account import AccountState, account_state
from apps.execution.changed_rules import converted, split_by_units
from apps.execution.controls import Controls, controls_read
from apps.execution.lease import require_lease
from apps.execution.matching_rows import OpenBook, open_book, orders_cancel, quiet_write, step_write
from apps.execution.models import Account, Order
from apps.execution.open_orders import order_of
from apps.execution.order_rows import state_put
from apps.execution.protective import protective_follow
from apps.execution.selectors import account_current
from apps.marketdata import selectors as market
from apps.risk import fence
from apps.risk.sentinel import sentinel_reason

CANCEL_KIND = "execution.cancel"
MATCHER = "matcher"


class SeenBook(NamedTuple):
    """A book with what was known beside it when it came: its age, -1 unknown, and the last trade."""

    book: Book
    age_ms: int
    last_e8: int
    last_trade_id: int


Event = SeenBook | AggTradeEvent


@dataclass(frozen=True)
class Progress:
    """How many of the events are settled in rows, and which orders' fills or ends were written on the way."""

    n_settled: int
    n_written: int


def meet(
    symbol: str, events: Sequence[Event], *, now_ms: int, may_wait: bool, using: str = DEFAULT_DB_ALIAS
) -> Progress:
    """Take events in, in their order; each that fills, triggers or ends an order is a transaction of its own.

    Where nothing but queues and extremes has moved, and it may wait, nothing is written and nothing is settled: the
    same events are met again from the same rows.
    """
    n_settled = n_written = 0
    while True:
        planned = _plan(_read(symbol, using), events[n_settled:])
        if planned.step is None and (may_wait or not planned.is_changed):
            # Nothing in the rows tells these events apart from none: they need not be met again.
            n_done = n_settled if planned.is_changed else len(events)
            return Progress(n_done, n_written)
        n_done = _commit(symbol, events[n_settled:], now_ms=now_ms, using=using)
        n_settled += n_done
        n_written += 1
        if planned.step is None or n_settled >= len(events):
            return Progress(n_settled, n_written)


def watch(symbol: str, *, now_ms: int, using: str = DEFAULT_DB_ALIAS) -> list[str]:
    """Cancel what the trading state does not let stand, everything when HALTED, new risk when REDUCING; and carry open
    orders into a changed tick or step, where they have an exact form in it. Returns the canceled."""
    rules = market.filters_current(symbol)
    rows = Order.objects.using(using).filter(symbol=symbol, is_open=True).exclude(filter_revision=rules.revision)
    is_changed = bool(split_by_units(rows, rules)[1])
    if not is_changed and not _is_doubtful(controls_read(symbol=symbol, halted=sentinel_reason(), using=using)):
        return []
    with fence.shared(using=using, allow_halted=True) as passage:
        state = account_state(using=using)
        require_lease(using=using)
        controls = controls_read(symbol=symbol, halted=passage.halted, using=using)
        ended = _cancel_unwanted(symbol, state, controls, now_ms=now_ms, using=using) if _is_doubtful(controls) else []
        return ended + _convert(symbol, state, rules, now_ms=now_ms, using=using)


def _convert(symbol: str, state: AccountState, rules: Filters, *, now_ms: int, using: str) -> list[str]:
    """Open orders into the units of changed rules, with a record; those without an exact form end."""
    rows = Order.objects.using(using).filter(account=state.account, symbol=symbol, is_open=True)
    _, other = split_by_units(rows, rules)
    if not other:
        return []
    gone = [row for row in other if converted(row, rules) is None]
    for row in other:
        order = converted(row, rules)
        if order is not None:
            row.filter_revision = rules.revision
            state_put(row, order, rules, ts_ms=now_ms, arrived_ms=0)
            row.save(using=using)
    canceled = []
    for row in gone:
        before = {symbol: market.filters_at(symbol, row.filter_revision)}
        canceled += orders_cancel([row], reason=OrderReason.CANCELED, rules=before, ts_ms=now_ms, using=using)
    body = {
        "symbol": symbol,
        "orderIds": canceled,
        "convertedOrderIds": [row.order_id for row in other if row not in gone],
        "reason": "the exchange changed tick or step",
        "filterRevision": rules.revision,
    }
    audit.audit_append(kind=CANCEL_KIND, actor=MATCHER, ts_ms=now_ms, body=body, using=using)
    return canceled


class _Plan(NamedTuple):
    """What events make of a book: up to the first that is not quiet, which `step`, `ledger` and `event` are of."""

    book: OpenBook
    n_events: int
    event: Depth | Trade | None
    step: Step | None
    ledger: Consumption | None
    is_changed: bool


def _plan(book: OpenBook, events: Iterable[Event]) -> _Plan:
    current, n_events = book, 0
    for seen in events:
        n_events += 1
        event = _event_of(seen, book.rules)
        if not current.orders or not _is_news(current, event):
            continue
        step, ledger = match(current.inputs(event))
        if not step.is_quiet:
            return _Plan(current, n_events, event, step, ledger, True)
        current = current.after(step, ledger, event)
    is_changed = current.orders != book.orders or current.ledger.levels != book.ledger.levels
    return _Plan(current, n_events, None, None, None, is_changed)


def _commit(symbol: str, events: Sequence[Event], *, now_ms: int, using: str) -> int:
    """Write events up to the first that is not quiet, from the rows as they are now; how many that were."""
    with fence.shared(using=using, allow_halted=True) as passage:
        state = account_state(using=using)
        require_lease(using=using)
        controls = controls_read(symbol=symbol, halted=passage.halted, using=using)
        if _is_doubtful(controls) and _cancel_unwanted(symbol, state, controls, now_ms=now_ms, using=using):
            return 0
        plan = _plan(_book(symbol, state.account, controls, using), events)
        if plan.step is None or plan.ledger is None or plan.event is None:
            quiet_write(plan.book, ts_ms=now_ms, using=using)
        else:
            step_write(before=plan.book, event=plan.event, step=plan.step, ledger=plan.ledger, state=state, using=using)
            if plan.step.fills:
                rules, ts_ms = plan.book.rules, plan.event.ts_ms
                protective_follow(symbol=symbol, state=state, rules=rules, ts_ms=ts_ms, using=using)
        return plan.n_events


def _read(symbol: str, using: str) -> OpenBook:
    """The open orders without any lock, to see whether there is something to write."""
    account = account_current()
    assert account is not None, "the paper account was never opened"
    return _book(symbol, account, controls_read(symbol=symbol, halted=None, using=using), using)


def _book(symbol: str, account: Account, controls: Controls, using: str) -> OpenBook:
    return open_book(
        symbol=symbol,
        account=account,
        filters=rules_of_open(symbol, account, using=using),
        stale_after_ms=controls.limits["stale_after_ms"],
        using=using,
    )


def rules_of_open(symbol: str, account: Account, *, using: str) -> dict[str, Filters]:
    """The exchange's rules for a symbol and for all that have open orders."""
    names = Order.objects.using(using).filter(account=account, is_open=True).values_list("symbol", flat=True)
    return {name: market.filters_current(name) for name in {symbol, *names}}


def _event_of(seen: Event, rules: Filters) -> Depth | Trade:
    """The event in ticks and lots; part of a lot traded moves no queue."""
    if isinstance(seen, SeenBook):
        return depth_of(
            seen.book, rules, age_ms=seen.age_ms, last_price_e8=seen.last_e8, last_trade_id=seen.last_trade_id
        )
    ticks, lots = seen.price_e8 // rules.tick_e8, seen.quantity_e8 // rules.step_e8
    return Trade(seen.trade_id, seen.trade_ms, ticks, lots, seen.buyer_is_maker)


def _is_news(book: OpenBook, event: Depth | Trade) -> bool:
    """Whether some open order has not met this event: a later trade, a later book, or the book it arrives at."""
    if isinstance(event, Trade):
        return any(order.last_trade_id < event.trade_id for order in book.orders)
    if event.ts_ms > book.seen_ms:
        return True
    return any(order.phase is Phase.TRAVELING and order.due_ms <= event.ts_ms for order in book.orders)


def _is_doubtful(controls: Controls) -> bool:
    return controls.trading_state != TradingState.ACTIVE


def _cancel_unwanted(symbol: str, state: AccountState, controls: Controls, *, now_ms: int, using: str) -> list[str]:
    """End what must not fill in this trading state, with a record of it. A state that cannot be read is HALTED."""
    rows = list(Order.objects.using(using).filter(account=state.account, symbol=symbol, is_open=True))
    is_halted = controls.trading_state is None or controls.trading_state >= TradingState.HALTED
    if not is_halted:
        held = state.position(symbol).quantity_e8
        rows = [row for row in rows if _adds_risk(row, held)]
    if not rows:
        return []
    rules = rules_of_open(symbol, state.account, using=using)
    ended = orders_cancel(rows, reason=OrderReason.CANCELED, rules=rules, ts_ms=now_ms, using=using)
    why = "HALTED" if is_halted else "REDUCING"
    body = {"symbol": symbol, "orderIds": ended, "reason": f"trading is {why}", "controlsSequence": controls.sequence}
    audit.audit_append(kind=CANCEL_KIND, actor=MATCHER, ts_ms=now_ms, body=body, using=using)
    return ended


def _adds_risk(row: Order, held_e8: int) -> bool:
    order = order_of(row)
    return held_e8 * order.side >= 0 or (row.quantity_e8 - row.filled_e8 > abs(held_e8))
