"""Builders of what a decision reads, with numbers that are easy to check by hand.

One lot at one tick is worth 10 (1e-8 quote); at the mark of 60,000 a lot is worth 0.6 quote, 6e7. The account holds
1,000,000; annual volatility is 0.004 x sqrt(10,000) = 0.4, so base is half of equity; an arm without width takes half
of that, and a portfolio weight of one quarter leaves a full size of 62,500 quote: 104,166 lots.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from apps.engine.breakers import DAY_MS
from apps.engine.codec import sha256_hex
from apps.engine.decision import (
    ARM_A,
    ARM_B,
    ARM_H,
    ARM_LOC,
    ARM_N,
    ARM_SIGNAL,
    FILL_DEPTH,
    N_ARM_ROWS,
    N_ARMS,
    ArrivalRecord,
    DecisionInputs,
    Draw,
    TermsRecord,
    ViewRecord,
)
from apps.engine.desk import DeskRecord, LimitRecord, OrderRecord
from apps.engine.rng import philox_uniform_nb, symbol_id
from apps.engine.router import MODE_GREEDY, N_CONTEXT, N_TRIANGLE, RouterParams
from apps.engine.view import View, snapshot_bytes
from tests.support.bars import FILTERS, MINUTE_MS, START_MS

MARK, ASK, BID = 6_000_000, 6_000_100, 5_999_900
LOT_E8 = 60_000_000
FULL_LOTS = 104_166
CASH_E8 = 10**14
NOW_MS = START_MS + 2 * MINUTE_MS
GREEDY = RouterParams(mode=MODE_GREEDY, eps=0.0)


def plain(kernel: Any) -> Any:
    """A kernel as the Python function it was written as."""
    return getattr(kernel, "py_func", kernel)


def build_desk(**changes: int) -> DeskRecord:
    """A flat, fresh, active desk."""
    desk = DeskRecord(
        ts_ms=NOW_MS, cash_e8=CASH_E8, equity_e8=CASH_E8, high_water_e8=CASH_E8, position_lots=0, mark_ticks=MARK,
        other_notional_e8=0, orders_last_minute=0, trading_state=0, breaker_until_ms=0, data_age_ms=100,
        view_age_ms=1_000, unknown=0, open_buy_lots=0, open_sell_lots=0, locked_cash_e8=0, own_bid_ticks=0,
        own_ask_ticks=0, filters_age_ms=1_000, day_index=NOW_MS // DAY_MS, day_start_e8=CASH_E8, is_day_latched=0,
        peak_e8=CASH_E8, is_hard_latched=0, same_buys=0, same_sells=0, is_repeat_latched=0, since_exit_ms=-1,
        closed_trades=0, closed_profit_bps=0, since_stop_ms=-1, stop_exits=0, dust_e8=0,
    )  # fmt: skip
    return desk._replace(**changes)


def holding(lots: int, **changes: int) -> DeskRecord:
    """The same desk after it bought (or sold short) lots at the mark."""
    return build_desk(**{"position_lots": lots, "cash_e8": CASH_E8 - lots * LOT_E8, **changes})


def build_order(**changes: int) -> OrderRecord:
    """A buy of 1,000 lots at the mark: 600 quote."""
    order = OrderRecord(
        side=1, lots=1_000, remainder_e8=0, price_ticks=MARK, notional_e8=0, fee_e8=0, unit_e8=10, reduces_risk=0,
        is_flatten=0, limit_ticks=0, is_router=1,
    )._replace(**changes)  # fmt: skip
    notional = order.lots * order.price_ticks * order.unit_e8
    fees = {"notional_e8": notional, "fee_e8": -(-notional // 1_000)}
    return order._replace(**{name: value for name, value in fees.items() if name not in changes})


def build_limits(**changes: int) -> LimitRecord:
    limits = LimitRecord(
        max_notional_e8=25_000_000_000_000, symbol_notional_cap_e8=10_000_000_000_000, max_drawdown_bps=500,
        breaker_ms=900_000, orders_per_minute=6, stale_after_ms=5_000, view_stale_after_ms=80_000,
        hard_drawdown_bps=0, daily_loss_bps=0, repeat_orders=20, collar_bps=200, order_cap_e8=10_000_000_000_000,
        filters_stale_after_ms=86_400_000, allow_short=1, cooldown_ms=0, stop_guard_trades=0, stop_guard_pause_ms=0,
        low_profit_trades=0, low_profit_bps=0, low_profit_pause_ms=0, min_lots=1,
        max_lots=900_000_000, lot_multiple=1, min_notional_e8=500_000_000, max_order_notional_e8=0,
    )  # fmt: skip
    return limits._replace(**changes)


def build_terms(**changes: Any) -> TermsRecord:
    """A router's decision that fills on the book; sqrt(4) bars of horizon."""
    terms = TermsRecord(
        source=0, lots=0, remainder_e8=0, limit_ticks=0, unit_e8=10, fee_bps=10, slippage_scale=1,
        rebalance_band_bps=2_000,
        weight_e9=250_000_000, horizon_bars=4, bars_per_year=10_000, is_execution_on=1, is_router_on=1,
        fallback_arm=-1, rehearsal_bps=0, fill_kind=FILL_DEPTH, last_signal=0.0, is_fee_in_base=0, step_e8=1_000,
    )  # fmt: skip
    return terms._replace(**changes)


