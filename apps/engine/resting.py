"""How live paper orders fill: on the book they arrive at, then in the queue, trade by trade.

Three transitions, all plain functions of what they are given. `arrive` is one order meeting its first book; `on_book`
is every open order of a symbol meeting a book; `on_trade` is every open order meeting one aggregate trade, in order of
trade id. A touch without a trade fills nothing, and each displayed or traded lot is used once.
"""

from __future__ import annotations

from typing import NamedTuple

from apps.engine.consumption import Consumption, available, refresh, take, taken_at
from apps.engine.errors import Conflict
from apps.engine.order_step import Draft, Step, armed, is_cancel_due, watch, with_fills
from apps.engine.order_types import (
    BUY,
    OrderReason,
    OrderStatus,
    OrderType,
    TimeInForce,
    Touch,
    market_refusal,
    would_match,
)
from apps.engine.order_values import (
    Depth,
    Fill,
    OpenOrder,
    OrderTerms,
    Phase,
    Rule,
    Trade,
    fill_of,
    locked_total,
    settlement,
)


class Arrival(NamedTuple):
    """An order after it met a book, its fills, the ledger after them, and why it is not filled whole."""

    order: OpenOrder
    fills: tuple[Fill, ...]
    ledger: Consumption
    reason: OrderReason


def arrive(
    order: OpenOrder, depth: Depth, ledger: Consumption, terms: OrderTerms, budget_e8: int | None = None
) -> Arrival:
    """A traveling order meets the first book at or after `due_ms`.

    A stop is armed. Anything else takes what is displayed and not yet taken, one fill per level, as taker; what is
    left of a GTC limit rests, what is left of the others expires. A buy that costs more than `budget_e8` (None: not
    checked) is refused whole. A stale book matches nothing: what may wait, waits for the next one. Raises Conflict
    for an order that is not due.
    """
    if order.phase is not Phase.TRAVELING or depth.ts_ms < order.due_ms:
        raise Conflict(f"order {order.order_id} is {order.phase}, due at {order.due_ms}; the book is of {depth.ts_ms}")
    if is_stale(depth, terms):
        return _ended(_stale(order), ledger)
    ledger = refresh(ledger, depth)
    if order.type.has_trigger and not order.is_triggered:
        return _ended(_armed_or_refused(order, depth), ledger)
    if order.type is OrderType.LIMIT_MAKER and would_match(order.side, order.price_ticks, _touch(depth)):
        return _ended(_closed(order, OrderStatus.REJECTED, OrderReason.WOULD_TAKE), ledger)
    return _match(order, depth, ledger, terms, budget_e8)


def on_book(
    orders: tuple[OpenOrder, ...], depth: Depth, ledger: Consumption, terms: OrderTerms, cash_e8: int
) -> tuple[Step, Consumption]:
    """Every open order of the symbol meets a book: due orders arrive in order of time, unknown queues are seen, due
    cancels take what is left. `cash_e8` is the quote cash that orders of other symbols have not locked.
    """
    draft = Draft(orders)
    if not is_stale(depth, terms):
        ledger = refresh(ledger, depth)
    for order in sorted(orders, key=lambda order: (order.due_ms, order.sequence)):
        current = draft.now(order)
        if current is None or current.phase is not Phase.TRAVELING or current.due_ms > depth.ts_ms:
            continue
        others = [o for o in draft.orders() if o is not current and not (o.list_id and o.list_id == current.list_id)]
        arrival = arrive(current, depth, ledger, terms, cash_e8 - locked_total(others, terms).quote_e8)
        ledger = arrival.ledger
        draft.put(arrival.order, arrival.fills)
        cash_e8 += sum(settlement(order.side, fill, terms).quote_e8 for fill in arrival.fills)
    for order in draft.orders():
        current = draft.now(order)
        if current is None or (current.phase is Phase.TRAVELING and current.due_ms > depth.ts_ms):
            continue
        if is_cancel_due(current, depth.ts_ms):
            draft.cancel(current, OrderReason.CANCELED)
        elif current.phase is Phase.RESTING and current.queue_ahead_lots is None and not is_stale(depth, terms):
            draft.put(current._replace(queue_ahead_lots=displayed_at(depth, current.side, current.price_ticks)))
    return draft.step(), ledger


