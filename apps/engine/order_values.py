"""What is an open order, what does it meet, what does a fill move and what does an open order lock? Whole numbers only.

All values are plain: enums are texts, the rest integers and None, so that a row or a JSON object holds them exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from apps.engine.order_types import (
    BUY,
    OrderReason,
    OrderRequest,
    OrderStatus,
    OrderType,
    TimeInForce,
    effective_time_in_force,
)
from apps.engine.portfolio import fee_nb
from apps.engine.values import Book, Filters


class Phase(StrEnum):
    """Where an open order is. A traveling order meets the first book at or after `due_ms`; an armed one waits for its
    trigger; a resting one stands in the queue at its price."""

    TRAVELING = "traveling"
    ARMED = "armed"
    RESTING = "resting"


class FeeAsset(StrEnum):
    QUOTE = "quote"
    BASE = "base"


class Rule(StrEnum):
    """By which rule of docs/fills.md a fill came about."""

    DEPTH = "depth"
    QUEUE = "queue"
    THROUGH = "through"
    BAR = "bar"


class OrderTerms(NamedTuple):
    """Settings and units of one symbol. `unit_e8` is the quote notional of one lot at one tick, `step_e8` one lot.

    FeeAsset.BASE charges buys in base, as the exchange does without a discount coin; sales always pay in quote.
    """

    unit_e8: int
    step_e8: int
    maker_bps: int
    taker_bps: int
    fee_asset: FeeAsset
    stale_after_ms: int


class Depth(NamedTuple):
    """Displayed depth as (ticks, lots), best first, with its age when met and the last trade known beside it.

    `last_ticks` is 0 and `last_trade_id` -1 while no trade is known.
    """

    symbol: str
    ts_ms: int
    age_ms: int
    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]
    last_ticks: int
    last_trade_id: int

    def side(self, book_side: int) -> tuple[tuple[int, int], ...]:
        """The orders of buyers (+1) or of sellers (-1)."""
        return self.bids if book_side == BUY else self.asks


class Trade(NamedTuple):
    """One aggregate trade. `is_buyer_maker` says that the seller was the aggressor."""

    trade_id: int
    ts_ms: int
    price_ticks: int
    lots: int
    is_buyer_maker: bool

    @property
    def aggressor(self) -> int:
        return -1 if self.is_buyer_maker else 1


class Fill(NamedTuple):
    """What happened: lots of one order at one price. `fee_e8` counts 1e-8 of `fee_asset`."""

    order_id: str
    price_ticks: int
    lots: int
    fee_e8: int
    fee_asset: FeeAsset
    is_maker: bool
    rule: Rule
    trade_id: int | None


class OpenOrder(NamedTuple):
    """One order with all that decides how it goes on. `sequence` orders orders of one time; 0 means "no price".

    `queue_ahead_lots` is None while the level was not displayed: the queue is then unknown and only a trade through
    the price fills. `since_ms` is when it began to rest or wait; earlier trades do not count. `last_trade_id` is the
    last trade (on bars: open time of the last bar) it has seen; `list_id` is "" outside an OCO.
    """

    order_id: str
    sequence: int
    list_id: str
    side: int
    type: OrderType
    time_in_force: TimeInForce
    lots: int
    price_ticks: int
    stop_ticks: int
    trailing_bps: int
    placed_ms: int
    latency_ms: int
    due_ms: int
    phase: Phase
    status: OrderStatus
    reason: OrderReason
    filled_lots: int
    queue_ahead_lots: int | None
    since_ms: int
    last_trade_id: int
    trigger_trade_id: int | None
    extreme_ticks: int
    cancel_due_ms: int | None

    @property
    def open_lots(self) -> int:
        return self.lots - self.filled_lots

    @property
    def is_triggered(self) -> bool:
        return self.trigger_trade_id is not None

    def to_json(self) -> dict[str, Any]:
        """A JSON-able object that `order_from_json` turns back into the same order."""
        return {name: str(value) if isinstance(value, StrEnum) else value for name, value in self._asdict().items()}


def order_from_json(body: Mapping[str, Any]) -> OpenOrder:
    return OpenOrder(**{
        **body, "type": OrderType(body["type"]), "time_in_force": TimeInForce(body["time_in_force"]),
        "phase": Phase(body["phase"]), "status": OrderStatus(body["status"]), "reason": OrderReason(body["reason"]),
    })  # fmt: skip


def open_order(
    request: OrderRequest, filters: Filters, *, order_id: str, sequence: int, placed_ms: int, latency_ms: int,
    list_id: str = "",
) -> OpenOrder:  # fmt: skip
    """An order on its way; the request has passed `check_shape` and `filter_refusal`."""
    return OpenOrder(
        order_id=order_id, sequence=sequence, list_id=list_id, side=request.side, type=request.type,
        time_in_force=effective_time_in_force(request.type, request.time_in_force),
        lots=request.quantity_e8 // filters.step_e8,
        price_ticks=(request.price_e8 or 0) // filters.tick_e8,
        stop_ticks=(request.stop_price_e8 or 0) // filters.tick_e8,
        trailing_bps=request.trailing_bps or 0,
        placed_ms=placed_ms, latency_ms=latency_ms, due_ms=placed_ms + latency_ms,
        phase=Phase.TRAVELING, status=OrderStatus.NEW, reason=OrderReason.NONE, filled_lots=0,
        queue_ahead_lots=None, since_ms=0, last_trade_id=-1, trigger_trade_id=None, extreme_ticks=0,
        cancel_due_ms=None,
    )  # fmt: skip


def depth_of(book: Book, filters: Filters, *, age_ms: int, last_price_e8: int, last_trade_id: int) -> Depth:
    """A book in ticks and lots. What is off the grid is rounded against whoever takes it."""
    bids = _ladder(((price // filters.tick_e8, quantity) for price, quantity in book.bids), filters.step_e8)
    asks = _ladder(((-(-price // filters.tick_e8), quantity) for price, quantity in book.asks), filters.step_e8)
    return Depth(book.symbol, book.ts_ms, age_ms, bids, asks, last_price_e8 // filters.tick_e8, last_trade_id)


def _ladder(levels: Iterable[tuple[int, int]], step_e8: int) -> tuple[tuple[int, int], ...]:
    sums: dict[int, int] = {}
    for ticks, quantity_e8 in levels:
        sums[ticks] = sums.get(ticks, 0) + quantity_e8
    return tuple((ticks, quantity_e8 // step_e8) for ticks, quantity_e8 in sums.items())


def fill_of(
    order: OpenOrder, ticks: int, lots: int, terms: OrderTerms, *, rule: Rule, is_maker: bool,
    trade_id: int | None = None,
) -> Fill:  # fmt: skip
    """A fill with its fee, rounded up to 1e-8 of the asset it is charged in."""
    bps = terms.maker_bps if is_maker else terms.taker_bps
    if terms.fee_asset is FeeAsset.BASE and order.side == BUY:
        fee, asset = fee_nb(lots * terms.step_e8, bps), FeeAsset.BASE
    else:
        fee, asset = fee_nb(lots * ticks * terms.unit_e8, bps), FeeAsset.QUOTE
    return Fill(order.order_id, ticks, lots, int(fee), asset, is_maker, rule, trade_id)


class Amounts(NamedTuple):
    """Counts of 1e-8 of the base and the quote asset."""

    base_e8: int
    quote_e8: int


def settlement(side: int, fill: Fill, terms: OrderTerms) -> Amounts:
    """What a fill adds to the balances, its fee taken off. A buy that pays in base leaves dust below one lot."""
    base = side * fill.lots * terms.step_e8
    quote = -side * fill.lots * fill.price_ticks * terms.unit_e8
    if fill.fee_asset is FeeAsset.BASE:
        return Amounts(base - fill.fee_e8, quote)
    return Amounts(base, quote - fill.fee_e8)


def locked(order: OpenOrder, terms: OrderTerms) -> Amounts:
    """What an open order holds back: a sale its lots, a buy its notional and the highest fee its fills can sum to.

    A buy that will be a market order locks what it costs at its stop; one without any price locks nothing and is
    judged whole against the cash left when it matches. Fees round up per fill: n fills cost at most n - 1 more than
    one, and never more than every lot alone.
    """
    if order.side != BUY:
        return Amounts(order.open_lots * terms.step_e8, 0)
    ticks = order.price_ticks or order.stop_ticks
    notional = order.open_lots * ticks * terms.unit_e8
    if notional == 0 or terms.fee_asset is FeeAsset.BASE:
        return Amounts(0, notional)
    bps = max(terms.maker_bps, terms.taker_bps)
    lot_by_lot = order.open_lots * int(fee_nb(ticks * terms.unit_e8, bps))
    return Amounts(0, notional + min(lot_by_lot, int(fee_nb(notional, bps)) + order.open_lots - 1))


def locked_total(orders: Iterable[OpenOrder], terms: OrderTerms) -> Amounts:
    """What all open orders of a symbol lock. Only one leg of a list can fill, so a list locks its largest leg."""
    lists: dict[str, Amounts] = {}
    base, quote = 0, 0
    for order in orders:
        own = locked(order, terms)
        before = lists.get(order.list_id, Amounts(0, 0)) if order.list_id else Amounts(0, 0)
        after = Amounts(max(before.base_e8, own.base_e8), max(before.quote_e8, own.quote_e8))
        base, quote = base + after.base_e8 - before.base_e8, quote + after.quote_e8 - before.quote_e8
        if order.list_id:
            lists[order.list_id] = after
    return Amounts(base, quote)
