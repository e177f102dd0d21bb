"""Ten thousand desks with something missing, stale or unknown: none takes new risk, and none that may is kept from it.

A desk starts whole; faults are then put into market facts, rows, controls and the view, alone and together, and the
decision is taken as the desk takes it: `decision_inputs`, then `decide`.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from apps.engine.consumption import empty_consumption
from apps.engine.decide import decide
from apps.engine.decision import (
    ARM_A,
    ARM_H,
    ARM_LOC,
    ARM_SIGNAL,
    SOURCE_FLATTEN,
    SOURCE_PERSON,
    SOURCE_ROUTER,
    Decision,
)
from apps.engine.values import E8, Filters
from apps.execution import assembling, taken
from apps.execution.account import AccountState, ClosedTrades, RecentOrders
from apps.execution.controls import Controls
from apps.execution.facts import MarketFacts, mid_e8
from apps.execution.models import Account, Position
from apps.execution.requests import DecisionRequest, Prepared
from apps.risk.limits import limits_from_settings
from apps.strategy.selectors import ViewRef
from tests.support.bars import FILTERS, MINUTE_MS, START_MS
from tests.support.desk import book_at
from tests.support.engine import build_arms, build_record, build_view

OWN, OTHER = "BTCUSDT", "ETHUSDT"
CLOSED_MS = START_MS + MINUTE_MS
NOW_MS = CLOSED_MS + 1_000
PRICE = 60_000.0
LOT_E8 = 10_000_000  # 0.1 of the base asset
NAN, STALE_MS = math.nan, limits_from_settings()["stale_after_ms"]


@dataclass
class Desk:
    """What one decision reads, still to be spoiled."""

    source: int
    side: int
    held_e8: int
    facts: MarketFacts
    controls: Controls
    filters: dict[str, Filters]
    account: Account
    view: ViewRef | None
    positions: dict[str, Position] = field(default_factory=dict)
    sent: RecentOrders = RecentOrders(0, 0, 0)
    closed: ClosedTrades = ClosedTrades(0, 0, 0, -1)
    high_water_e8: int = 10**14

    def marks(self, name: str, mark: Any) -> None:
        marks = {**self.facts.marks, name: mark}
        if mark is None:
            del marks[name]
        self.facts = replace(self.facts, marks=marks)

    def limit(self, **changes: int) -> None:
        self.controls = replace(self.controls, limits={**self.controls.limits, **changes})

    def record(self, **changes: Any) -> None:
        assert self.view is not None
        view = self.view.view
        self.view = replace(self.view, view=replace(view, record=view.record._replace(**changes)))

    def arms(self, row: int, value: float) -> None:
        assert self.view is not None
        arms = self.view.view.arms.copy()
        arms[row, :] = value
        self.view = replace(self.view, view=replace(self.view.view, arms=arms))


def whole_desk(chance: random.Random, *, source: int, side: int, held_e8: int) -> Desk:
    """A fresh, calm desk that holds something of another symbol; every order it is asked for passes."""
    arrival = book_at(OWN, PRICE + chance.randint(-50, 50), NOW_MS)
    account = Account(epoch=1, started_ts_ms=0, reason="", initial_cash_e8=10**14, cash_e8=9 * 10**13, peak_e8=10**13)
    rows = {OWN: Position(account=account, symbol=OWN, quantity_e8=held_e8), OTHER: Position(account=account)}
    rows[OTHER].symbol, rows[OTHER].quantity_e8 = OTHER, chance.choice([E8, -E8])
    limits = {**limits_from_settings(), "max_drawdown_bps": 5_000, "daily_loss_bps": 0, "hard_drawdown_bps": 9_000}
    flags = {"ExecutionRouter": True, "StrategyRouter": True}
    view = build_view(record=build_record(), arms=build_arms())
    return Desk(
        source, side, held_e8,
        facts=MarketFacts(NOW_MS, {OWN: mid_e8(arrival), OTHER: 3_000 * E8}, 50, 1_000, arrival, arrival),
        controls=Controls(flags, limits, 0, 0, 9, 0, 0),
        filters={OWN: FILTERS, OTHER: FILTERS},
        account=account,
        view=ViewRef(view, "0" * 64, {}),
        positions=rows,
    )  # fmt: skip


def no_book(desk: Desk) -> None:
    desk.facts = replace(desk.facts, arrival=None, data_age_ms=-1)


def state(value: int | None) -> Callable[[Desk], None]:
    return lambda desk: setattr(desk, "controls", replace(desk.controls, trading_state=value))


def facts(**changes: Any) -> Callable[[Desk], None]:
    return lambda desk: setattr(desk, "facts", replace(desk.facts, **changes))


def account(**changes: Any) -> Callable[[Desk], None]:
    return lambda desk: desk.account.__dict__.update(changes)


def rules(name: str, **changes: int) -> Callable[[Desk], None]:
    return lambda desk: desk.filters.update({name: FILTERS._replace(**changes)})


def sent(**changes: int) -> Callable[[Desk], None]:
    return lambda desk: setattr(desk, "sent", desk.sent._replace(**changes))


def pause(closed: ClosedTrades, **limits: int) -> Callable[[Desk], None]:
    def spoil(desk: Desk) -> None:
        desk.closed = closed
        desk.positions[OWN].trip_exit_ms = NOW_MS - 1
        desk.limit(**limits)

    return spoil


# Faults that leave an exit possible, whoever asks for the order.
RISK_FAULTS: dict[str, Callable[[Desk], None]] = {
    "no mark of another holding": lambda desk: desk.marks(OTHER, None),
    "a mark of 0 of another holding": lambda desk: desk.marks(OTHER, 0),
    "no rules for another holding": lambda desk: desk.filters.pop(OTHER, None),
    "inexact rules of another holding": rules(OTHER, tick_e8=3, step_e8=1),
    "age of the data unknown": facts(data_age_ms=-1),
    "data too old": facts(data_age_ms=STALE_MS + 1),
    "age of the rules unknown": facts(filters_age_ms=-1),
    "rules too old": facts(filters_age_ms=86_400_001),
    "REDUCING": state(1),
    "breaker pauses": account(breaker_until_ms=NOW_MS + 1),
    "breaker about to trip": lambda desk: setattr(desk, "high_water_e8", 10**16),
    "day latched": account(is_day_latched=True, day_index=NOW_MS // 86_400_000, day_start_e8=1),
    "hard latched": account(hard_latch_sequence=5),
    "peak far above": account(peak_e8=10**17),
    "cap of all positions": lambda desk: desk.limit(max_notional_e8=1),
    "cap of one symbol": lambda desk: desk.limit(symbol_notional_cap_e8=1),
    "cap of one order": lambda desk: desk.limit(order_cap_e8=1),
    "cooling down": pause(ClosedTrades(0, 0, 0, -1), cooldown_ms=60_000),
    "stopped too often": pause(ClosedTrades(1, -9, 2, 5), stop_guard_trades=2),
    "earned too little": pause(ClosedTrades(2, -9, 0, -1), low_profit_trades=2),
}
# Faults of form: no order at all, but for a flatten where one is possible.
FORM_FAULTS: dict[str, Callable[[Desk], None]] = {
    "no mark": lambda desk: desk.marks(OWN, None),
    "a mark of 0": lambda desk: desk.marks(OWN, 0),
    "a mark below a tick": lambda desk: desk.marks(OWN, FILTERS.tick_e8 - 1),
    "a mark below 0": lambda desk: desk.marks(OWN, -E8),
    "no book": no_book,
    "inexact rules": rules(OWN, tick_e8=3, step_e8=100_001),
    "trading state unknown": state(None),
    "HALTED": state(2),
    "count of orders unknown": sent(n=-1),
    "too many orders": sent(n=6),
    "no cash": account(cash_e8=0),
}
# Faults of the router's own view.
ROUTER_FAULTS: dict[str, Callable[[Desk], None]] = {
    "no view": lambda desk: setattr(desk, "view", None),
    "view too old": lambda desk: desk.record(bar_open_ms=START_MS - 2 * MINUTE_MS),
    "view of tomorrow": lambda desk: desk.record(bar_open_ms=START_MS + 2 * MINUTE_MS),
    "a feature is missing": lambda desk: desk.record(context_missing=1),
    "volatility is no number": lambda desk: desk.record(sigma_bar=NAN),
    "volatility is infinite": lambda desk: desk.record(sigma_bar=math.inf),
    "signals are no numbers": lambda desk: desk.arms(ARM_SIGNAL, NAN),
    "rewards are no numbers": lambda desk: desk.arms(ARM_LOC, NAN),
    "spreads are no numbers": lambda desk: desk.arms(ARM_H, NAN),
    "counts are no numbers": lambda desk: desk.arms(ARM_A, NAN),
    "router latched": lambda desk: setattr(desk.positions[OWN], "repeat_latch_sequence", 5),
    "router repeats itself": sent(router_buys=20, router_sells=20),
    "router count unknown": sent(router_buys=-1, router_sells=-1),
    "execution is off": lambda desk: desk.controls.flags.update(ExecutionRouter=False),
    "execution is unknown": lambda desk: desk.controls.flags.update(ExecutionRouter=None),
}


@pytest.fixture
def judge(compiled: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[Desk], Decision]:
    """Decide on a desk, its rows read from memory."""
    settings.SYMBOLS, settings.ALLOW_SHORT, settings.HORIZON_BARS, settings.ROUTER_MODE = (OWN,), True, 5, "greedy"

    def one(desk: Desk) -> Decision:
        monkeypatch.setattr(assembling, "orders_since", lambda **_: desk.sent)
        monkeypatch.setattr(assembling, "closed_trades", lambda **_: desk.closed)
        monkeypatch.setattr(assembling, "high_water_e8", lambda **_: desk.high_water_e8)
        monkeypatch.setattr(assembling, "open_orders", lambda **_: {})
        monkeypatch.setattr(taken, "ledger_read", lambda symbol, rules, using: empty_consumption(symbol))
        quantity = 0 if desk.source != SOURCE_PERSON else LOT_E8
        request = DecisionRequest(OWN, desk.source, "test", side=desk.side, quantity_e8=quantity)
        view = desk.view if desk.source == SOURCE_ROUTER else None
        inputs = assembling.decision_inputs(
            prepared=Prepared(request, view, desk.facts.seen, NOW_MS - 50),
            facts=desk.facts,
            state=AccountState(desk.account, desk.positions),
            controls=desk.controls,
            filters=desk.filters,
            attempt=1,
            using="default",
        )
        return decide(inputs)

    return one


def is_new_risk(desk: Desk, decision: Decision) -> bool:
    """An order was sent that does more than shrink what is held."""
    lots, held = decision.ints.sent_lots * decision.ints.side, decision.ints.position_before_lots
    return lots != 0 and (lots * held >= 0 or abs(lots) > abs(held))


def random_desk(chance: random.Random) -> Desk:
    source = chance.choice([SOURCE_ROUTER, SOURCE_PERSON])
    held = chance.choice([0, 0, LOT_E8, 3 * LOT_E8, -LOT_E8]) if source == SOURCE_PERSON else 0
    return whole_desk(chance, source=source, side=chance.choice([1, -1]), held_e8=held)


def test_no_missing_stale_or_unknown_input_ever_leads_to_new_risk(judge: Callable[[Desk], Decision]) -> None:
    chance, seen, whole = random.Random(20260101), Counter[str](), Counter[bool]()
    for _ in range(10_000):
        desk = random_desk(chance)
        known = {**RISK_FAULTS, **FORM_FAULTS, **(ROUTER_FAULTS if desk.source == SOURCE_ROUTER else {})}
        names = chance.sample(sorted(known), chance.choice([0, 1, 1, 1, 2, 3]))
        if desk.view is not None and "no view" in names:
            names = ["no view"]
        for name in names:
            known[name](desk)
        decision = judge(desk)
        is_risk = is_new_risk(desk, decision)
        assert not (names and is_risk), (names, desk.side, desk.held_e8, decision.ints)
        seen.update(names)
        if not names:
            whole[decision.ints.sent_lots > 0] += 1
    assert whole[False] == 0 and whole[True] > 1_000, "a whole desk trades: it is the faults that stop it"
    assert set(seen) == {*RISK_FAULTS, *FORM_FAULTS, *ROUTER_FAULTS} and min(seen.values()) > 50


def test_exits_stay_possible_when_reducing(judge: Callable[[Desk], Decision]) -> None:
    """Every guard of risk may be shut at once: what lowers the position still passes."""
    chance, filled = random.Random(7), 0
    for _ in range(2_000):
        source, held = chance.choice([SOURCE_PERSON, SOURCE_FLATTEN]), chance.choice([LOT_E8, 3 * LOT_E8, -LOT_E8])
        desk = whole_desk(chance, source=source, side=-1 if held > 0 else 1, held_e8=held)
        state(1)(desk)
        names = chance.sample(sorted(RISK_FAULTS), chance.choice([0, 1, 3, len(RISK_FAULTS)]))
        for name in names:
            RISK_FAULTS[name](desk)
        if source == SOURCE_FLATTEN:
            sent(n=99)(desk)  # a flatten is never throttled
        decision = judge(desk)
        assert decision.ints.sent_lots > 0, (names, held, decision.ints.reason, decision.findings)
        filled += decision.ints.filled_lots == decision.ints.sent_lots
    assert filled > 500
