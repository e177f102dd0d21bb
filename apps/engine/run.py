"""The whole desk over arrays of bars in one compiled loop: the same kernels as live, with fills at the next bar's open.

At step i, for every symbol in order: the decision of step i - 1 is committed (its fill is the open of bar i, its clock,
marks and counters are those of bar i - 1). Then every symbol's bar i is folded, and a grid bar makes a decision due.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from apps.engine.decide import decide_nb
from apps.engine.decision import (
    DECISION_FLOATS,
    DECISION_INTS,
    FILL_BARS,
    FLOATS,
    INTS,
    SOURCE_ROUTER,
    ArrivalRecord,
    TermsRecord,
    ViewRecord,
    Workspace,
    workspace,
)
from apps.engine.desk import LimitRecord
from apps.engine.ledger import TOTAL_CASH, BookState, book_state, desk_of_nb, holding_value_nb, settle_nb
from apps.engine.observe import (
    S_ADV,
    S_AGE,
    S_LABEL,
    S_LAST_INDEX,
    S_MISSING,
    S_RECENT,
    S_SIGMA,
    CoreState,
    observe_bar_nb,
)
from apps.engine.observer import Observer, float_columns
from apps.engine.rng import philox_uniform_nb, symbol_id
from apps.engine.router import RouterParams
from apps.engine.values import Array2d, Bars, Filters, IntArray1d, IntArray2d


class RunTables(NamedTuple):
    """Per symbol and bar, (S, n): whether the bar is there, its index, floats, and integers for marks and fills."""

    present: IntArray2d
    bar_index: IntArray1d
    open_: Array2d
    high: Array2d
    low: Array2d
    close: Array2d
    volume: Array2d
    signals: Any
    open_ticks: IntArray2d
    close_ticks: IntArray2d
    volume_lots: IntArray2d


@njit(cache=True, error_model="numpy", nogil=True)
def core_of_nb(stacked: CoreState, s: int) -> CoreState:
    """One symbol's state out of the stacked arrays, as views."""
    return CoreState(
        stacked.feature_f[s], stacked.feature_i[s], stacked.regime_f[s], stacked.regime_i[s], stacked.sxx[s],
        stacked.sxy[s], stacked.syy[s], stacked.n[s], stacked.slots_i[s], stacked.slots_f[s], stacked.slots_mask[s],
        stacked.scalars_i[s], stacked.scalars_f[s], stacked.context[s], stacked.arms[s], stacked.gates[s],
        stacked.reward[s], stacked.work[s],
    )  # fmt: skip


@njit(cache=True, error_model="numpy", nogil=True)
def view_record_nb(core: CoreState, interval_ms: int) -> ViewRecord:
    i, f = core.scalars_i, core.scalars_f
    return ViewRecord(
        i[S_LAST_INDEX] * interval_ms, i[S_LAST_INDEX], i[S_MISSING], i[S_LABEL],
        f[S_SIGMA], f[S_ADV], f[S_AGE], f[S_RECENT],
    )  # fmt: skip


@njit(cache=True, error_model="numpy", nogil=True)
def terms_of_nb(base: TermsRecord, unit_e8: int, step_e8: int, last_signal: float) -> TermsRecord:
    return TermsRecord(
        base.source, base.lots, base.remainder_e8, base.limit_ticks, unit_e8, base.fee_bps, base.slippage_scale,
        base.rebalance_band_bps, base.weight_e9, base.horizon_bars, base.bars_per_year, base.is_execution_on,
        base.is_router_on, base.fallback_arm, base.rehearsal_bps, base.fill_kind, last_signal,
        base.is_fee_in_base, step_e8,
    )  # fmt: skip


