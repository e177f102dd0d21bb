"""What would one policy have earned alone on one symbol? Next-open fills and fees, in one compiled pass.

A signal is made at a bar's close and filled at the next bar's open, so the last signal is never filled. A signal in
(0, 1] is the share of `unit` (or, all in, of equity) to hold; one below 0 holds nothing, for nobody lends here. An
order is sent when the wanted share changes; it never spends more cash than there is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numba import njit, types

from apps.engine.errors import DataError, InvalidInput
from apps.engine.policies.contract import UPDATE_SIGNATURE, Policy, validate_values
from apps.engine.values import Array1d, Bars, IntArray1d

Columns: TypeAlias = tuple[Array1d, Array1d, Array1d, Array1d, Array1d]
COLUMN_NAMES = ("open", "high", "low", "close", "volume")
BPS = 1e-4

# terms: fee as a fraction, cash at the start, unit (0 is all in)
FEE, CASH, UNIT = 0, 1, 2
# totals: what is left at the end
T_CASH, T_QUANTITY, T_FEES, T_DRAWDOWN, T_ORDERS, T_FAULT = 0, 1, 2, 3, 4, 5
TOTALS = 6
FAULT_BAR, FAULT_SIGNAL = 1.0, 2.0
NO_MARKET = "prices must be above 0, volume at least 0, and all finite"

_F8 = types.float64
_COLUMN = types.Array(_F8, 1, "C")
_INDEX = types.Array(types.int64, 1, "C")
_SIGNATURE = types.int64(types.FunctionType(UPDATE_SIGNATURE), *(_COLUMN,) * 9, _INDEX, *(_COLUMN,) * 4)


class Orders(NamedTuple):
    """Filled orders, oldest first: bar of the fill, signed quantity, price and fee in quote currency."""

    bar: IntArray1d
    quantity: Array1d
    price: Array1d
    fee: Array1d

    @property
    def n(self) -> int:
        return int(self.bar.shape[0])


@dataclass(frozen=True)
class SingleResult:
    """One policy's run. `equity` is cash plus position at each close; `max_drawdown` a fraction of its peak."""

    equity: Array1d
    orders: Orders
    cash: float
    quantity: float
    fees: float
    max_drawdown: float

    @property
    def end_equity(self) -> float:
        return float(self.equity[-1])


@njit(cache=True, error_model="numpy", nogil=True)
def trade_nb(share: float, unit: float, fee: float, cash: float, quantity: float, price: float) -> tuple[float, float]:
    """Quantity and fee of the order that brings the holding to `share`, of the unit or (unit 0) of equity.

    All in, the share holds of the equity that is left once the fee is paid.
    """
    wanted = share * unit
    if unit == 0.0 and share > 0.0:
        equity, held = cash + quantity * price, quantity * price
        cost = fee if share * equity > held else -fee
        wanted = share * (equity + cost * held) / (price * (1.0 + share * cost))
    order = wanted - quantity
    if order * price * (1.0 + fee) > cash:
        order = max(0.0, cash) / (price * (1.0 + fee))
    return order, abs(order) * price * fee


@njit(_SIGNATURE, cache=True, error_model="numpy", nogil=True)
def single_nb(
    update: Callable[..., float], params: Array1d, state: Array1d, open_: Array1d, high: Array1d, low: Array1d,
    close: Array1d, volume: Array1d, terms: Array1d, equity: Array1d, order_bar: IntArray1d, order_quantity: Array1d,
    order_price: Array1d, order_fee: Array1d, totals: Array1d,
) -> int:  # fmt: skip
    """The whole run. Answers -1, or the bar at which it stopped, with the fault in `totals`."""
    fee, unit, cash = terms[FEE], terms[UNIT], terms[CASH]
    quantity, fees, peak, drawdown = 0.0, 0.0, terms[CASH], 0.0
    held, wanted, n_orders = 0.0, 0.0, 0
    for t in range(close.shape[0]):
        if not (open_[t] > 0.0 and low[t] > 0.0 and close[t] > 0.0 and high[t] > 0.0 and volume[t] >= 0.0) or not (
            open_[t] + high[t] + low[t] + close[t] + volume[t] < math.inf
        ):
            totals[T_FAULT] = FAULT_BAR
            return t
        if wanted != held:
            held = wanted
            order, paid = trade_nb(held, unit, fee, cash, quantity, open_[t])
            if order != 0.0:
                order_bar[n_orders], order_quantity[n_orders] = t, order
                order_price[n_orders], order_fee[n_orders] = open_[t], paid
                n_orders += 1
                cash -= order * open_[t] + paid
                quantity += order
                fees += paid
        marked = cash + quantity * close[t]
        equity[t] = marked
        if marked > peak:
            peak = marked
        elif peak - marked > drawdown * peak:
            drawdown = (peak - marked) / peak
        signal = update(params, state, open_[t], high[t], low[t], close[t], volume[t])
        if not -1.0 <= signal <= 1.0:
            totals[T_FAULT] = FAULT_SIGNAL
            return t
        wanted = max(0.0, signal)
    totals[T_CASH], totals[T_QUANTITY], totals[T_FEES] = cash, quantity, fees
    totals[T_DRAWDOWN], totals[T_ORDERS] = drawdown, n_orders
    return -1


