"""One engine, three shells: drive the live one over bars, run the batch, and compare both with the log between them."""

from __future__ import annotations

import gzip
import statistics
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from apps.audit import selectors as audit
from apps.audit.records import StoredRecord
from apps.audit.replaying import NotADecision, records_all, replays
from apps.engine.decide import decide
from apps.engine.decision import FILL_BARS, SOURCE_ROUTER
from apps.engine.observer import Observer
from apps.engine.reasons import Reason, Status
from apps.engine.record import ARM_NAMES, inputs_back
from apps.engine.run import RunResult, RunSettings, run
from apps.engine.values import Bars
from apps.execution.assembling import limit_record, terms_record
from apps.execution.bars_autopilot import BarsAutopilot
from apps.execution.controls import controls_read
from apps.execution.desk_thread import desk_thread
from apps.execution.models import Account, EquityPoint, Execution, Fill, Position
from apps.execution.reconciler import book_differences
from apps.marketdata.klines_file import read_klines
from apps.marketdata.market import market_view
from apps.risk.selectors import limits_current
from apps.strategy.facts import inactive_arms
from apps.strategy.fold import Fold, observe_settings
from apps.strategy.models import View
from tests.support.bars import FILTERS, MINUTE_MS
from tests.support.desk import store

SEED, CASH_E8 = 20260101, 10**14
FAR_MS = 10**13


@dataclass
class Compared:
    """How much was compared, so that nobody takes an idle desk for an equal one."""

    decisions: int = 0
    filled: int = 0
    refused: int = 0
    bytes: list[int] = field(default_factory=list)

    def told(self) -> str:
        return (
            f"{self.decisions:,} decisions equal ({self.filled:,} with fills, {self.refused:,} refused by guards), "
            f"records of {statistics.median(self.bytes):,.0f} bytes in the median"
        )


def recorded_bars(folder: Path, name: str, work: Path, first: int, n: int) -> Bars:
    """`n` rows of a recorded file of klines from row `first` on."""
    cut = work / name.removesuffix(".gz")
    with gzip.open(folder / "klines" / "1m" / name, "rt") as text:
        header = next(text)
        cut.write_text(header + "".join(islice(text, first, first + n)))
    return read_klines(cut, now_ms=FAR_MS).bars


def span_of(bars: Bars, start_ms: int, n_minutes: int) -> Bars:
    """The bars of so many minutes from a time on."""
    rows = np.searchsorted(bars.open_time_ms, [start_ms, start_ms + n_minutes * MINUTE_MS])
    return bars.slice(int(rows[0]), int(rows[1]))


def live_run(symbols: tuple[str, ...], blocks: list[Bars]) -> None:
    """Drive the live shell (autopilot, desk thread, rows, log) over stored bars; holes among them are old."""
    for symbol, block in zip(symbols, blocks, strict=True):
        store(symbol, block)
    market_view().clock.observe(max(int(block.open_time_ms[-1]) for block in blocks) + 10 * MINUTE_MS)
    BarsAutopilot().step()
    desk_thread().stop()


def run_settings(symbols: tuple[str, ...]) -> RunSettings:
    """What the desk of this database trades under, as a batch run takes it."""
    controls = controls_read(symbol=symbols[0], halted=None, using="default")
    limits = limits_current()
    terms = terms_record(source=SOURCE_ROUTER, rules=FILTERS, controls=controls, last_signal=0.0)
    assert terms.fill_kind == FILL_BARS
    return RunSettings(
        seed=SEED,
        initial_cash_e8=CASH_E8,
        limits=limit_record(limits, FILTERS),
        terms=terms,
        window_trades=limits["drawdown_window_trades"],
        lookback_ms=limits["low_profit_window_ms"],
    )


def batch_run(symbols: tuple[str, ...], blocks: list[Bars], disabled: Collection[str] = ()) -> RunResult:
    return run(
        [Observer(observe_settings(symbol)) for symbol in symbols],
        blocks,
        [FILTERS] * len(symbols),
        run_settings(symbols),
        inactive=inactive_arms(disabled),
        is_bocpd=True,
    )


def decision_records() -> Iterator[StoredRecord]:
    return (record for record in records_all() if record.kind == "execution.decision")


