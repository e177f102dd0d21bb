"""What did a round trip earn? From flat to flat, over all its fills, fees included; protections judge by it.

A trip is an int64 row: its cash flow so far, the notional that opened it, and when the last trip closed (0: never).
"""

from __future__ import annotations

from numba import njit

from apps.engine.values import IntArray1d

TRIP_CASH, TRIP_ENTRY, TRIP_EXIT_MS = 0, 1, 2
N_TRIP = 3
OPEN = -(2**62)  # the profit of a trip that has not closed


@njit(cache=True, error_model="numpy", nogil=True)
def trip_profit_bps_nb(cash_e8: int, entry_e8: int) -> int:
    """Cash flow over entry notional in bps, rounded down, ordered so that int64 cannot wrap."""
    return cash_e8 // max(1, entry_e8 // 10_000)


@njit(cache=True, error_model="numpy", nogil=True)
def trip_nb(trip: IntArray1d, before_lots: int, after_lots: int, flow_e8: int, notional_e8: int, ts_ms: int) -> int:
    """Carry a fill into the trip; the profit in bps when it closes one, OPEN otherwise.

    `flow_e8` is the change of cash, fee included. A fill that crosses zero closes with its share and opens with the
    rest; the share is by lots, rounded down. What a fee in base has left of a single lot is no trip.
    """
    if before_lots == 0 and after_lots == 0:
        return OPEN
    if before_lots * after_lots > 0 or before_lots == 0:
        trip[TRIP_CASH] += flow_e8
        if abs(after_lots) > abs(before_lots):
            trip[TRIP_ENTRY] += notional_e8
        return OPEN
    share = abs(before_lots) / (abs(before_lots) + abs(after_lots))
    flow = flow_e8 if after_lots == 0 else int(flow_e8 * share)
    profit = trip_profit_bps_nb(trip[TRIP_CASH] + flow, trip[TRIP_ENTRY])
    trip[TRIP_CASH] = flow_e8 - flow
    trip[TRIP_ENTRY] = 0 if after_lots == 0 else notional_e8 - int(notional_e8 * share)
    trip[TRIP_EXIT_MS] = ts_ms
    return profit