def on_trade(orders: tuple[OpenOrder, ...], trade: Trade, ledger: Consumption, terms: OrderTerms) -> Step:
    """Every open order of the symbol meets one trade: due cancels first, then triggers, then fills.

    An order counts a trade later than its own start and above the last id it has seen, so a trade given twice, or
    one from before the order, does nothing to it.
    """
    draft = Draft(orders)
    for order in draft.orders():
        if order.phase is not Phase.TRAVELING and is_cancel_due(order, trade.ts_ms) and draft.now(order) is not None:
            draft.cancel(order, OrderReason.CANCELED)
    for order in draft.orders():
        if order.phase is Phase.ARMED and _counts(order, trade) and draft.now(order) is not None:
            draft.put(_watched(order, trade))
    left = trade.lots
    for side in (-trade.aggressor, trade.aggressor):
        if side == trade.aggressor:
            # Such a trade took displayed lots of the side that we may have taken ourselves: those are gone.
            left = min(left, max(0, trade.lots - taken_at(ledger, -side, trade.price_ticks)))
        left = _share(draft, side, trade, left, terms)
    for order in draft.orders():
        if order.last_trade_id < trade.trade_id:
            draft.put(order._replace(last_trade_id=trade.trade_id))
    return draft.step()


def is_stale(depth: Depth, terms: OrderTerms) -> bool:
    return not 0 <= depth.age_ms <= terms.stale_after_ms


def displayed_at(depth: Depth, book_side: int, price_ticks: int) -> int | None:
    """Lots displayed at a price; None beyond the displayed window, where nobody knows."""
    side = depth.side(book_side)
    if not side or (side[-1][0] - price_ticks) * book_side > 0:
        return None
    return sum(lots for ticks, lots in side if ticks == price_ticks)


def _match(order: OpenOrder, depth: Depth, ledger: Consumption, terms: OrderTerms, budget_e8: int | None) -> Arrival:
    offers = available(ledger, depth, -order.side)
    taken = _walk(order, offers)
    if order.time_in_force is TimeInForce.FOK and sum(lots for _, lots in taken) < order.open_lots:
        return _ended(_closed(order, OrderStatus.EXPIRED, OrderReason.NOT_WHOLE), ledger)
    fills = tuple(fill_of(order, ticks, lots, terms, rule=Rule.DEPTH, is_maker=False) for ticks, lots in taken)
    cost = -sum(settlement(order.side, fill, terms).quote_e8 for fill in fills)
    if order.side == BUY and budget_e8 is not None and cost > budget_e8:
        return _ended(_closed(order, OrderStatus.EXPIRED, OrderReason.FREE_BALANCE), ledger)
    ledger = take(ledger, depth, -order.side, taken)
    after = with_fills(order, fills)
    if after.status is not OrderStatus.FILLED:
        after = _left_over(after, depth, offers, sum(lots for _, lots in taken))
    return Arrival(after, fills, ledger, after.reason)


