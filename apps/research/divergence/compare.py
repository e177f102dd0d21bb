"""Both sides of a span side by side: what differs, why, and what it cost, so that the causes add up to the whole."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from django.conf import settings

from apps.engine.errors import IntegrityBreach
from apps.execution.spans import PROTECTIVE, DecisionRow, equity_between
from apps.research.divergence.baseline import Baseline, Progress, Taken, baseline
from apps.research.divergence.facts import data_facts
from apps.research.divergence.ladder import (
    CARRIED,
    CONFIGURATION,
    DATA,
    LATENCY,
    PERSON,
    RISK,
    Holdings,
    ladder,
)
from apps.research.divergence.live import (
    Live,
    LiveDecision,
    LiveEvent,
    decisions,
    events,
    first_decisions,
    live_of,
)
from apps.research.divergence.opening import opening_book
from apps.research.divergence.outcome import NOTHING, Filled, Outcome, decided, filled_of
from apps.research.divergence.request import Span
from apps.research.divergence.result import (
    BACKTEST_ONLY,
    BOTH,
    LIVE_ONLY,
    Difference,
    Divergence,
    Side,
    marks_of,
    side_of,
)
from apps.research.divergence.words import configuration_words, fill_words, latency_words, risk_words

NOT_IN_TIME = "no decision before the next bar: the desk was not running, its autopilot was off, or no book came"


def diverge(span: Span, progress: Progress = lambda bars: None) -> Divergence:
    """Compare. Raises IntegrityBreach when the parts do not add up to the whole."""
    live = live_of(span)
    book = opening_book(span, first_decisions(live))
    start = side_of(span, book)
    run = baseline(span, book, progress)
    comparison = _Comparison(span, live, run, start)
    comparison.go()
    return comparison.finish()


class _Comparison:
    """Goes through the span in the order things happened, with the accounts of both sides."""

    def __init__(self, span: Span, live: Live, run: Baseline, start: Side) -> None:
        self.span, self.live_rows, self.run = span, live, run
        self.rules = {one.symbol: one.rules for one in span.series}
        self.live = Side(start.cash_e8, dict(start.held_e8))
        self.backtest = Side(start.cash_e8, dict(start.held_e8))
        marks = marks_of(span, live)
        self.result = Divergence(span, marks, start.worth_e16(marks), facts=data_facts(span))
        self.result.n_live, self.result.n_backtest = len(live.own), len(run.taken)
        # The difference that an account which has parted is owed to: by symbol, and of cash.
        self.parted: dict[str, Difference] = {}

    def go(self) -> None:
        """Live things in the order of their records; what only the backtest has, by its time among them."""
        found = {(row.symbol, row.bar_open_ms) for row in self.live_rows.own}
        alone = [one for key, one in self.run.taken.items() if key not in found]
        others = events(self.live_rows)
        for own in decisions(self.live_rows, self.live_rows.own):
            while others and others[0].sequence < own.row.audit_sequence:
                self._live_event(others.pop(0))
            while alone and alone[0].inputs.desk.ts_ms <= own.row.ts_ms:
                self._backtest_only(alone.pop(0))
            self._pair(own)
        for event in others:
            self._live_event(event)
        for taken in alone:
            self._backtest_only(taken)

    def _pair(self, own: LiveDecision) -> None:
        taken = self.run.taken.get((own.row.symbol, own.row.bar_open_ms))
        if taken is None:
            self._live_only(own)
            return
        replayed, rows = decided(own.inputs), filled_of(own.fills)
        if taken.outcome == replayed and replayed.fills == rows:
            self.result.n_same += 1
            self._take(own.row.symbol, rows, rows)
        else:
            self._explain(own, taken, replayed._replace(fills=rows))

    def _explain(self, own: LiveDecision, taken: Taken, happened: Outcome) -> None:
        """Walk from the backtest's inputs to the live ones; what the rows say besides is another version's doing."""
        symbol, mark = own.row.symbol, self.result.marks[own.row.symbol]
        steps = ladder(taken, own.inputs, Holdings(self.live.held_e8, self.backtest.held_e8),
                       is_same_engine=self._is_same_engine(own, taken))  # fmt: skip
        outcomes = [taken.outcome, *(decided(step.inputs) for step in steps), happened]
        names = [*(step.cause for step in steps), CONFIGURATION]
        origin = self._origin(own)
        money: Counter[str] = Counter()
        first = CARRIED
        for name, (before, after) in reversed(list(zip(names, pairwise(outcomes), strict=True))):
            if before != after:
                first = name
                cause = origin[0] if name == CARRIED else name
                money[cause] += after.worth_e16(mark) - before.worth_e16(mark)
        cause, follows = origin if first == CARRIED else (first, "")
        self._keep(
            Difference(
                symbol, own.row.ts_ms, BOTH, cause, self._words(first, own, taken, happened), follows,
                happened, taken.outcome, dict(money), own.row.audit_id,
            ),
            happened.fills, taken.outcome.fills,
        )  # fmt: skip

    def _is_same_engine(self, own: LiveDecision, taken: Taken) -> bool:
        """Whether the same bars would give the same view: same code, policies and settings of the fold."""
        mine = taken.inputs
        is_same = own.engine == settings.ENGINE_HASH and mine.params == own.inputs.params
        is_same &= mine.terms.horizon_bars == own.inputs.terms.horizon_bars
        return is_same and mine.limits.allow_short == own.inputs.limits.allow_short

    def _origin(self, own: LiveDecision) -> tuple[str, str]:
        """(cause, difference) that the parted account is owed to."""
        desk = own.inputs.desk
        found = self.parted.get(own.row.symbol) or self.parted.get("") or next(iter(self.parted.values()), None)
        if found is not None:
            return found.cause, found.name
        if desk.open_buy_lots or desk.open_sell_lots or desk.locked_cash_e8:
            return PERSON, "open orders"
        last = next((one for one in reversed(self.result.differences) if one.symbol == own.row.symbol), None)
        return (last.cause, last.name) if last is not None else (RISK, "")

    def _words(self, first: str, own: LiveDecision, taken: Taken, happened: Outcome) -> str:
        mine, theirs = taken.inputs, own.inputs
        if first == DATA:
            return self.result.facts.words(own.row.symbol, own.row.bar_open_ms, theirs.desk)
        if first == CONFIGURATION:
            return configuration_words(mine, theirs, own, settings.ENGINE_HASH)
        if first == RISK:
            return risk_words(mine, theirs, happened)
        if first == LATENCY:
            return latency_words(mine, theirs)
        return "the account had parted before" if first == CARRIED else fill_words(taken.outcome, happened)

    def _live_only(self, own: LiveDecision) -> None:
        """The router decided on a bar that the backtest has no decision on."""
        happened = decided(own.inputs)._replace(fills=filled_of(own.fills))
        horizon = self.rules[own.row.symbol].terms.horizon_bars
        cause, detail = DATA, "the backtest has no such bar"
        if own.inputs.terms.horizon_bars != horizon:
            cause, detail = CONFIGURATION, f"HORIZON_BARS was {own.inputs.terms.horizon_bars} and is {horizon}"
        elif own.row.bar_open_ms // settings.INTERVAL_MS % horizon:
            cause, detail = PERSON, "the desk was started: it decides at once, off the grid"
        elif own.row.bar_open_ms < self.span.first_ms:
            late_ms = own.row.ts_ms - own.row.bar_open_ms - settings.INTERVAL_MS
            cause, detail = LATENCY, f"decided {late_ms} ms after the close, on a bar before the span"
        self._one_sided(own.row.symbol, own.row.ts_ms, LIVE_ONLY, cause, detail, happened, NOTHING, own.row)

    def _backtest_only(self, taken: Taken) -> None:
        """The desk took no decision on a grid bar."""
        inputs = taken.inputs
        found = self.result.facts.missed(inputs.symbol, inputs.view.bar_open_ms)
        detail = found or NOT_IN_TIME
        cause = DATA if found else LATENCY
        self._one_sided(inputs.symbol, inputs.desk.ts_ms, BACKTEST_ONLY, cause, detail, NOTHING, taken.outcome, None)

    def _live_event(self, event: LiveEvent) -> None:
        """Something that no backtest does."""
        is_protective = event.origin == PROTECTIVE
        fills = filled_of(event.fills)
        happened = NOTHING._replace(side=fills[0].side if fills else 0, fills=fills)
        cause = CONFIGURATION if is_protective else PERSON
        detail = f"{event.what}: a backtest has none" if is_protective else f"{event.what} of {event.actor}"
        self._keep(
            Difference(
                event.symbol, event.ts_ms, LIVE_ONLY, cause, detail, "", happened, NOTHING,
                {cause: self._worth(event.symbol, happened)}, event.audit_id,
            ),
            fills, (),
        )  # fmt: skip

    def _one_sided(
        self, symbol: str, ts_ms: int, side: str, cause: str, detail: str, live: Outcome, backtest: Outcome,
        row: DecisionRow | None,
    ) -> None:  # fmt: skip
        money = {cause: self._worth(symbol, live) - self._worth(symbol, backtest)}
        audit_id = row.audit_id if row is not None else ""
        difference = Difference(symbol, ts_ms, side, cause, detail, "", live, backtest, money, audit_id)
        self._keep(difference, live.fills, backtest.fills)

    def _worth(self, symbol: str, outcome: Outcome) -> int:
        return outcome.worth_e16(self.result.marks[symbol])

    def _keep(self, difference: Difference, live: tuple[Filled, ...], backtest: tuple[Filled, ...]) -> None:
        self.result.differences.append(difference)
        self._take(difference.symbol, live, backtest, difference)

    def _take(
        self, symbol: str, live: tuple[Filled, ...], backtest: tuple[Filled, ...], by: Difference | None = None
    ) -> None:  # fmt: skip
        """Move both accounts; remember who parted them, until they meet again."""
        self.live.take(symbol, live)
        self.backtest.take(symbol, backtest)
        is_parted = {
            symbol: self.live.held_e8[symbol] != self.backtest.held_e8[symbol],
            "": self.live.cash_e8 != self.backtest.cash_e8,
        }
        for key, parted in is_parted.items():
            if not parted:
                self.parted.pop(key, None)
            elif by is not None:
                self.parted.setdefault(key, by)

    def finish(self) -> Divergence:
        """Both ends, checked: the backtest's against its own account, the parts against the whole."""
        result, marks = self.result, self.result.marks
        result.live_e16, result.backtest_e16 = self.live.worth_e16(marks), self.backtest.worth_e16(marks)
        if side_of(self.span, self.run.book).worth_e16(marks) != result.backtest_e16:
            raise IntegrityBreach("the fills of the backtest do not give its account")
        parts = sum(sum(one.money_e16.values()) for one in result.differences)
        if parts != result.live_e16 - result.backtest_e16:
            raise IntegrityBreach(f"the causes add up to {parts}, the difference is "
                                  f"{result.live_e16 - result.backtest_e16}")  # fmt: skip
        span = self.span
        result.live_curve = equity_between(span.epoch.number, span.start_ms, span.end_ms)
        result.backtest_curve = self.run.equity_e8.tolist()
        return result
