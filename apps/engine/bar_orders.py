"""How open orders fill where there are bars and nothing else.

The path inside a bar is unknown, so whatever is unknown goes against us: a limit needs the price to pass beyond it, a
stop fills at the worse of its trigger and the open, and of a stop and a target in one bar the stop comes first. All
orders of a symbol share one tenth of the bar's volume. Market prices carry the slippage of fills.fill_bar_next_nb.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from apps.engine.fills import FILL_WIDTH, PARTICIPATION_DIVISOR, fill_bar_next_nb
from apps.engine.order_step import Draft, Step, armed, is_cancel_due, trailing_ticks, watch, with_fills
from apps.engine.order_types import (
    BUY,
    OrderReason,
    OrderStatus,
    OrderType,
    TimeInForce,
    Touch,
    market_refusal,
    would_trigger,
)
from apps.engine.order_values import Fill, OpenOrder, OrderTerms, Phase, Rule, fill_of


class OrderBar(NamedTuple):
    """One closed bar in ticks and lots. `close_ms` is its last millisecond."""

    open_ms: int
    close_ms: int
    open_ticks: int
    high_ticks: int
    low_ticks: int
    close_ticks: int
    volume_lots: int


class BarTerms(NamedTuple):
    """What trading costs on bars: volatility of a bar, mean quote volume, and 0, 1 or 2 times the slippage."""

    terms: OrderTerms
    sigma_bar: float
    adv_quote: float
    slippage_scale: int


class _Tape:
    """One bar while orders are matched on it: who has taken how much of its volume."""

    def __init__(self, draft: Draft, bar: OrderBar, costs: BarTerms) -> None:
        self.draft = draft
        self.bar = bar
        self.costs = costs
        self.left = bar.volume_lots // PARTICIPATION_DIVISOR

    def fill(self, order: OpenOrder, ticks: int, lots: int, *, is_maker: bool) -> list[Fill]:
        if lots <= 0:
            return []
        self.left -= lots
        return [fill_of(order, ticks, lots, self.costs.terms, rule=Rule.BAR, is_maker=is_maker)]


def on_bar(orders: tuple[OpenOrder, ...], bar: OrderBar, costs: BarTerms) -> Step:
    """Every open order of a symbol meets one closed bar; a bar given twice does nothing.

    An order placed by the open enters at the open. Then, whatever happened first in truth: stops, limits in
    price-time order, profits. Cancels due by the close take what is left.
    """
    draft = Draft(orders)
    tape = _Tape(draft, bar, costs)
    fresh = [order for order in draft.orders() if order.last_trade_id < bar.open_ms and order.placed_ms <= bar.open_ms]
    for order in sorted(fresh, key=lambda order: (order.placed_ms, order.sequence)):
        current = draft.now(order)
        if current is not None and current.phase is Phase.TRAVELING:
            _enter(current, tape)
    _stops(fresh, tape, is_loss=True)
    _limits(fresh, tape)
    _stops(fresh, tape, is_loss=False)
    for order in fresh:
        current = draft.now(order)
        if current is not None and is_cancel_due(current, bar.close_ms):
            draft.cancel(current, OrderReason.CANCELED)
        elif current is not None:
            draft.put(current._replace(last_trade_id=bar.open_ms))
    return draft.step()


def _enter(order: OpenOrder, tape: _Tape) -> None:
    """A new order at the bar's open: a stop is armed, the rest takes what the open offers."""
    open_ticks = tape.bar.open_ticks
    touch = Touch(open_ticks, open_ticks, open_ticks)
    refusal = market_refusal(order.type, order.side, order.price_ticks, order.stop_ticks, touch)
    if refusal:
        tape.draft.put(order._replace(status=OrderStatus.REJECTED, reason=refusal.reason))
    elif order.type.has_trigger and not order.is_triggered:
        tape.draft.put(armed(order, since_ms=tape.bar.open_ms, last_trade_id=-1, last_ticks=open_ticks))
    else:
        _execute(order, open_ticks, tape, since_ms=tape.bar.open_ms)


def _stops(orders: list[OpenOrder], tape: _Tape, *, is_loss: bool) -> None:
    """Trigger and execute what this bar touched, oldest first. What becomes a limit may rest from the next bar on."""
    for order in sorted(orders, key=lambda order: (order.placed_ms, order.sequence)):
        current = tape.draft.now(order)
        if current is None or current.phase is not Phase.ARMED or current.type.is_loss_stop is not is_loss:
            continue
        current, trigger = _trigger_of(current, tape.bar)
        if trigger is None:
            tape.draft.put(current)
            continue
        worse = max if current.side == BUY else min
        # A profit fills at its trigger: the open is either not there yet or better than it.
        base = worse(trigger, tape.bar.open_ticks) if is_loss else trigger
        current = current._replace(trigger_trade_id=tape.bar.open_ms)
        _execute(current, base, tape, since_ms=tape.bar.close_ms)


