"""The whole desk over arrays of bars: the same kernels as live, with fills at the next bar's open.

Three passes over each stretch of bars: policies, observing (which knows nothing of the account), trading. At step i of
the last, for every symbol in order: the decision of step i - 1 is committed (its fill is the open of bar i, its clock,
marks and counters are those of bar i - 1). Then bar i marks the account, and a grid bar makes a decision due.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from apps.engine.decision import (
    DECISION_FLOATS,
    DECISION_INTS,
    FILL_BARS,
    FLOATS,
    INTS,
    SOURCE_ROUTER,
    TermsRecord,
    workspace,
)
from apps.engine.desk import LimitRecord
from apps.engine.ledger import BookState, book_state
from apps.engine.observe_state import (
    ROW_INDEX,
    ROW_LABEL,
    ROW_MISSING,
    S_LABEL,
    S_LAST_INDEX,
    S_MISSING,
    CoreState,
    ViewRows,
    view_rows,
)
from apps.engine.observer import Observer
from apps.engine.rng import symbol_id
from apps.engine.trade import MarketRows, RunOutput, trade_nb
from apps.engine.values import Array2d, Bars, Filters, IntArray1d

CHUNK_STEPS = 8_192


@dataclass(frozen=True)
class RunSettings:
    """What a run needs besides bars and observers; the exchange's rules come from the filters.

    `window_trades` is the rolling breaker's, `lookback_ms` that of the protections on closed trades.
    """

    seed: int
    initial_cash_e8: int
    limits: LimitRecord
    terms: TermsRecord
    window_trades: int
    lookback_ms: int


@dataclass(frozen=True)
class RunResult:
    """Decisions in order (layouts DECISION_INTS, DECISION_FLOATS), propensities (n, K + 1), and equity at every bar.

    `symbol` and `regime` tell whose decision it was and the regime label of the view it was taken on.
    """

    decisions: Any
    floats: Any
    probabilities: Array2d
    symbol: IntArray1d
    regime: IntArray1d
    equity_e8: IntArray1d
    book: BookState


def rules_of(filters: Filters) -> tuple[int, int, int, int, int]:
    """(min lots, max lots, lot multiple, min notional, max notional) of a market order under a filter revision."""
    step = filters.step_e8
    smallest = max(filters.min_qty_e8, filters.market_min_qty_e8)
    largest = [limit for limit in (filters.max_qty_e8, filters.market_max_qty_e8) if limit > 0]
    # Whole lots that are also whole market steps.
    multiple = max(1, filters.market_step_e8 // math.gcd(step, filters.market_step_e8))
    return (
        max(1, -(-smallest // step)),
        min(largest) // step if largest else 0,
        multiple,
        filters.min_notional_e8,
        filters.max_notional_e8,
    )


def run(
    observers: list[Observer], bars: list[Bars], filters: list[Filters], settings: RunSettings,
    *, inactive: IntArray1d, is_bocpd: bool, book: BookState | None = None, span: tuple[int, int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> RunResult:  # fmt: skip
    """Run the whole desk over the bars of several symbols, aligned by bar index. Moves the observers' states.

    A run over slices is that over the whole: `book` is the account to go on with, changed in place, and `span` the
    slice's steps as (first bar index, end), so that a hole at its edge stays one. The last grid bar of a slice is
    committed by the next. `progress` is told (steps done, steps in all) now and then.
    """
    assert settings.terms.source == SOURCE_ROUTER and settings.terms.fill_kind == FILL_BARS
    interval_ms, horizon = observers[0].settings.interval_ms, settings.terms.horizon_bars
    first, end = span or (
        min(int(b.open_time_ms[0]) for b in bars) // interval_ms,
        max(int(b.open_time_ms[-1]) for b in bars) // interval_ms + 1,
    )
    n_symbols, n_arms = len(observers), len(observers[0].runs)
    book = book_state(n_symbols, settings.initial_cash_e8) if book is None else book
    seen = view_rows(n_symbols, CHUNK_STEPS // horizon + 2, n_arms)
    out = _output(n_symbols * ((end - first) // horizon + 2), end - first, n_arms)
    account = _account_arguments(observers, filters, settings, n_arms)
    n_decisions = 0
    for start in range(first, end, CHUNK_STEPS):
        steps = range(start, min(start + CHUNK_STEPS, end))
        blocks = [_block(b, steps, interval_ms) for b in bars]
        for s, (observer, block) in enumerate(zip(observers, blocks, strict=True)):
            _keep_due(observer.core, ViewRows(*(array[s, 0] for array in seen)))
            rows = ViewRows(*(array[s, 1:] for array in seen))
            observer.observe_many(block, inactive=inactive, is_bocpd=is_bocpd, seen=rows)
        market = _market(blocks, filters, steps, interval_ms)
        n_decisions = trade_nb(start, start - first, n_decisions, seen, market, book, out, *account)
        if progress is not None:
            progress(steps.stop - first, end - first)
    return RunResult(
        out.ints[:n_decisions].view(DECISION_INTS)[:, 0], out.floats[:n_decisions].view(DECISION_FLOATS)[:, 0],
        out.probabilities[:n_decisions], out.symbol[:n_decisions], out.regime[:n_decisions], out.equity_e8, book,
    )  # fmt: skip


def _account_arguments(
    observers: list[Observer], filters: list[Filters], settings: RunSettings, n_arms: int
) -> tuple[Any, ...]:  # fmt: skip
    """What `trade_nb` takes in every stretch."""
    n_symbols, own = len(observers), observers[0].settings
    return (
        np.zeros(n_symbols, np.int64),
        np.array([f.unit_e8 for f in filters], np.int64),
        np.array([f.step_e8 for f in filters], np.int64),
        np.array([rules_of(f) for f in filters], np.int64),
        settings.limits, settings.terms, own.params, settings.seed,
        np.array([symbol_id(o.settings.symbol) for o in observers], np.int64),
        own.interval_ms, settings.window_trades, settings.lookback_ms,
        np.zeros((0, 2), np.int64), workspace(n_arms),
    )  # fmt: skip


def _output(n_decisions: int, n_steps: int, n_arms: int) -> RunOutput:
    return RunOutput(
        np.zeros((n_decisions, len(INTS)), np.int64), np.zeros((n_decisions, len(FLOATS))),
        np.zeros((n_decisions, n_arms + 1)), np.zeros(n_decisions, np.int64), np.zeros(n_decisions, np.int64),
        np.zeros(n_steps, np.int64),
    )  # fmt: skip


def _keep_due(core: CoreState, row: ViewRows) -> None:
    """The newest view of a symbol, which a decision may wait for. If one does, it is that of its last bar."""
    row.ints[ROW_INDEX], row.ints[ROW_MISSING] = core.scalars_i[S_LAST_INDEX], core.scalars_i[S_MISSING]
    row.ints[ROW_LABEL] = core.scalars_i[S_LABEL]
    row.floats[:], row.arms[:], row.gates[:] = core.scalars_f, core.arms, core.gates


def _block(bars: Bars, steps: range, interval_ms: int) -> Bars:
    """The bars whose index is in the span."""
    start, stop = np.searchsorted(bars.open_time_ms, [steps.start * interval_ms, steps.stop * interval_ms])
    return bars.slice(int(start), int(stop))


def _market(blocks: list[Bars], filters: list[Filters], steps: range, interval_ms: int) -> MarketRows:
    market = MarketRows(*(np.zeros((len(blocks), len(steps)), np.int64) for _ in MarketRows._fields))
    for s, (block, rule) in enumerate(zip(blocks, filters, strict=True)):
        at = block.open_time_ms // interval_ms - steps.start
        market.present[s, at] = 1
        market.open_ticks[s, at] = block.open_e8 // rule.tick_e8
        market.close_ticks[s, at] = block.close_e8 // rule.tick_e8
        market.volume_lots[s, at] = block.volume_e8 // rule.step_e8
    return market
