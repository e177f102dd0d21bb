"""The whole desk over arrays of bars in one compiled loop: the same kernels as live, with fills at the next bar's open.

Three passes over each stretch of bars: policies, observing (which knows nothing of the account), trading. At step i of
the last, for every symbol in order: the decision of step i - 1 is committed (its fill is the open of bar i, its clock,
marks and counters are those of bar i - 1). Then bar i marks the account, and a grid bar makes a decision due.
"""

from __future__ import annotations

import math
from collections.abc import Callable
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
from apps.engine.observe_state import (
    ROW_INDEX,
    ROW_LABEL,
    ROW_MISSING,
    S_ADV,
    S_AGE,
    S_RECENT,
    S_SIGMA,
    ViewRows,
    view_rows,
)
from apps.engine.observer import Observer
from apps.engine.rng import philox_uniform_nb, symbol_id
from apps.engine.router import RouterParams
from apps.engine.values import Array2d, Bars, Filters, IntArray1d, IntArray2d

CHUNK_STEPS = 8_192


class MarketRows(NamedTuple):
    """What fills and marks need of a stretch of steps, (S, n): whether the bar is there, ticks and lots."""

    present: IntArray2d
    open_ticks: IntArray2d
    close_ticks: IntArray2d
    volume_lots: IntArray2d


class RunOutput(NamedTuple):
    """Room for every decision of a run (layouts DECISION_INTS, DECISION_FLOATS) and for equity at every bar."""

    ints: IntArray2d
    floats: Array2d
    probabilities: Array2d
    symbol: IntArray1d
    equity_e8: IntArray1d


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
    s: int, i: int, row: int, seen: ViewRows, market: MarketRows, book: BookState, units: IntArray1d, steps: IntArray1d,
    rules: IntArray2d, limits: LimitRecord, terms: TermsRecord, params: RouterParams, seed: int, symbol_ids: IntArray1d,
    interval_ms: int, window_limit: int, lookback_ms: int, empty: IntArray2d, w: Workspace,
) -> None:  # fmt: skip
    """Decide on a view of the bar before step i and fill at bar i's open."""
    ints, floats = seen.ints[s, row], seen.floats[s, row]
    bar_index = ints[ROW_INDEX]
    view = ViewRecord(
        bar_index * interval_ms, bar_index, ints[ROW_MISSING], ints[ROW_LABEL],
        floats[S_SIGMA], floats[S_ADV], floats[S_AGE], floats[S_RECENT],
    )  # fmt: skip
    ts_ms = (bar_index + 1) * interval_ms
    desk = desk_of_nb(book, units, steps, s, bar_index, ts_ms, window_limit, lookback_ms, 0)
    is_next = market.present[s, i] == 1
    arrival = ArrivalRecord(0, 0, market.open_ticks[s, i] if is_next else 0, market.volume_lots[s, i] if is_next else 0)
    u = philox_uniform_nb(seed, symbol_ids[s], bar_index * interval_ms, 0)
    decide_nb(
        view, seen.arms[s, row], seen.gates[s, row], desk, limits_of_nb(limits, rules[s]),
        terms_of_nb(terms, units[s], steps[s], book.last_signals[s]), params, arrival, empty, empty, u, w,
    )  # fmt: skip
    settle_nb(book, s, ts_ms, w)


@njit(cache=True, error_model="numpy", nogil=True)
def keep_decision_nb(out: RunOutput, row: int, s: int, w: Workspace) -> None:
    for j in range(w.out_i.shape[0]):
        out.ints[row, j] = w.out_i[j]
    for j in range(w.out_f.shape[0]):
        out.floats[row, j] = w.out_f[j]
    for j in range(w.p.shape[0]):
        out.probabilities[row, j] = w.p[j]
    out.symbol[row] = s


