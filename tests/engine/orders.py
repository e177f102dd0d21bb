"""Builders of orders, books, trades and bars, with numbers that are easy to check by hand.

A tick is 0.01 quote and a lot 0.001 base, so one lot at one tick is 1,000 counts of 1e-8 and one lot at 100.00 (10,000
ticks) is 10,000,000: 0.1 quote. Fees are 10 bps for makers and 20 for takers, so that the two cannot be mixed up.
"""

from __future__ import annotations

from typing import Any

from apps.engine.consumption import Consumption, empty_consumption
from apps.engine.order_step import Step
from apps.engine.order_types import BUY, SELL, OrderRequest, OrderType, TimeInForce
from apps.engine.order_values import Depth, FeeAsset, Fill, OpenOrder, OrderTerms, Trade, open_order
from apps.engine.resting import Arrival, arrive, on_book, on_trade
from apps.engine.values import Filters

SYMBOL = "BTCUSDT"
TICK_E8, STEP_E8 = 1_000_000, 100_000
FILTERS = Filters(TICK_E8, STEP_E8, 200_000, 900_000_000, 200_000, 400_000, 100_000_000, 500_000_000, 0, 1)
TERMS = OrderTerms(1_000, STEP_E8, 10, 20, FeeAsset.QUOTE, 5_000)
BASE_TERMS = TERMS._replace(fee_asset=FeeAsset.BASE)
LATENCY_MS = 50
BOOK_MS = 1_050
EMPTY = empty_consumption(SYMBOL)
CASH_E8 = 10**13

MARKET, LIMIT, LIMIT_MAKER = OrderType.MARKET, OrderType.LIMIT, OrderType.LIMIT_MAKER
STOP_LOSS, STOP_LOSS_LIMIT = OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT
TAKE_PROFIT, TAKE_PROFIT_LIMIT = OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT
TRAILING_STOP = OrderType.TRAILING_STOP


def order(
    side: int, kind: OrderType, lots: int, *, price: int | None = None, stop: int | None = None,
    trail: int | None = None, tif: TimeInForce | None = None, name: str = "a", number: int = 1, oco: str = "",
    placed_ms: int = 1_000,
) -> OpenOrder:  # fmt: skip
    """A traveling order; prices in ticks. It is due 50 ms after it was placed."""
    request = OrderRequest(side, kind, lots * STEP_E8, price and price * TICK_E8, stop and stop * TICK_E8, trail, tif)
    return open_order(
        request, FILTERS, order_id=name, sequence=number, placed_ms=placed_ms, latency_ms=LATENCY_MS, list_id=oco
    )


def buy(kind: OrderType, lots: int, **fields: Any) -> OpenOrder:
    return order(BUY, kind, lots, **fields)


def sell(kind: OrderType, lots: int, **fields: Any) -> OpenOrder:
    return order(SELL, kind, lots, **fields)


def depth(**changes: Any) -> Depth:
    """Bids of 30, 50 and 20 lots from 99.99 down, asks of the same sizes from 100.01 up, the last trade at 100.00."""
    bids = ((9_999, 30), (9_998, 50), (9_990, 20))
    asks = ((10_001, 30), (10_002, 50), (10_010, 20))
    return Depth(SYMBOL, BOOK_MS, 0, bids, asks, 10_000, 100)._replace(**changes)


def sold(ticks: int, lots: int, *, number: int = 101, ts_ms: int = 2_000) -> Trade:
    """A trade whose aggressor sold: it hit a bid."""
    return Trade(number, ts_ms, ticks, lots, True)


def bought(ticks: int, lots: int, *, number: int = 101, ts_ms: int = 2_000) -> Trade:
    """A trade whose aggressor bought: it lifted an ask."""
    return Trade(number, ts_ms, ticks, lots, False)


def met(given: OpenOrder, book: Depth | None = None, ledger: Consumption = EMPTY, **rest: Any) -> Arrival:
    """The order arrives on a book."""
    return arrive(given, book or depth(), ledger, **{"terms": TERMS, **rest})


def rested(given: OpenOrder, book: Depth | None = None) -> OpenOrder:
    """The order as it rests or waits after it arrived without a fill."""
    arrival = met(given, book)
    assert arrival.fills == () and arrival.order.status.is_open
    return arrival.order


def rows(fills: tuple[Fill, ...]) -> list[tuple[Any, ...]]:
    """(order, ticks, lots, fee, rule) of fills."""
    return [(fill.order_id, fill.price_ticks, fill.lots, fill.fee_e8, str(fill.rule)) for fill in fills]


def hit(orders: tuple[OpenOrder, ...], *trades: Trade, **rest: object) -> Step:
    """The orders after trades, one by one; facts of the last one."""
    step = Step(orders, (), (), (), ())
    for trade in trades:
        step = on_trade(step.orders, trade, **{"ledger": EMPTY, "terms": TERMS, **rest})
    return step


def seen(orders: tuple[OpenOrder, ...], book: Depth, cash_e8: int = CASH_E8) -> Step:
    """The orders after a book, with nothing taken from it before."""
    return on_book(orders, book, EMPTY, TERMS, cash_e8)[0]


def bracket() -> tuple[OpenOrder, ...]:
    """Sell 10 at 101.00 or, if 99.00 trades, at market. The limit has no queue ahead."""
    book = depth(asks=((10_001, 30), (10_200, 20)))
    legs = (
        sell(LIMIT_MAKER, 10, price=10_100, name="target", oco="l"),
        sell(STOP_LOSS, 10, stop=9_900, name="stop", number=2, oco="l"),
    )
    return seen(legs, book).orders