@njit(cache=True, error_model="numpy", nogil=True)
def limits_of_nb(base: LimitRecord, rules: IntArray1d) -> LimitRecord:
    return LimitRecord(
        base.max_notional_e8, base.symbol_notional_cap_e8, base.max_drawdown_bps, base.breaker_ms,
        base.orders_per_minute, base.stale_after_ms, base.view_stale_after_ms, base.hard_drawdown_bps,
        base.daily_loss_bps, base.repeat_orders, base.collar_bps, base.order_cap_e8, base.filters_stale_after_ms,
        base.allow_short, base.cooldown_ms, base.stop_guard_trades, base.stop_guard_pause_ms, base.low_profit_trades,
        base.low_profit_bps, base.low_profit_pause_ms,
        rules[0], rules[1], rules[2], rules[3], rules[4],
    )  # fmt: skip


@njit(cache=True, error_model="numpy", nogil=True)
def commit_nb(
    s: int, i: int, core: CoreState, tables: RunTables, book: BookState, units: IntArray1d, steps: IntArray1d,
    rules: IntArray2d, limits: LimitRecord, terms: TermsRecord, params: RouterParams, seed: int, symbol_ids: IntArray1d,
    interval_ms: int, window_limit: int, lookback_ms: int, empty: IntArray2d, w: Workspace,
) -> None:  # fmt: skip
    """Decide on the view of the bar before step i and fill at bar i's open."""
    bar_index = core.scalars_i[S_LAST_INDEX]
    ts_ms = (bar_index + 1) * interval_ms
    desk = desk_of_nb(book, units, steps, s, bar_index, ts_ms, window_limit, lookback_ms, 0)
    is_next = tables.present[s, i] == 1
    arrival = ArrivalRecord(0, 0, tables.open_ticks[s, i] if is_next else 0, tables.volume_lots[s, i] if is_next else 0)
    u = philox_uniform_nb(seed, symbol_ids[s], bar_index * interval_ms, 0)
    decide_nb(
        view_record_nb(core, interval_ms), core.arms, core.gates, desk, limits_of_nb(limits, rules[s]),
        terms_of_nb(terms, units[s], steps[s], book.last_signals[s]), params, arrival, empty, empty, u, w,
    )  # fmt: skip
    settle_nb(book, s, ts_ms, w)