@njit(cache=True, error_model="numpy", nogil=True)
def trade_nb(
    first_index: int, first_step: int, n_decisions: int, seen: ViewRows, market: MarketRows, book: BookState,
    units: IntArray1d, steps: IntArray1d, rules: IntArray2d, limits: LimitRecord, terms: TermsRecord,
    params: RouterParams, seed: int, symbol_ids: IntArray1d, interval_ms: int, window_limit: int, lookback_ms: int,
    empty: IntArray2d, w: Workspace, out: RunOutput,
) -> int:  # fmt: skip
    """The account over a stretch of steps; answers the number of decisions so far. Row 0 of `seen` is the view that
    is due from the stretch before, the grid bars of this one follow.
    """
    for s in range(units.shape[0]):
        book.rows[s] = 0
    for i in range(market.present.shape[1]):
        for s in range(units.shape[0]):
            if book.due[s] == 1:
                commit_nb(
                    s, i, book.rows[s], seen, market, book, units, steps, rules, limits, terms, params, seed,
                    symbol_ids, interval_ms, window_limit, lookback_ms, empty, w,
                )  # fmt: skip
                keep_decision_nb(out, n_decisions, s, w)
                n_decisions += 1
                book.due[s] = 0
        bar_index = first_index + i
        is_grid = 1 if bar_index % terms.horizon_bars == 0 else 0
        total = book.totals[TOTAL_CASH]
        for s in range(units.shape[0]):
            if market.present[s, i] == 1:
                book.due[s] = is_grid
                book.rows[s] += is_grid
                book.marks[s] = market.close_ticks[s, i]
                book.mark_index[s] = bar_index
            total += holding_value_nb(book, s, units[s], steps[s])
        out.equity_e8[first_step + i] = total
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
    """Decisions in order (layouts DECISION_INTS, DECISION_FLOATS), propensities (n, K + 1), and equity at every bar."""

    decisions: Any
    floats: Any
    probabilities: Array2d
    symbol: IntArray1d
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
    *, inactive: IntArray1d, is_bocpd: bool, progress: Callable[[int, int], None] | None = None,
) -> RunResult:  # fmt: skip
    """Run the whole desk over the bars of several symbols, aligned by bar index. Moves the observers' states.

    `progress` is told (steps done, steps in all) now and then.
    """
    assert settings.terms.source == SOURCE_ROUTER and settings.terms.fill_kind == FILL_BARS
    interval_ms, horizon = observers[0].settings.interval_ms, settings.terms.horizon_bars
    first = min(int(b.open_time_ms[0]) for b in bars) // interval_ms
    n = max(int(b.open_time_ms[-1]) for b in bars) // interval_ms + 1 - first
    n_symbols, n_arms = len(observers), len(observers[0].runs)
    seen = view_rows(n_symbols, CHUNK_STEPS // horizon + 2, n_arms)
    book, w = book_state(n_symbols, settings.initial_cash_e8), workspace(n_arms)
    out = _output(n_symbols * (n // horizon + 2), n, n_arms)
    units, steps = (
        np.array(column, np.int64) for column in zip(*((f.unit_e8, f.step_e8) for f in filters), strict=True)
    )
    rules = np.array([rules_of(f) for f in filters], np.int64)
    symbol_ids = np.array([symbol_id(o.settings.symbol) for o in observers], np.int64)
    empty, n_decisions = np.zeros((0, 2), np.int64), 0
    for start in range(0, n, CHUNK_STEPS):
        span = range(first + start, first + min(start + CHUNK_STEPS, n))
        _keep_due(seen, book)
        blocks = [_block(b, span, interval_ms) for b in bars]
        for s, (observer, block) in enumerate(zip(observers, blocks, strict=True)):
            rows = ViewRows(*(array[s, 1:] for array in seen))
            observer.observe_many(block, inactive=inactive, is_bocpd=is_bocpd, seen=rows)
        n_decisions = trade_nb(
            span.start, start, n_decisions, seen, _market(blocks, filters, span, interval_ms), book, units, steps,
            rules, settings.limits, settings.terms, observers[0].settings.params, settings.seed, symbol_ids,
            interval_ms, settings.window_trades, settings.lookback_ms, empty, w, out,
        )  # fmt: skip
        if progress is not None:
            progress(start + len(span), n)
    return RunResult(
        out.ints[:n_decisions].view(DECISION_INTS)[:, 0], out.floats[:n_decisions].view(DECISION_FLOATS)[:, 0],
        out.probabilities[:n_decisions], out.symbol[:n_decisions], out.equity_e8, book,
    )  # fmt: skip


def _output(n_decisions: int, n_steps: int, n_arms: int) -> RunOutput:
    return RunOutput(
        np.zeros((n_decisions, len(INTS)), np.int64), np.zeros((n_decisions, len(FLOATS))),
        np.zeros((n_decisions, n_arms + 1)), np.zeros(n_decisions, np.int64), np.zeros(n_steps, np.int64),
    )  # fmt: skip


def _keep_due(seen: ViewRows, book: BookState) -> None:
    """Views that a decision still waits for survive the next stretch in row 0."""
    for s in np.flatnonzero(book.due):
        for array in seen:
            array[s, 0] = array[s, book.rows[s]]


def _block(bars: Bars, span: range, interval_ms: int) -> Bars:
    """The bars whose index is in the span."""
    start, stop = np.searchsorted(bars.open_time_ms, [span.start * interval_ms, span.stop * interval_ms])
    return bars.slice(int(start), int(stop))


def _market(blocks: list[Bars], filters: list[Filters], span: range, interval_ms: int) -> MarketRows:
    market = MarketRows(*(np.zeros((len(blocks), len(span)), np.int64) for _ in MarketRows._fields))
    for s, (block, rule) in enumerate(zip(blocks, filters, strict=True)):
        at = block.open_time_ms // interval_ms - span.start
        market.present[s, at] = 1
        market.open_ticks[s, at] = block.open_e8 // rule.tick_e8
        market.close_ticks[s, at] = block.close_e8 // rule.tick_e8
        market.volume_lots[s, at] = block.volume_e8 // rule.step_e8
    return market