def build_record(**changes: Any) -> ViewRecord:
    record = ViewRecord(START_MS, START_MS // MINUTE_MS, 0, 2, 0.004, 1_000_000.0, 40.0, 0.1)
    return record._replace(**changes)


def build_arms(*, best: int = 0, signal: float = 1.0, h: float = 0.0) -> np.ndarray:
    """Every arm at reward 0 and signal 0, save the best one."""
    arms = np.zeros((N_ARM_ROWS, N_ARMS))
    arms[ARM_H], arms[ARM_A], arms[ARM_B], arms[ARM_N] = h, 100.0, 98.0, 192.0
    arms[ARM_LOC, best], arms[ARM_SIGNAL, best] = 5.0, signal
    return arms


def levels(*rows: tuple[int, int]) -> np.ndarray:
    """Rows of (ticks, lots), best first."""
    return np.array(rows, np.int64).reshape(len(rows), 2)


def build_draw(attempt: int = 0, seed: int = 20260101) -> Draw:
    number = symbol_id("BTCUSDT")
    return Draw(seed, number, START_MS, attempt, float(philox_uniform_nb(seed, number, START_MS, attempt)))


def build_inputs(**changes: Any) -> DecisionInputs:
    """A router's decision on a calm desk: buy the full size of arm 0 on a book that holds it."""
    bids, asks = changes.get("bids", levels((BID, 10**6))), changes.get("asks", levels((ASK, 10**6)))
    touch = ArrivalRecord(int(bids[0, 0]) if len(bids) else 0, int(asks[0, 0]) if len(asks) else 0, 0, 0)
    given = {
        "symbol": "BTCUSDT", "snapshot": None, "view": build_record(), "arms": build_arms(),
        "gates": np.zeros(N_ARMS, np.int64), "desk": build_desk(), "limits": build_limits(), "terms": build_terms(),
        "params": GREEDY, "arrival": touch, "bids": bids, "asks": asks, "seen_ts_ms": NOW_MS - 60,
        "seen_bids": bids[:5], "seen_asks": asks[:5], "arrival_ts_ms": NOW_MS - 10, "filters": FILTERS,
        "draw": build_draw(),
    }  # fmt: skip
    return DecisionInputs(**{**given, **changes})


def build_view(**changes: Any) -> View:
    """A view with a number of its own in every place."""
    rng = np.random.Generator(np.random.PCG64(5))
    given = {
        "symbol": "BTCUSDT", "interval_ms": MINUTE_MS, "record": build_record(), "is_grid": True, "arms": build_arms(),
        "gates": np.zeros(N_ARMS, np.int64), "context": rng.standard_normal(N_CONTEXT),
        "coefficients": rng.standard_normal((N_CONTEXT, N_ARMS)),
        "precision": rng.standard_normal((N_TRIANGLE, N_ARMS)), "last_applied_grid_bar": 28_333_330,
        "state_hash": "ab" * 32, "policies": tuple(f"arm_{k}" for k in range(N_ARMS)),
    }  # fmt: skip
    return View(**{**given, **changes})


def with_snapshot(view: View, **changes: Any) -> tuple[DecisionInputs, dict[str, bytes]]:
    """Inputs that rest on a view, and the store that holds its snapshot."""
    body = snapshot_bytes(view)
    name = sha256_hex(body)
    inputs = build_inputs(snapshot=name, view=view.record, arms=view.arms, gates=view.gates, **changes)
    return inputs, {name: body}
