"""Orders that wait, all at once: placed, canceled, matched and killed by many processes.

Told from the log alone, folded in the order of commits: how far what is held and open at full size passed the cap, and
what was placed or filled between a kill and its release.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from functools import partial
from typing import Any

from django.db import connection

from apps.audit.replaying import replay_record
from apps.audit.selectors import audit_after, audit_head
from apps.engine.errors import TradedeskError
from apps.engine.order_types import BUY, SELL, OrderRequest, OrderType, TimeInForce
from apps.engine.stream_events import AggTradeEvent
from apps.engine.values import E8
from apps.execution import matching
from apps.execution.matching import Event, SeenBook
from apps.execution.models import Fill, Order, Position
from apps.execution.order_cancel import order_cancel
from apps.execution.requests import DecisionRequest
from apps.risk.services import kill_engage, kill_release
from apps.web.roles import Role
from tests.support.bars import FILTERS
from tests.support.fire.ground import (
    LOT_E8,
    LOT_NOTIONAL_E8,
    MARKS,
    NO_LIMIT,
    PRICE_E8,
    SYMBOLS,
    Shared,
    book,
    clock,
    collect,
    decide,
    document,
    fork,
    in_threads,
    limits,
    order,
    tick,
)

MET_IN_HALT = 8  # trades that come while the desk is HALTED, each of which would fill somebody
STEP_E8 = 10 * E8  # between two of the prices that are used
CAP_LOTS = 24
STEPS = LOT_E8 // FILTERS.step_e8  # records count in steps of the exchange
LARGEST_LOTS = 8
TRADED = SYMBOLS[:4]  # few, so that their caps are pressed


def resting(*, kills: int, processes: int, threads: int, matchers: int, seed: int) -> dict[str, Any]:
    """Writers and matchers at work while the desk is killed and released so many times."""
    # The collar would refuse what waits far from the market, the rate what comes often: neither is asked here.
    limits(
        max_notional_e8=NO_LIMIT, symbol_notional_cap_e8=CAP_LOTS * LOT_NOTIONAL_E8, collar_bps=0, orders_per_minute=60
    )
    stop, head = Shared(0), audit_head()[0]
    trade_id = Shared(clock[0])
    jobs = [partial(write, stop, number, threads, seed) for number in range(processes)]
    jobs += [partial(match, stop, trade_id, seed * 77 + number) for number in range(matchers)]
    workers = [fork(job) for job in jobs]
    took, late, returned = [], 0, []
    try:
        for _ in range(kills):
            wait_for_fills()
            begun = time.monotonic()
            kill_engage(actor="test", reason="drill", ts_ms=clock[0])
            took.append((time.monotonic() - begun) * 1_000)
            returned.append(audit_head()[0])
            at_return = Fill.objects.count(), Order.objects.count()
            wait_for_trades(trade_id)
            late += sum(
                now - then for now, then in zip((Fill.objects.count(), Order.objects.count()), at_return, strict=True)
            )
            kill_release(actor="owner:test", reason="drill", confirmation="RELEASE", ts_ms=clock[0], role=Role.OWNER)
    finally:
        stop[0] = 1
        told = [line for worker in workers for line in collect(worker)[0]]
    end_all()
    took.sort()
    outcomes = Counter(
        entry for line in told for entry in line.get("result", [line["error"]] if "error" in line else [])
    )
    return {
        "kills": kills,
        "late": late,
        "errors": sorted(name for name in outcomes if not name.islower()),
        "p99_ms": round(took[min(len(took) - 1, len(took) * 99 // 100)], 1),
        "outcomes": dict(outcomes),
        **Folded(head, returned).told(),
    }


def write(stop: Shared, process: int, threads: int, seed: int) -> list[str]:
    told = in_threads([partial(act, stop, seed * 1_000 + process * threads + number) for number in range(threads)])
    return [entry for part in told for entry in ([part] if isinstance(part, str) else part)]


def act(stop: Shared, seed: int) -> list[str]:
    """One person: places what comes to mind, and takes some of it back."""
    chance, own, told = random.Random(seed), list[str](), list[str]()
    while not stop[0]:
        if own and chance.random() < 0.3:
            told.append(take_back(own.pop(chance.randrange(len(own)))))
        else:
            answer = document(decide(asked(chance)))
            told.append("placed" if answer["orderId"] else str(answer["reason"]))
            own += [entry["orderId"] for entry in answer.get("orders", ())]
        if connection.vendor == "sqlite":
            time.sleep(chance.random() * 0.01)  # it hands its lock to whoever asks first
    return told


def take_back(order_id: str) -> str:
    try:
        order_cancel(order_id=order_id, actor="test", read_now=lambda: clock[0])
    except TradedeskError as error:
        return "closed" if "nothing left to cancel" in str(error) else str(error)
    return "canceled"


def asked(chance: random.Random) -> DecisionRequest:
    """Buys wait below the market, so that the mark is the dearest price at which the cap counts them."""
    symbol, lots = chance.choice(TRADED), chance.randint(1, LARGEST_LOTS)
    below, above = PRICE_E8 - chance.randint(1, 3) * STEP_E8, PRICE_E8 + chance.randint(1, 3) * STEP_E8
    quantity, gtc = lots * LOT_E8, TimeInForce.GTC
    side, orders = chance.choice(
        [
            (BUY, (OrderRequest(BUY, OrderType.LIMIT, quantity, below, None, None, gtc),)),
            (BUY, (OrderRequest(BUY, OrderType.LIMIT, quantity, below, None, None, gtc),)),
            (BUY, ()),
            (SELL, ()),
            (SELL, (OrderRequest(SELL, OrderType.LIMIT, quantity, above, None, None, gtc),)),
            (SELL, (OrderRequest(SELL, OrderType.STOP_LOSS, quantity, None, below),)),
            (
                SELL,
                (
                    OrderRequest(SELL, OrderType.LIMIT_MAKER, quantity, above),
                    OrderRequest(SELL, OrderType.STOP_LOSS, quantity, None, below),
                ),
            ),
        ]
    )
    return order(symbol, side=side, lots=lots, orders=orders)


def match(stop: Shared, trade_id: Shared, seed: int) -> list[str]:
    """The market, as the holder of the lease meets it: trades around the price, and books."""
    chance, told = random.Random(seed), list[str]()
    while not stop[0]:
        symbol, now_ms = chance.choice(TRADED), tick()
        event: Event = SeenBook(book(symbol, now_ms), 0, PRICE_E8, trade_id[0])
        if chance.random() < 0.7:
            trade_id[0] = trade_id[0] + 1
            price = PRICE_E8 + chance.randint(-4, 4) * STEP_E8
            lots = chance.randint(1, 30)
            event = AggTradeEvent(symbol, now_ms, trade_id[0], price, lots * LOT_E8, now_ms, chance.random() < 0.5)
        try:
            told.append(
                "matched"
                if matching.meet(symbol, [event], now_ms=now_ms, may_wait=False, marks=MARKS).n_written
                else "met"
            )
        except TradedeskError as error:
            told.append(f"{type(error).__name__}: {error}")
        if connection.vendor == "sqlite":
            time.sleep(chance.random() * 0.005)
    return told


def wait_for_fills(timeout_s: float = 60.0) -> None:
    """Until enough was placed to press against the caps, and something that waited has filled."""
    orders, fills = Order.objects.count() + 15, waited() + 1
    deadline = time.monotonic() + timeout_s
    while Order.objects.count() < orders or waited() < fills:
        if time.monotonic() > deadline:
            raise TimeoutError("nothing that waits is filled")
        time.sleep(0.005)


def wait_for_trades(trade_id: Shared, timeout_s: float = 30.0) -> None:
    enough, deadline = trade_id[0] + MET_IN_HALT, time.monotonic() + timeout_s
    while trade_id[0] < enough:
        if time.monotonic() > deadline:
            raise TimeoutError("nothing trades")
        time.sleep(0.002)


def waited() -> int:
    """Fills of orders that had to wait for them."""
    return Fill.objects.exclude(rule="depth").count()


def end_all() -> None:
    """Nothing stays open, so that what is asked next of this desk begins as it did."""
    kill_engage(actor="test", reason="drill", ts_ms=clock[0])
    for symbol in SYMBOLS:
        matching.watch(symbol, now_ms=clock[0])
    kill_release(actor="owner:test", reason="drill", confirmation="RELEASE", ts_ms=clock[0], role=Role.OWNER)


class Folded:
    """The log since a record, one after another; it asks neither guard nor row."""

    def __init__(self, head: int, returned: list[int]) -> None:
        rows = Position.objects.values_list("symbol", "quantity_e8")
        self.records = list(audit_after(head, 10_000_000))
        self.open: dict[str, dict[str, Any]] = {}
        self.symbol_of: dict[str, str] = {}
        self.held: Counter[str] = Counter()
        self.now_held = {symbol: quantity // FILTERS.step_e8 for symbol, quantity in rows}
        self.before = Counter(self.now_held)
        for record in self.records:
            for symbol, lots in self._filled(record):
                self.before[symbol] -= lots
        self.worst = self.in_halt = self.waiting_fills = self.most_open = 0
        self.returned = set(returned)  # the newest record when a kill had returned
        self.is_halted = False

    def told(self) -> dict[str, Any]:
        self.held = Counter(self.before)
        differing = []
        for record in self.records:
            self._fold(record)
            if record.kind == "execution.fill" and record.sequence % 7 == 0 and not replay_record(record).matches:
                differing.append(record.audit_id)
        return {
            "units_over": max(0, self.worst - CAP_LOTS * STEPS),
            "most_lots": self.worst // STEPS,
            "most_open": self.most_open,
            "in_halt": self.in_halt,
            "waiting_fills": self.waiting_fills,
            "left_open": len(self.open),
            "rows_open": Order.objects.filter(is_open=True).count(),
            "fills_differing": differing,
        }

    def _fold(self, record: Any) -> None:
        body, changed = record.content, False
        for symbol, lots in self._filled(record):
            self.held[symbol] += lots
            changed = True
        for entry in (body.get("placed") or body.get("step") or {}).get("orders", ()):
            self.open[entry["order_id"]], self.symbol_of[entry["order_id"]] = entry, body["symbol"]
        for entry in (body.get("placed") or body.get("step") or {}).get("closed", ()):
            self.open.pop(entry["order_id"], None)
        if record.kind == "execution.cancel":
            for order_id in body["orderIds"]:
                self.open.pop(order_id, None)
        if record.kind == "execution.decision":
            changed |= body["orderId"] is not None
            self._measure(body["symbol"])
        self.waiting_fills += len(body["step"]["fills"]) if record.kind == "execution.fill" else 0
        self.in_halt += self.is_halted and changed
        self.is_halted = record.sequence in self.returned or (self.is_halted and record.kind != "risk.release")

    def _filled(self, record: Any) -> list[tuple[str, int]]:
        """Steps that a record adds to what is held of its symbol."""
        body = record.content
        if record.kind == "execution.fill":
            sides = {e["order_id"]: e["side"] for e in (*body["step"]["orders"], *body["step"]["closed"])}
            return [(body["symbol"], fill["lots"] * sides[fill["order_id"]]) for fill in body["step"]["fills"]]
        if record.kind != "execution.decision" or body["orderId"] is None:
            return []
        side = 1 if body["order"]["side"] == "BUY" else -1
        return [
            (body["symbol"], side * (round(float(fill["quantity"]) * 1e8) // FILTERS.step_e8)) for fill in body["fills"]
        ]

    def _measure(self, symbol: str) -> None:
        """The most that could be held of a symbol: open orders at full size, an OCO once."""
        own = [entry for name, entry in self.open.items() if self.symbol_of[name] == symbol]
        self.most_open = max(self.most_open, len(own))
        for side in (BUY, SELL):
            lists: Counter[str] = Counter()
            for entry in own:
                if entry["side"] == side:
                    left, name = entry["lots"] - entry["filled_lots"], entry["list_id"] or entry["order_id"]
                    lists[name] = max(lists[name], left)
            self.worst = max(self.worst, abs(self.held[symbol] + side * sum(lists.values())))
