"""Whatever is placed, traded and canceled: nothing is created or lost, and no lot is used twice."""

from __future__ import annotations

import json
from collections import defaultdict

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from apps.engine.consumption import Consumption, consumption_from_json, empty_consumption
from apps.engine.order_step import Step, request_cancel
from apps.engine.order_types import BUY, SELL, OrderType, TimeInForce
from apps.engine.order_values import (
    Depth,
    FeeAsset,
    Fill,
    OpenOrder,
    OrderTerms,
    Rule,
    Trade,
    locked_total,
    order_from_json,
    settlement,
)
from apps.engine.resting import on_book, on_trade
from tests.engine.orders import SYMBOL, order

START_QUOTE_E8, START_BASE_E8 = 800_000_000, 20_000_000
SIDES = st.sampled_from((BUY, SELL))
LOTS = st.integers(1, 60)
SIZES = st.integers(0, 40)
TICKS = st.integers(9_980, 10_020)


class Exchange:
    """Open orders and the ledger of a symbol, and what the desk makes of the facts."""

    def __init__(self, terms: OrderTerms) -> None:
        self.terms = terms
        self.orders: tuple[OpenOrder, ...] = ()
        self.ledger: Consumption = empty_consumption(SYMBOL)
        self.quote_e8, self.base_e8 = START_QUOTE_E8, START_BASE_E8
        self.fills: list[Fill] = []
        self.asked: dict[str, OpenOrder] = {}
        self.closed: dict[str, OpenOrder] = {}

    def reload(self) -> None:
        """What a restart does: everything through rows and back."""
        self.orders = tuple(order_from_json(json.loads(json.dumps(order.to_json()))) for order in self.orders)
        self.ledger = consumption_from_json(json.loads(json.dumps(self.ledger.to_json())))

    def place(self, *orders: OpenOrder) -> None:
        """Take the orders if the account can lock what they need, as the desk does."""
        lock = locked_total((*self.orders, *orders), self.terms)
        if lock.quote_e8 <= self.quote_e8 and lock.base_e8 <= self.base_e8:
            self.orders += orders
            self.asked |= {order.order_id: order for order in orders}

    def book(self, depth: Depth) -> None:
        step, self.ledger = on_book(self.orders, depth, self.ledger, self.terms, self.quote_e8)
        self._book_step(step)

    def trade(self, trade: Trade) -> None:
        self._book_step(on_trade(self.orders, trade, self.ledger, self.terms))

    def _book_step(self, step: Step) -> None:
        self.orders = step.orders
        self.fills += step.fills
        for ended in step.closed:
            assert ended.order_id not in self.closed
            self.closed[ended.order_id] = ended
        for fill in step.fills:
            moved = settlement(self.asked[fill.order_id].side, fill, self.terms)
            self.base_e8, self.quote_e8 = self.base_e8 + moved.base_e8, self.quote_e8 + moved.quote_e8

    def state(self) -> tuple[object, ...]:
        return self.orders, self.ledger, self.quote_e8, self.base_e8, self.fills, self.closed