def _trigger_of(order: OpenOrder, bar: OrderBar) -> tuple[OpenOrder, int | None]:
    """The price at which this bar triggered the order, or None.

    A trailing stop is first judged by the extreme before this bar. Then the bar's own extreme counts, and the close,
    which certainly came after it.
    """
    bad, good = (bar.high_ticks, bar.low_ticks) if order.side == BUY else (bar.low_ticks, bar.high_ticks)
    if order.type is not OrderType.TRAILING_STOP:
        reached = bad if order.type.is_loss_stop else good
        is_hit = would_trigger(order.type, order.side, order.stop_ticks, reached)
        return order, order.stop_ticks if is_hit else None
    before = trailing_ticks(order)
    if order.side * (bad - before) >= 0:
        return order, before
    order, _ = watch(order, good)
    order, is_hit = watch(order, bar.close_ticks)
    return order, trailing_ticks(order) if is_hit else None


def _execute(order: OpenOrder, base_ticks: int, tape: _Tape, *, since_ms: int) -> None:
    """Take at a base price plus slippage, never beyond the limit; the rest of a GTC limit rests, all else expires."""
    ticks, lots = _slipped(order, base_ticks, tape)
    is_beyond = ticks > 0 and order.price_ticks > 0 and order.side * (ticks - order.price_ticks) > 0
    lots = 0 if is_beyond else lots
    if order.time_in_force is TimeInForce.FOK and lots < order.open_lots:
        lots = 0
    fills = tape.fill(order, ticks, lots, is_maker=False)
    after = with_fills(order, fills)
    if after.status is not OrderStatus.FILLED:
        after = _left_over(after, tape, is_beyond=is_beyond, is_priced=ticks > 0, since_ms=since_ms)
    tape.draft.put(after, fills)


def _left_over(order: OpenOrder, tape: _Tape, *, is_beyond: bool, is_priced: bool, since_ms: int) -> OpenOrder:
    if order.type.has_price and order.time_in_force is TimeInForce.GTC:
        return order._replace(phase=Phase.RESTING, since_ms=since_ms, queue_ahead_lots=0)
    if order.time_in_force is TimeInForce.FOK:
        reason = OrderReason.NOT_WHOLE
    elif is_beyond:
        reason = OrderReason.LIMIT_NOT_MET
    else:
        reason = OrderReason.PARTICIPATION_CAP if is_priced or tape.left <= 0 else OrderReason.NUMERIC_FAULT
    return order._replace(status=OrderStatus.EXPIRED, reason=reason)


def _slipped(order: OpenOrder, base_ticks: int, tape: _Tape) -> tuple[int, int]:
    """(ticks, lots) of a taker on this bar, by the kernel that fills market orders in every batch run."""
    fills = np.zeros((1, FILL_WIDTH), np.int64)
    costs, terms = tape.costs, tape.costs.terms
    n_fills = fill_bar_next_nb(
        order.side, order.open_lots, base_ticks, tape.left * PARTICIPATION_DIVISOR, costs.sigma_bar, costs.adv_quote,
        terms.unit_e8, terms.taker_bps, costs.slippage_scale, fills,
    )  # fmt: skip
    return (int(fills[0, 0]), int(fills[0, 1])) if n_fills else (0, 0)


def _limits(orders: list[OpenOrder], tape: _Tape) -> None:
    """Resting limits that the bar passed beyond fill at their own price, as maker."""
    seen = [current for current in map(tape.draft.now, orders) if current is not None]
    resting = [order for order in seen if order.phase is Phase.RESTING and order.since_ms <= tape.bar.open_ms]
    for order in sorted(resting, key=lambda o: (-o.side * o.price_ticks, o.since_ms, o.sequence)):
        reached = tape.bar.low_ticks if order.side == BUY else tape.bar.high_ticks
        is_passed = order.side * (order.price_ticks - reached) > 0
        if is_passed and tape.draft.now(order) is not None:
            fills = tape.fill(order, order.price_ticks, min(order.open_lots, tape.left), is_maker=True)
            tape.draft.put(with_fills(order, fills), fills)