def compare(symbols: tuple[str, ...], batch: RunResult, records: Iterable[StoredRecord] | None = None) -> Compared:
    """Every recorded decision, recomputed from its record, equals the batch row in every integer and float bit.

    Integers are status, reason, policy, lots, prices, cash, equity and the verdicts of all guards; floats are what the
    router and the sizing made; propensities are those of every arm.
    """
    found = Compared()
    for row, record in enumerate(decision_records() if records is None else records):
        assert row < len(batch.decisions), "the live desk decided more often"
        assert record.symbol == symbols[batch.symbol[row]]
        inputs, _ = inputs_back(record.content["inputs"], audit.snapshot_get)
        decision, expected = decide(inputs), batch.decisions[row]
        assert tuple(decision.ints) == tuple(expected), (row, record.symbol, differing(decision.ints, expected))
        assert np.array(decision.floats).tobytes() == np.array(tuple(batch.floats[row])).tobytes(), row
        assert np.array(decision.probabilities).tobytes() == batch.probabilities[row].tobytes(), row
        found.decisions += 1
        found.filled += int(expected["filled_lots"] > 0)
        found.refused += int(expected["status"] == Status.BLOCKED)
        found.bytes.append(len(record.body))
    assert found.decisions == len(batch.decisions), "the live desk decided less often"
    return found


def differing(ints: Any, expected: Any) -> dict[str, tuple[int, int]]:
    """The columns that are not equal, for people: live, batch."""
    return {
        name: (getattr(ints, name), int(expected[name]))
        for name in ints._fields
        if getattr(ints, name) != expected[name]
    }


def compare_replay() -> int:
    """Every record with inputs follows from them, whatever its kind; answers how many there were."""
    count = 0
    for result in replays(records_all()):
        if isinstance(result, NotADecision):
            continue
        assert result.matches, (result.sequence, result.differences[:3])
        count += 1
    return count


def compare_rows(symbols: tuple[str, ...], blocks: list[Bars], batch: RunResult) -> None:
    """Decisions, fills, equity and holdings as the database has them are the batch's."""
    rows = Execution.objects.order_by("audit_sequence").values_list("symbol", "status", "reason", "policy_id")
    expected = [
        (symbols[number], *_told(row)) for number, row in zip(batch.symbol.tolist(), batch.decisions, strict=True)
    ]
    assert list(rows) == expected
    columns = ("order__execution__audit_sequence", "quantity_e8", "notional_e8", "fee_e8")
    sums: dict[int, list[int]] = {}
    for sequence, *values in Fill.objects.values_list(*columns):
        sums[sequence] = [a + b for a, b in zip(sums.get(sequence, [0, 0, 0]), values, strict=True)]
    filled = batch.decisions[batch.decisions["filled_lots"] > 0]
    fills = np.stack([filled["filled_lots"] * FILTERS.step_e8, filled["notional_e8"], filled["fee_e8"]], axis=1)
    assert [sums[sequence] for sequence in sorted(sums)] == fills.tolist()
    _compare_account(symbols, batch)
    first_ms, n_points = min(int(block.open_time_ms[0]) for block in blocks), 0
    for ts_ms, equity_e8 in EquityPoint.objects.values_list("ts_ms", "equity_e8"):
        assert equity_e8 == int(batch.equity_e8[(ts_ms - first_ms) // MINUTE_MS - 1]), ts_ms
        n_points += 1
    everywhere = set.intersection(*(set(block.open_time_ms.tolist()) for block in blocks))
    assert n_points == len(everywhere), "a point for every bar that all symbols have"


def _told(row: Any) -> tuple[str, str | None, str | None]:
    """Status, reason and policy of a batch row, in words."""
    reason, arm = Reason(int(row["reason"])), int(row["arm"])
    status = Status(int(row["status"])).name.lower()
    return status, reason.code if reason else None, ARM_NAMES[arm] if arm >= 0 else None


def _compare_account(symbols: tuple[str, ...], batch: RunResult) -> None:
    book = batch.book
    assert Account.objects.get().cash_e8 == int(book.totals[0])
    held = {row.symbol: row.quantity_e8 for row in Position.objects.all()}
    lots = [int(count) * FILTERS.step_e8 + int(dust) for count, dust in zip(book.positions, book.dust, strict=True)]
    assert [held.get(symbol, 0) for symbol in symbols] == lots
    assert book_differences() == []


def rebuilt_is_stored(symbols: tuple[str, ...]) -> None:
    """A fold rebuilt from rows is where the live one stands."""
    for symbol in symbols:
        fold = Fold(symbol)
        fold.rebuild()
        newest = View.objects.filter(symbol=symbol).order_by("-bar_open_ms").values_list("state_hash", flat=True)
        assert fold.observer.state_hash() == newest.first()