@njit(UPDATE_SIGNATURE, cache=True, error_model="numpy", nogil=True)
def recorded_nb(
    params: Array1d, state: Array1d, open_: float, high: float, low: float, close: float, volume: float
) -> float:
    """A policy that says what its state holds: state[0] is the next place, and the signals follow."""
    state[0] += 1.0
    return state[int(state[0])]


def single_run(
    policy: Policy,
    values: Mapping[str, object],
    data: Columns | Bars,
    *,
    fee_bps: float = 10.0,
    cash: float = 1_000_000.0,
    unit: float | None = None,
) -> SingleResult:
    """Run one policy from its first bar. `unit` is what a signal of 1 holds; None is all equity.

    Raises InvalidInput for values, terms or a signal outside [-1, 1], DataError for a bar that is no market's.
    """
    columns = single_columns(data)
    terms = single_terms(fee_bps=fee_bps, cash=cash, unit=unit)
    update, params, state = single_policy(policy, values, columns)
    n = columns[3].shape[0]
    equity, totals = np.empty(n), np.zeros(TOTALS)
    bar, quantity, price, fee = np.empty(n, np.int64), np.empty(n), np.empty(n), np.empty(n)
    fault = single_nb(update, params, state, *columns, terms, equity, bar, quantity, price, fee, totals)
    raise_fault(policy, fault, totals)
    sent = int(totals[T_ORDERS])
    # Copies, so that a result does not keep alive the room for an order on every bar.
    orders = Orders(bar[:sent].copy(), quantity[:sent].copy(), price[:sent].copy(), fee[:sent].copy())
    cash_left, quantity_left, fees, drawdown = (float(total) for total in totals[:T_ORDERS])
    return SingleResult(equity, orders, cash_left, quantity_left, fees, drawdown)


def single_columns(data: Columns | Bars) -> Columns:
    """Open, high, low, close, volume as contiguous floats of one length. Raises DataError when they are not."""
    raw = tuple(column * 1e-8 for column in data[1:6]) if isinstance(data, Bars) else data
    if len(raw) != len(COLUMN_NAMES):
        raise DataError(f"bars have the columns {', '.join(COLUMN_NAMES)}; {len(raw)} were given")
    open_, high, low, close, volume = (np.require(column, np.float64, ["C", "W"]) for column in raw)
    lengths = {column.shape for column in (open_, high, low, close, volume)}
    if lengths != {(close.size,)} or close.size == 0:
        raise DataError(f"columns must be of one length above 0, not {sorted(lengths)}")
    return open_, high, low, close, volume


def single_terms(*, fee_bps: float, cash: float, unit: float | None) -> Array1d:
    """The money side of a run as the kernels take it. Raises InvalidInput naming the term at fault."""
    if not 0.0 <= fee_bps < 10_000.0:
        raise InvalidInput(f"fee_bps must be from 0 to below 10000, not {fee_bps!r}", field="fee_bps")
    if not 0.0 < cash < math.inf:
        raise InvalidInput(f"cash must be above 0 and finite, not {cash!r}", field="cash")
    if unit is not None and not 0.0 < unit < math.inf:
        raise InvalidInput(f"unit must be above 0 and finite, or None for all in, not {unit!r}", field="unit")
    return np.array([fee_bps * BPS, cash, unit or 0.0])


def single_policy(
    policy: Policy, values: Mapping[str, object], columns: Columns
) -> tuple[Callable[..., float], Array1d, Array1d]:
    """The policy's update with its parameters and state. One that is plain Python is asked for every signal first."""
    params, state = policy.init(validate_values(policy, values))
    if hasattr(policy.update_nb, "py_func"):
        return policy.update_nb, params, state
    signals = [policy.update_nb(params, state, *bar) for bar in zip(*(c.tolist() for c in columns), strict=True)]
    return recorded_nb, params, np.array([0.0, *signals])


def raise_fault(policy: Policy, bar: int, totals: Array1d) -> None:
    """Raise what a kernel that stopped at this bar found. -1 is no fault."""
    if bar < 0:
        return
    if totals[T_FAULT] == FAULT_BAR:
        raise DataError(f"bar {bar}: {NO_MARKET}")
    raise InvalidInput(f"{policy.policy_id}: the signal of bar {bar} is not a number from -1 to 1", field="policy")


def require_market(columns: Columns) -> None:
    """Raise DataError at the first bar that `single_nb` would refuse."""
    *prices, volume = columns
    is_market = (volume >= 0.0) & (volume < math.inf)
    for price in prices:
        is_market &= (price > 0.0) & (price < math.inf)
    if not is_market.all():
        raise DataError(f"bar {int(np.argmin(is_market))}: {NO_MARKET}")
