"""The records around one decision: what it reads besides desk and limits, and the frozen layout of what it puts out."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from apps.engine.consumption import Consumption
from apps.engine.desk import DeskRecord, LimitRecord
from apps.engine.fills import FILL_WIDTH, MAX_FILLS
from apps.engine.gate import FINDING_WIDTH, N_GUARDS
from apps.engine.order_step import Step
from apps.engine.placing import Placing
from apps.engine.policies import POLICIES
from apps.engine.propensity import propensity_work
from apps.engine.router import RouterParams
from apps.engine.values import Array1d, Array2d, Filters, IntArray1d, IntArray2d

N_ARMS = len(POLICIES)
CASH_ARM = N_ARMS
NO_ARM = -1

# Rows of the per-arm array of a view.
ARM_SIGNAL, ARM_LOC, ARM_H, ARM_A, ARM_B, ARM_N = range(6)
N_ARM_ROWS = 6

# Bits of a gate: why an arm is not admissible. 0 admits it.
GATE_WARM_UP, GATE_GAP, GATE_INACTIVE, GATE_FAULTY = 1, 2, 4, 8

SOURCE_ROUTER, SOURCE_PERSON, SOURCE_FLATTEN = 0, 1, 2
FILL_BARS, FILL_DEPTH = 0, 1


class ViewRecord(NamedTuple):
    """The scalars of a view; `sigma_bar` is the bar volatility known at it, `adv_quote` the mean quote volume."""

    bar_open_ms: int
    bar_index: int
    context_missing: int
    regime_label: int
    sigma_bar: float
    adv_quote: float
    regime_age: float
    change_probability: float


class TermsRecord(NamedTuple):
    """The settings and flags a decision is taken under.

    `lots` (signed), `remainder_e8` and `limit_ticks` (0: a market order) are a person's order, `last_signal` is the
    signal of the last order sent. `is_fee_in_base`: buys pay their fee in base, of which a lot holds `step_e8`.
    """

    source: int
    lots: int
    remainder_e8: int
    limit_ticks: int
    unit_e8: int
    fee_bps: int
    slippage_scale: int
    rebalance_band_bps: int
    weight_e9: int
    horizon_bars: int
    bars_per_year: int
    is_execution_on: int
    is_router_on: int
    fallback_arm: int
    rehearsal_bps: int
    fill_kind: int
    last_signal: float
    is_fee_in_base: int
    step_e8: int


class ArrivalRecord(NamedTuple):
    """What the order meets: the touch of the arrival book, or the bar after the view's (0 where absent)."""

    bid_ticks: int
    ask_ticks: int
    open_ticks: int
    volume_lots: int


class Draw(NamedTuple):
    """The one uniform of a decision and the key it is drawn from; attempt 0 is the autopilot's."""

    seed: int
    symbol_id: int
    bar_open_ms: int
    attempt: int
    u: float


_INT_FIELDS = (
    *("ts_ms", "bar_open_ms", "bar_index", "attempt", "status", "reason", "arm", "side"),
    *("base_e8", "target_lots", "requested_lots", "sent_lots", "filled_lots", "n_fills"),
    *("judged_ticks", "mark_ticks", "notional_e8", "fee_e8"),
    *("position_before_lots", "position_after_lots", "cash_before_e8", "cash_after_e8"),
    *("equity_before_e8", "equity_after_e8", "high_water_e8", "breaker_until_ms", "is_tripped", "is_rearmed"),
    *("day_index", "day_start_e8", "is_day_latched", "is_day_tripped"),
    *("peak_e8", "is_hard_latched", "is_hard_tripped", "is_repeat_tripped"),
    *("verdicts", "unknown", "rehearsal_lots", "rehearsal_filled_lots", "rehearsal_notional_e8"),
    "dust_after_e8",
)
_FLOAT_FIELDS = ("u", "signal", "expected_reward", "width", "sigmoid", "propensity")

# The frozen layout of batch output: one row per decision. A test pins it.
DECISION_INTS = np.dtype([(name, np.int64) for name in _INT_FIELDS])
DECISION_FLOATS = np.dtype([(name, np.float64) for name in _FLOAT_FIELDS])

# Column numbers by name, as constants that kernels can read: INTS.status, FLOATS.width.
INTS: Any = namedtuple("IntColumns", _INT_FIELDS)(*range(len(_INT_FIELDS)))
FLOATS: Any = namedtuple("FloatColumns", _FLOAT_FIELDS)(*range(len(_FLOAT_FIELDS)))


@dataclass(frozen=True)
class DecisionInputs:
    """Everything a decision reads. `bids`, `asks` are (ticks, lots) rows of the arrival book, best first.

    `seen_bids`, `seen_asks` are the book as it stood when the decision was prepared, the base of slippage. `bids` and
    `asks` are what is left of the arrival book after what `ledger` says we have taken of it. `placing` is an order that
    is no market order; nothing but the gate of the kernel concerns it.
    """

    symbol: str
    snapshot: str | None
    view: ViewRecord
    arms: Array2d
    gates: IntArray1d
    desk: DeskRecord
    limits: LimitRecord
    terms: TermsRecord
    params: RouterParams
    arrival: ArrivalRecord
    bids: IntArray2d
    asks: IntArray2d
    seen_ts_ms: int
    seen_bids: IntArray2d
    seen_asks: IntArray2d
    arrival_ts_ms: int
    filters: Filters
    draw: Draw
    ledger: Consumption | None = None
    placing: Placing | None = None


@dataclass(frozen=True)
class Decision:
    """All outputs of one decision; `ints` and `floats` have the columns of DECISION_INTS and DECISION_FLOATS.

    `findings` holds (verdict, observed, limit, is_unknown) per guard, empty when no order was formed; `fills` holds
    (price_ticks, lots, fee_e8). `step` and `ledger` are what a placed order's arrival did; None for all others.
    """

    ints: Any
    floats: Any
    probabilities: tuple[float, ...]
    widths: tuple[float, ...]
    findings: tuple[tuple[int, ...], ...]
    fills: tuple[tuple[int, ...], ...]
    step: Step | None = None
    ledger: Consumption | None = None


class Workspace(NamedTuple):
    """Arrays that kernels write into, so that nothing is allocated per decision."""

    out_i: IntArray1d
    out_f: Array1d
    p: Array1d
    widths: Array1d
    sigmoids: Array1d
    costs: Array1d
    admissible: IntArray1d
    scores: Array1d
    scales: Array1d
    nodes: Array2d
    findings: IntArray2d
    fills: IntArray2d
    rehearsal_fills: IntArray2d


def workspace(n_arms: int = N_ARMS) -> Workspace:
    """Fresh arrays for `n_arms` learning arms and cash."""
    return Workspace(
        out_i=np.zeros(len(_INT_FIELDS), np.int64),
        out_f=np.zeros(len(_FLOAT_FIELDS)),
        p=np.zeros(n_arms + 1),
        widths=np.zeros(n_arms),
        sigmoids=np.zeros(n_arms),
        costs=np.zeros(n_arms),
        admissible=np.zeros(n_arms, np.int64),
        scores=np.zeros(n_arms),
        scales=np.zeros(n_arms),
        nodes=propensity_work(n_arms),
        findings=np.zeros((N_GUARDS, FINDING_WIDTH), np.int64),
        fills=np.zeros((MAX_FILLS, FILL_WIDTH), np.int64),
        rehearsal_fills=np.zeros((MAX_FILLS, FILL_WIDTH), np.int64),
    )
