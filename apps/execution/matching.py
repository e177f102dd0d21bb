"""Let a symbol's open orders meet what has come of its market: one transaction for each event that does something."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, transaction

from apps.audit import services as audit
from apps.engine.consumption import Consumption
from apps.engine.decimals import e8_text
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
from apps.execution.marking import breakers_settle, is_reducing
from apps.execution.matching_rows import OpenBook, open_book, orders_cancel, quiet_write, step_write
from apps.execution.models import Account, Order
from apps.execution.open_orders import PROTECTIVE, order_of
from apps.execution.order_rows import SIDES, state_put
from apps.execution.protective import protective_follow
from apps.execution.selectors import account_current
from apps.marketdata import selectors as market
from apps.marketdata.hub import broadcast
from apps.risk import fence
from apps.risk.sentinel import sentinel_reason
from apps.web.values import iso_ms

CANCEL_KIND = "execution.cancel"
MATCHER = "matcher"
HALTED = "trading is HALTED"


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
    symbol: str,
    events: Sequence[Event],
    *,
    now_ms: int,
    may_wait: bool,
    marks: Mapping[str, int] | None = None,
    using: str = DEFAULT_DB_ALIAS,
) -> Progress:
    """Take events in, in their order; each that fills, triggers or ends an order is a transaction of its own.

    The breakers are judged at each that fills, at `marks`; while something that is held has none, nothing is judged.
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
        n_done = _commit(symbol, events[n_settled:], now_ms=now_ms, marks=marks or {}, using=using)
        n_settled += n_done
        n_written += 1
        if planned.step is None or n_settled >= len(events):
            return Progress(n_settled, n_written)


def watch(symbol: str, *, now_ms: int, using: str = DEFAULT_DB_ALIAS) -> list[str]:
    """Cancel what may not stand, everything when HALTED, new risk when REDUCING or while a breaker is open; and carry
    open orders into a changed tick or step, where they have an exact form in it. Returns the canceled."""
    rules, account = market.filters_current(symbol), account_current()
    rows = Order.objects.using(using).filter(symbol=symbol, is_open=True).exclude(filter_revision=rules.revision)
    is_changed = bool(split_by_units(rows, rules)[1])
    controls = controls_read(symbol=symbol, halted=sentinel_reason(), using=using)
    if account is None or not (is_changed or _restraint(controls, account, now_ms)):
        return []
    with fence.shared(using=using, allow_halted=True) as passage:
        state = account_state(using=using)
        require_lease(using=using)
        controls = controls_read(symbol=symbol, halted=passage.halted, using=using)
        ended = _cancel_unwanted(symbol, state, controls, now_ms=now_ms, using=using)
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


def _commit(symbol: str, events: Sequence[Event], *, now_ms: int, marks: Mapping[str, int], using: str) -> int:
    """Write events up to the first that is not quiet, from the rows as they are now; how many that were."""
    with fence.shared(using=using, allow_halted=True) as passage:
        state = account_state(using=using)
        require_lease(using=using)
        controls = controls_read(symbol=symbol, halted=passage.halted, using=using)
        if _cancel_unwanted(symbol, state, controls, now_ms=now_ms, using=using):
            return 0
        plan = _plan(_book(symbol, state.account, controls, using), events)
        if plan.step is None or plan.ledger is None or plan.event is None:
            quiet_write(plan.book, ts_ms=now_ms, using=using)
        else:
            book, step, ts_ms = plan.book, plan.step, plan.event.ts_ms
            audit_id = step_write(
                before=book, event=plan.event, step=step, ledger=plan.ledger, state=state, using=using
            )
            if step.fills:
                filled = tuple(dict.fromkeys(fill.order_id for fill in step.fills))
                breakers_settle(state, controls, marks, now_ms=now_ms, filled=filled, using=using)
                protective_follow(symbol=symbol, state=state, rules=book.rules, ts_ms=ts_ms, using=using)
                transaction.on_commit(partial(broadcast, _frame(book, step, audit_id, ts_ms)), using=using)
        return plan.n_events


def _frame(book: OpenBook, step: Step, audit_id: str, ts_ms: int) -> dict[str, Any]:
    """What browsers hear of fills of open orders, once they are committed."""
    sides = {order.order_id: SIDES[order.side] for order in (*step.orders, *step.closed)}
    fills = [
        {
            "orderId": fill.order_id,
            "side": sides[fill.order_id],
            "price": e8_text(fill.price_ticks * book.rules.tick_e8),
            "quantity": e8_text(fill.lots * book.rules.step_e8),
            "liquidity": "maker" if fill.is_maker else "taker",
            "rule": str(fill.rule),
        }
        for fill in step.fills
    ]
    return {"type": "fill", "symbol": book.symbol, "auditId": audit_id, "ts": iso_ms(ts_ms), "fills": fills}


def _read(symbol: str, using: str) -> OpenBook:
    """The open orders without any lock, to see whether there is something to write."""
    account = account_current()
    assert account is not None, "the paper account was never opened"
    return _book(symbol, account, controls_read(symbol=symbol, halted=None, using=using), using)


def _book(symbol: str, account: Account, controls: Controls, using: str) -> OpenBook:
    return open_book(
        symbol=symbol,
        account=account,
        stale_after_ms=controls.limits["stale_after_ms"],
        using=using,
    )


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


def _restraint(controls: Controls, account: Account, now_ms: int) -> str:
    """Why not every open order may stand; "" where all may. A state that cannot be read is HALTED."""
    if controls.trading_state is None or controls.trading_state >= TradingState.HALTED:
        return HALTED
    if controls.trading_state != TradingState.ACTIVE:
        return "trading is REDUCING"
    return "a breaker is open" if is_reducing(account, controls, now_ms=now_ms) else ""


def _cancel_unwanted(symbol: str, state: AccountState, controls: Controls, *, now_ms: int, using: str) -> list[str]:
    """End what must not fill now, with a record of it."""
    why = _restraint(controls, state.account, now_ms)
    if not why:
        return []
    rows = list(
        Order.objects.using(using).filter(account=state.account, symbol=symbol, is_open=True).order_by("number")
    )
    if why != HALTED:
        rows = _adding_risk(rows, state.position(symbol).quantity_e8)
    if not rows:
        return []
    rules = {symbol: market.filters_current(symbol)}
    ended = orders_cancel(rows, reason=OrderReason.CANCELED, rules=rules, ts_ms=now_ms, using=using)
    body = {"symbol": symbol, "orderIds": ended, "reason": why, "controlsSequence": controls.sequence}
    audit.audit_append(kind=CANCEL_KIND, actor=MATCHER, ts_ms=now_ms, body=body, using=using)
    return ended


def _adding_risk(rows: list[Order], held_e8: int) -> list[Order]:
    """Orders that could do more than shrink what is held, the oldest served first; a list counts once."""
    left, lists, adding = abs(held_e8), set[str](), []
    for row in rows:
        open_e8, is_exit = row.quantity_e8 - row.filled_e8, held_e8 * order_of(row).side < 0
        if row.list_id in lists or (is_exit and row.origin == PROTECTIVE):
            continue
        if not is_exit or open_e8 > left:
            adding.append(row)
            continue
        left -= open_e8
        lists |= {row.list_id} - {""}
    return adding