@njit(cache=True, error_model="numpy", nogil=True)
def run_nb(
    stacked: CoreState, tables: RunTables, book: BookState, units: IntArray1d, steps: IntArray1d, rules: IntArray2d,
    limits: LimitRecord, terms: TermsRecord, params: RouterParams, seed: int, symbol_ids: IntArray1d, interval_ms: int,
    window_limit: int, lookback_ms: int, warm_ups: IntArray1d, inactive: IntArray1d, is_bocpd: int,
    empty: IntArray2d, w: Workspace,
    out_i: IntArray2d, out_f: Array2d, out_p: Array2d, out_symbol: IntArray1d, out_regime: IntArray1d,
    equity: IntArray1d,
) -> int:  # fmt: skip
    """The loop over steps and symbols; answers the number of decisions written."""
    n_decisions = 0
    for i in range(tables.bar_index.shape[0]):
        for s in range(units.shape[0]):
            if book.due[s] == 1:
                core = core_of_nb(stacked, s)
                commit_nb(
                    s, i, core, tables, book, units, steps, rules, limits, terms, params, seed, symbol_ids,
                    interval_ms, window_limit, lookback_ms, empty, w,
                )  # fmt: skip
                out_i[n_decisions] = w.out_i
                out_f[n_decisions] = w.out_f
                out_p[n_decisions] = w.p
                out_symbol[n_decisions] = s
                out_regime[n_decisions] = core.scalars_i[S_LABEL]
                n_decisions += 1
                book.due[s] = 0
        total = book.totals[TOTAL_CASH]
        for s in range(units.shape[0]):
            if tables.present[s, i] == 1:
                core = core_of_nb(stacked, s)
                book.due[s] = observe_bar_nb(
                    core, params, terms.horizon_bars, tables.bar_index[i], tables.open_[s, i], tables.high[s, i],
                    tables.low[s, i], tables.close[s, i], tables.volume[s, i], tables.signals[s, i], warm_ups,
                    inactive, is_bocpd,
                )  # fmt: skip
                book.marks[s] = tables.close_ticks[s, i]
                book.mark_index[s] = tables.bar_index[i]
            total += holding_value_nb(book, s, units[s], steps[s])
        equity[i] = total
    return n_decisions


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
) -> RunResult:  # fmt: skip
    """Run the whole desk over the bars of several symbols, aligned by bar index. Moves the observers' states.

    A run over slices is that over the whole: `book` is the account to go on with, changed in place, and `span` the
    slice's steps as (first bar index, end), so that a hole at its edge stays one. The last grid bar of a slice is
    committed by the next.
    """
    assert settings.terms.source == SOURCE_ROUTER and settings.terms.fill_kind == FILL_BARS
    interval_ms = observers[0].settings.interval_ms
    tables = _tables(observers, bars, filters, interval_ms, span)
    n_symbols, n = len(observers), tables.bar_index.shape[0]
    stacked = CoreState(*(np.stack(arrays) for arrays in zip(*(o.core for o in observers), strict=True)))
    book = book_state(n_symbols, settings.initial_cash_e8) if book is None else book
    w = workspace(len(observers[0].runs))
    capacity = n_symbols * (n // settings.terms.horizon_bars + 2)
    out_i = np.zeros((capacity, len(INTS)), np.int64)
    out_f = np.zeros((capacity, len(FLOATS)))
    out_p = np.zeros((capacity, w.p.shape[0]))
    out_symbol, out_regime, equity = (np.zeros(length, np.int64) for length in (capacity, capacity, n))
    count = run_nb(
        stacked, tables, book, np.array([f.unit_e8 for f in filters], np.int64),
        np.array([f.step_e8 for f in filters], np.int64),
        np.array([rules_of(f) for f in filters], np.int64), settings.limits, settings.terms,
        observers[0].settings.params, settings.seed,
        np.array([symbol_id(o.settings.symbol) for o in observers], np.int64), interval_ms, settings.window_trades,
        settings.lookback_ms,
        observers[0].warm_ups, inactive, int(is_bocpd), np.zeros((0, 2), np.int64), w, out_i, out_f, out_p,
        out_symbol, out_regime, equity,
    )  # fmt: skip
    for s, observer in enumerate(observers):
        observer.load([*_cores(stacked, s), *(run.state for run in observer.runs)])
    return RunResult(
        out_i[:count].copy().view(DECISION_INTS)[:, 0], out_f[:count].copy().view(DECISION_FLOATS)[:, 0],
        out_p[:count], out_symbol[:count], out_regime[:count], equity, book,
    )  # fmt: skip


def _cores(stacked: CoreState, s: int) -> list[Any]:
    return [array[s] for name, array in zip(CoreState._fields, stacked, strict=True) if name != "work"]


def _tables(
    observers: list[Observer], bars: list[Bars], filters: list[Filters], interval_ms: int, span: tuple[int, int] | None
) -> RunTables:
    first, end = span or (
        min(int(b.open_time_ms[0]) for b in bars) // interval_ms,
        max(int(b.open_time_ms[-1]) for b in bars) // interval_ms + 1,
    )
    index = np.arange(first, end, dtype=np.int64)
    shape = (len(bars), index.shape[0])
    open_, high, low, close, volume = (np.zeros(shape) for _ in range(5))
    signals = np.zeros((*shape, len(observers[0].runs)))
    present, opens, closes, volumes = (np.zeros(shape, np.int64) for _ in range(4))
    for s, (observer, block, rule) in enumerate(zip(observers, bars, filters, strict=True)):
        at = block.open_time_ms // interval_ms - first
        columns = float_columns(block)
        for target, column in zip((open_, high, low, close, volume), columns, strict=True):
            target[s, at] = column
        signals[s, at] = observer.signal_matrix(columns)
        present[s, at] = 1
        opens[s, at] = block.open_e8 // rule.tick_e8
        closes[s, at] = block.close_e8 // rule.tick_e8
        volumes[s, at] = block.volume_e8 // rule.step_e8
    return RunTables(present, index, open_, high, low, close, volume, signals, opens, closes, volumes)
