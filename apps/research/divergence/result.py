"""What a comparison finds: differences with cause and money, and both accounts at the end of the span."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from apps.engine.ledger import TOTAL_CASH, BookState
from apps.engine.values import E8
from apps.research.divergence.facts import DataFacts
from apps.research.divergence.live import Live
from apps.research.divergence.outcome import Filled, Outcome
from apps.research.divergence.request import Span

BOTH, LIVE_ONLY, BACKTEST_ONLY = "both", "live", "backtest"


class Difference(NamedTuple):
    """One decision or order that is not the same on both sides, with its first cause and what it cost, by cause.

    `follows` names the earlier difference that an account which has parted is owed to. Money in counts of 1e-16.
    """

    symbol: str
    ts_ms: int
    side: str
    cause: str
    detail: str
    follows: str
    live: Outcome
    backtest: Outcome
    money_e16: dict[str, int]
    audit_id: str

    @property
    def name(self) -> str:
        """What later differences call this one."""
        return self.audit_id or f"{self.symbol} at {self.ts_ms}"


@dataclass
class Side:
    """Cash and holdings of one side, moved by its fills."""

    cash_e8: int
    held_e8: dict[str, int]

    def take(self, symbol: str, fills: tuple[Filled, ...]) -> None:
        self.cash_e8 += sum(fill.cash_e8 for fill in fills)
        self.held_e8[symbol] = self.held_e8.get(symbol, 0) + sum(fill.held_e8 for fill in fills)

    def worth_e16(self, marks: dict[str, int]) -> int:
        return self.cash_e8 * E8 + sum(held * marks[symbol] for symbol, held in self.held_e8.items() if held)


@dataclass
class Divergence:
    """What came of the comparison. `marks` are the prices that everything is valued at: the last closes of the span."""

    span: Span
    marks: dict[str, int]
    start_e16: int
    live_e16: int = 0
    backtest_e16: int = 0
    n_same: int = 0
    n_live: int = 0
    n_backtest: int = 0
    differences: list[Difference] = field(default_factory=list)
    facts: DataFacts = field(default_factory=DataFacts)
    live_curve: dict[int, int] = field(default_factory=dict)
    backtest_curve: list[int] = field(default_factory=list)

    def by_cause(self, symbol: str = "") -> dict[str, tuple[int, int]]:
        """Per cause: how many differences began with it, and its money."""
        counts: Counter[str] = Counter()
        money: Counter[str] = Counter()
        for one in self.differences:
            if symbol in {"", one.symbol}:
                counts[one.cause] += 1
                money.update(one.money_e16)
        return {cause: (counts[cause], money[cause]) for cause in {*counts, *money}}


def side_of(span: Span, book: BookState) -> Side:
    """The account of a batch run in counts of 1e-8."""
    held = {
        one.symbol: int(book.positions[s]) * one.rules.filters.step_e8 + int(book.dust[s])
        for s, one in enumerate(span.series)
    }
    return Side(int(book.totals[TOTAL_CASH]), held)


def marks_of(span: Span, live: Live) -> dict[str, int]:
    """The last close of each symbol; what is not traded any more stands at its last fill."""
    marks = {rows[-1].symbol: rows[-1].price_e8 for rows in live.fills.values()}
    for one in span.series:
        stop = int(one.bars.open_time_ms.searchsorted(span.end_ms))
        marks[one.symbol] = int(one.bars.close_e8[stop - 1])
    return marks