class Desk(RuleBasedStateMachine):
    """Two desks meet the same market; one of them is restarted again and again."""

    terms = OrderTerms(1_003, 100_003, 7, 13, FeeAsset.QUOTE, 5_000)

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = Exchange(self.terms), Exchange(self.terms)
        self.ts_ms, self.trade_id, self.number, self.last_ticks = 1_000, 0, 0, 10_000
        # What the market offered: lots displayed per price since they last changed, and lots traded per id.
        self.shown: dict[tuple[int, int], int] = {}
        self.had: dict[tuple[int, int], int] = defaultdict(int)
        self.traded: dict[int, int] = {}

    def _name(self) -> str:
        self.number += 1
        return f"o{self.number}"

    def _make(
        self, side: int, kind: OrderType, lots: int, price: int, stop: int, oco: str = "", **rest: object
    ) -> OpenOrder:
        has_stop = kind.has_trigger and kind is not OrderType.TRAILING_STOP
        fields = {
            "price": price if kind.has_price else None, "stop": stop if has_stop else None,
            "trail": 5 if kind is OrderType.TRAILING_STOP else None,
        }  # fmt: skip
        return order(
            side, kind, lots, **fields, name=self._name(), number=self.number, oco=oco, placed_ms=self.ts_ms, **rest
        )

    @rule(
        side=SIDES,
        kind=st.sampled_from(OrderType),
        lots=LOTS,
        price=TICKS,
        stop=TICKS,
        tif=st.sampled_from(TimeInForce),
    )
    def place(self, side: int, kind: OrderType, lots: int, price: int, stop: int, tif: TimeInForce) -> None:
        takes_any = kind.has_price and kind is not OrderType.LIMIT_MAKER
        made = self._make(side, kind, lots, price, stop, tif=tif if takes_any else None)
        self.one.place(made)
        self.other.place(made)

    @rule(side=SIDES, lots=LOTS, price=st.integers(1, 8), stop=st.integers(1, 8))
    def place_list(self, side: int, lots: int, price: int, stop: int) -> None:
        oco = f"l{self.number}"
        legs = (
            self._make(side, OrderType.LIMIT_MAKER, lots, self.last_ticks - side * price, 0, oco),
            self._make(side, OrderType.STOP_LOSS, lots, 0, self.last_ticks + side * stop, oco),
        )
        self.one.place(*legs)
        self.other.place(*legs)

    @rule(
        mid=TICKS, gaps=st.tuples(st.integers(1, 3), st.integers(1, 3)), steps=st.lists(st.integers(1, 4), max_size=3),
        bids=st.lists(SIZES, min_size=4, max_size=4), asks=st.lists(SIZES, min_size=4, max_size=4),
        wait=st.integers(0, 80), age=st.sampled_from((0, 0, 0, 9_000)),
    )  # fmt: skip
    def show(
        self, mid: int, gaps: tuple[int, int], steps: list[int], bids: list[int], asks: list[int], wait: int, age: int
    ) -> None:
        self.ts_ms += wait
        bid, ask, sides = mid - gaps[0], mid + gaps[1], ([], [])
        for n, step in enumerate((0, *steps)):
            bid, ask = bid - step, ask + step
            sides[0].append((bid, bids[n]))
            sides[1].append((ask, asks[n]))
        depth = Depth(SYMBOL, self.ts_ms, age, tuple(sides[0]), tuple(sides[1]), self.last_ticks, self.trade_id)
        if age == 0:
            self._see(depth)
        before = len(self.one.fills)
        for desk in (self.one, self.other):
            desk.book(depth)
        self._count_taken(before)

    def _see(self, depth: Depth) -> None:
        """A level is whole again when its displayed size changes; one beyond the window is as it was."""
        for side in (BUY, SELL):
            now = dict(depth.side(side))
            worst = depth.side(side)[-1][0]
            for key in [key for key in self.shown if key[0] == side and (key[1] - worst) * side >= 0]:
                if now.get(key[1], -1) != self.shown[key]:
                    del self.shown[key]
                    self.had.pop(key, None)
            self.shown |= {(side, ticks): lots for ticks, lots in now.items()}

    def _count_taken(self, before: int) -> None:
        for fill in self.one.fills[before:]:
            assert fill.rule is Rule.DEPTH and not fill.is_maker and fill.trade_id is None
            key = (-self.one.asked[fill.order_id].side, fill.price_ticks)
            self.had[key] += fill.lots
            assert self.had[key] <= self.shown[key]

    @rule(
        distance=st.sampled_from((-6, -2, -1, 0, 0, 0, 1, 2, 6)),
        lots=st.integers(0, 50),
        is_sale=st.booleans(),
        wait=st.integers(0, 40),
    )
    def trade(self, distance: int, lots: int, is_sale: bool, wait: int) -> None:
        self.ts_ms += wait
        self.trade_id += 1
        self.last_ticks = max(9_900, min(10_100, self.last_ticks + distance))
        trade = Trade(self.trade_id, self.ts_ms, self.last_ticks, lots, is_sale)
        before = len(self.one.fills)
        for desk in (self.one, self.other):
            desk.trade(trade)
        fresh = self.one.fills[before:]
        assert sum(fill.lots for fill in fresh) <= lots
        for fill in fresh:
            assert fill.rule in (Rule.QUEUE, Rule.THROUGH) and fill.is_maker and fill.trade_id == self.trade_id
            assert fill.price_ticks == self.one.asked[fill.order_id].price_ticks
            side = self.one.asked[fill.order_id].side
            assert side * (fill.price_ticks - self.last_ticks) >= (0 if is_sale == (side == BUY) else 1)

    @precondition(lambda self: self.one.orders)
    @rule(which=st.integers(0, 99), latency=st.integers(0, 60))
    def cancel(self, which: int, latency: int) -> None:
        at = which % len(self.one.orders)
        for desk in (self.one, self.other):
            asked = request_cancel(desk.orders[at], ts_ms=self.ts_ms, latency_ms=latency)
            desk.orders = (*desk.orders[:at], asked, *desk.orders[at + 1 :])

    @rule()
    def restart(self) -> None:
        self.other.reload()

    @rule()
    def repeat_the_last_trade(self) -> None:
        before = len(self.one.fills)
        for desk in (self.one, self.other):
            desk.trade(Trade(self.trade_id, self.ts_ms + 10, self.last_ticks, 50, True))
        assert len(self.one.fills) == before

    @invariant()
    def a_restart_changes_nothing(self) -> None:
        assert self.one.state() == self.other.state()

    @invariant()
    def nothing_is_created_or_lost(self) -> None:
        """Balances are the first ones plus every fill, fees apart, computed here without the code under test."""
        base, quote = START_BASE_E8, START_QUOTE_E8
        for fill in self.one.fills:
            side = self.one.asked[fill.order_id].side
            base += side * fill.lots * 100_003
            quote -= side * fill.lots * fill.price_ticks * 1_003
            bps = 7 if fill.is_maker else 13
            if self.terms.fee_asset is FeeAsset.BASE and side == BUY:
                fee = -(-fill.lots * 100_003 * bps // 10_000)
                base -= fee
            else:
                fee = -(-fill.lots * fill.price_ticks * 1_003 * bps // 10_000)
                quote -= fee
            assert fill.fee_e8 == fee
        assert (base, quote) == (self.one.base_e8, self.one.quote_e8)

    @invariant()
    def the_account_can_pay_what_is_open(self) -> None:
        lock = locked_total(self.one.orders, self.terms)
        assert lock.quote_e8 <= self.one.quote_e8 and lock.base_e8 <= self.one.base_e8

    @invariant()
    def orders_fill_no_more_than_they_ask_and_add_up(self) -> None:
        lots: dict[str, int] = defaultdict(int)
        for fill in self.one.fills:
            assert fill.lots > 0
            lots[fill.order_id] += fill.lots
        now = {order.order_id: order for order in self.one.orders} | self.one.closed
        assert now.keys() == self.one.asked.keys()
        for name, state in now.items():
            assert state.filled_lots == lots[name] <= state.lots
            assert (state.status == "FILLED") == (lots[name] == state.lots)
            limit = state.price_ticks
            worst = [f.price_ticks for f in self.one.fills if f.order_id == name and limit]
            assert all(state.side * (ticks - limit) <= 0 for ticks in worst)

    @invariant()
    def one_leg_of_a_list_fills_at_most(self) -> None:
        filled = {fill.order_id for fill in self.one.fills}
        lists = [self.one.asked[name].list_id for name in filled if self.one.asked[name].list_id]
        assert len(lists) == len(set(lists))


class BaseFeeDesk(Desk):
    """The same with buys charged in base."""

    terms = Desk.terms._replace(fee_asset=FeeAsset.BASE)


TestDesk = Desk.TestCase
TestDesk.settings = settings(max_examples=600, stateful_step_count=40, deadline=None)
TestBaseFeeDesk = BaseFeeDesk.TestCase
TestBaseFeeDesk.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