def _walk(order: OpenOrder, offers: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """What the order takes, level by level, never beyond its limit."""
    taken, left = [], order.open_lots
    for ticks, lots in offers:
        if left == 0 or (order.price_ticks and order.side * (ticks - order.price_ticks) > 0):
            break
        taken.append((ticks, min(left, lots)))
        left -= taken[-1][1]
    return taken


def _left_over(order: OpenOrder, depth: Depth, offers: list[tuple[int, int]], n_taken: int) -> OpenOrder:
    """What an order does with lots the book did not fill: a GTC limit rests behind what is displayed at its price."""
    if order.type.has_price and order.time_in_force is TimeInForce.GTC:
        ahead = displayed_at(depth, order.side, order.price_ticks)
        return order._replace(
            phase=Phase.RESTING, queue_ahead_lots=ahead, since_ms=depth.ts_ms, reason=OrderReason.NONE,
            last_trade_id=max(order.last_trade_id, depth.last_trade_id),
        )  # fmt: skip
    if not offers:
        reason = OrderReason.BOOK_EMPTY
    elif n_taken < sum(lots for _, lots in offers):
        reason = OrderReason.LIMIT_NOT_MET
    else:
        reason = OrderReason.BOOK_EXHAUSTED
    return _closed(order, OrderStatus.EXPIRED, reason)


def _armed_or_refused(order: OpenOrder, depth: Depth) -> OpenOrder:
    """A stop begins to wait, is refused on the wrong side of the last trade, or waits for a first trade to be known."""
    if depth.last_ticks <= 0:
        return order._replace(reason=OrderReason.DATA_STALE)
    refusal = market_refusal(order.type, order.side, order.price_ticks, order.stop_ticks, _touch(depth))
    if refusal:
        return _closed(order, OrderStatus.REJECTED, refusal.reason)
    return armed(order, since_ms=depth.ts_ms, last_trade_id=depth.last_trade_id, last_ticks=depth.last_ticks)


def _stale(order: OpenOrder) -> OpenOrder:
    """A triggered stop still protects something and a GTC limit has time: they wait. What wanted to be now, ends."""
    if order.type.has_trigger or order.time_in_force is TimeInForce.GTC:
        return order._replace(reason=OrderReason.DATA_STALE)
    return _closed(order, OrderStatus.EXPIRED, OrderReason.DATA_STALE)


def _closed(order: OpenOrder, status: OrderStatus, reason: OrderReason) -> OpenOrder:
    return order._replace(status=status, reason=reason)


def _ended(order: OpenOrder, ledger: Consumption) -> Arrival:
    return Arrival(order, (), ledger, order.reason)


def _touch(depth: Depth) -> Touch:
    bid, ask = (side[0][0] if side else 0 for side in (depth.bids, depth.asks))
    return Touch(bid, ask, depth.last_ticks)


def _counts(order: OpenOrder, trade: Trade) -> bool:
    return trade.trade_id > order.last_trade_id and trade.ts_ms > order.since_ms


def _watched(order: OpenOrder, trade: Trade) -> OpenOrder:
    """A triggered stop travels again, as the order it becomes, to the first book after the same latency."""
    order, is_triggered = watch(order, trade.price_ticks)
    if not is_triggered:
        return order
    return order._replace(phase=Phase.TRAVELING, trigger_trade_id=trade.trade_id, due_ms=trade.ts_ms + order.latency_ms)


def _share(draft: Draft, side: int, trade: Trade, left: int, terms: OrderTerms) -> int:
    """Give traded lots to our resting orders of one side, best price first, then oldest; returns what is left.

    A trade through a price clears its queue. At the price itself only the opposite aggressor counts: its lots serve
    those ahead of us first, and whoever stands ahead of an older order of ours stands ahead of a younger one too.
    """
    served = 0
    for order in _reached(draft.orders(), side, trade):
        if draft.now(order) is None:
            continue
        is_through = order.price_ticks != trade.price_ticks
        queue = order.queue_ahead_lots
        if is_through:
            queue = 0
        else:
            # An unknown queue lets nobody pass: it takes all that is left.
            ahead = served + left if queue is None else queue
            used = min(left, max(0, ahead - served))
            left, served = left - used, served + used
            queue = None if queue is None else max(0, queue - served)
        lots = min(order.open_lots, left)
        left -= lots
        rule = Rule.THROUGH if is_through else Rule.QUEUE
        fills = [fill_of(order, order.price_ticks, lots, terms, rule=rule, is_maker=True, trade_id=trade.trade_id)]
        fills = fills if lots > 0 else []
        draft.put(with_fills(order._replace(queue_ahead_lots=queue), fills), fills)
    return left


def _reached(orders: list[OpenOrder], side: int, trade: Trade) -> list[OpenOrder]:
    """Resting orders of a side that this trade reaches, in price-time priority."""
    at_price = 0 if side == -trade.aggressor else 1
    reached = [
        order
        for order in orders
        if order.side == side and order.phase is Phase.RESTING and _counts(order, trade)
        and side * (order.price_ticks - trade.price_ticks) >= at_price
    ]  # fmt: skip
    return sorted(reached, key=lambda o: (-side * o.price_ticks, o.since_ms, o.sequence))
