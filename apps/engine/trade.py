"""The account of a batch run, step by step: commit what is due at this bar's open, mark, note what is due next."""

from __future__ import annotations

from typing import NamedTuple

from numba import njit

from apps.engine.borrowing import borrowed
from apps.engine.decide import decide_nb
from apps.engine.decision import ArrivalRecord, TermsRecord, ViewRecord, Workspace
from apps.engine.desk import LimitRecord
from apps.engine.ledger import TOTAL_CASH, BookState, desk_of_nb, holding_value_nb, settle_nb
from apps.engine.observe_state import (
    ROW_INDEX,
    ROW_LABEL,
    ROW_MISSING,
    S_ADV,
    S_AGE,
    S_RECENT,
    S_SIGMA,
    ViewRows,
)
from apps.engine.rng import philox_uniform_nb
from apps.engine.router import RouterParams
from apps.engine.values import Array2d, IntArray1d, IntArray2d


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
    regime: IntArray1d
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


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
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


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def keep_decision_nb(out: RunOutput, row: int, s: int, label: int, w: Workspace) -> None:
    for j in range(w.out_i.shape[0]):
        out.ints[row, j] = w.out_i[j]
    for j in range(w.out_f.shape[0]):
        out.floats[row, j] = w.out_f[j]
    for j in range(w.p.shape[0]):
        out.probabilities[row, j] = w.p[j]
    out.symbol[row] = s
    out.regime[row] = label


@njit(cache=True, error_model="numpy", nogil=True)
def trade_nb(
    first_index: int, first_step: int, n_decisions: int, seen: ViewRows, market: MarketRows, book: BookState,
    out: RunOutput, rows: IntArray1d, units: IntArray1d, steps: IntArray1d, rules: IntArray2d, limits: LimitRecord,
    terms: TermsRecord,
    params: RouterParams, seed: int, symbol_ids: IntArray1d, interval_ms: int, window_limit: int, lookback_ms: int,
    empty: IntArray2d, w: Workspace,
) -> int:  # fmt: skip
    """The account over a stretch of steps; answers the number of decisions so far. Row 0 of `seen` is the view that
    is due from the stretch before, the grid bars of this one follow; `rows` counts them.
    """
    seen, market, book, out, w = borrowed(seen), borrowed(market), borrowed(book), borrowed(out), borrowed(w)
    units, steps, rules, empty = borrowed(units), borrowed(steps), borrowed(rules), borrowed(empty)
    rows, symbol_ids = borrowed(rows), borrowed(symbol_ids)
    for s in range(units.shape[0]):
        rows[s] = 0
    for i in range(market.present.shape[1]):
        for s in range(units.shape[0]):
            if book.due[s] == 1:
                commit_nb(
                    s, i, rows[s], seen, market, book, units, steps, rules, limits, terms, params, seed,
                    symbol_ids, interval_ms, window_limit, lookback_ms, empty, w,
                )  # fmt: skip
                keep_decision_nb(out, n_decisions, s, seen.ints[s, rows[s], ROW_LABEL], w)
                n_decisions += 1
                book.due[s] = 0
        bar_index = first_index + i
        is_grid = 1 if bar_index % terms.horizon_bars == 0 else 0
        total = book.totals[TOTAL_CASH]
        for s in range(units.shape[0]):
            if market.present[s, i] == 1:
                book.due[s] = is_grid
                rows[s] += is_grid
                book.marks[s] = market.close_ticks[s, i]
                book.mark_index[s] = bar_index
            total += holding_value_nb(book, s, units[s], steps[s])
        out.equity_e8[first_step + i] = total
    return n_decisions
