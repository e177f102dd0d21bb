"""How a paper market order fills: down the displayed book, or at the next bar's open. One model for all shells.

Rules and their numbers: docs/fills.md. A fill row is (price_ticks, lots, fee_e8).
"""

from __future__ import annotations

import math

from numba import njit

from apps.engine.portfolio import fee_nb
from apps.engine.values import IntArray2d

FILL_WIDTH = 3
MAX_FILLS = 64
HALF_SPREAD = 0.0002
IMPACT = 0.1
PARTICIPATION_DIVISOR = 10


@njit(cache=True, error_model="numpy", nogil=True)
def fill_depth_nb(levels: IntArray2d, lots: int, unit_e8: int, fee_bps: int, fills: IntArray2d) -> int:
    """Walk `levels` (price_ticks, lots; best first), one fill per level; returns the number of fills.

    What exceeds the displayed depth is not filled: the remainder is never priced at the last level.
    """
    n_fills, open_lots = 0, lots
    for row in range(levels.shape[0]):
        if open_lots == 0 or n_fills == fills.shape[0]:
            break
        taken = min(open_lots, levels[row, 1])
        if taken <= 0 or levels[row, 0] <= 0:
            continue
        fills[n_fills, 0] = levels[row, 0]
        fills[n_fills, 1] = taken
        fills[n_fills, 2] = fee_nb(taken * levels[row, 0] * unit_e8, fee_bps)
        n_fills += 1
        open_lots -= taken
    return n_fills


@njit(cache=True, error_model="numpy", nogil=True)
def impact_rate_nb(sigma_bar: float, notional_e8: int, adv_quote: float) -> float:
    """Slippage beyond the half-spread as a fraction: k * sigma * sqrt(notional / ADV of one bar); k = 0.1."""
    if not (adv_quote > 0.0) or not (sigma_bar >= 0.0):
        return math.inf
    return IMPACT * sigma_bar * math.sqrt(notional_e8 * 1e-8 / adv_quote)


@njit(cache=True, error_model="numpy", nogil=True)
def fill_bar_next_nb(
    side: int,
    lots: int,
    open_ticks: int,
    volume_lots: int,
    sigma_bar: float,
    adv_quote: float,
    unit_e8: int,
    fee_bps: int,
    slippage_scale: int,
    fills: IntArray2d,
) -> int:
    """One fill at the next bar's open plus half-spread and impact, rounded against us; at most 10 % of its volume.

    Returns the number of fills (0 or 1). `open_ticks` <= 0 means that the next bar never came. `slippage_scale` is 0,
    1 or 2 for the optimistic, base and pessimistic settings. A rate that is not below one half, or cannot be formed,
    fills nothing; no price is below one tick.
    """
    taken = min(lots, volume_lots // PARTICIPATION_DIVISOR)
    if taken <= 0 or open_ticks <= 0:
        return 0
    rate = 0.0
    if slippage_scale > 0:
        impact = impact_rate_nb(sigma_bar, taken * open_ticks * unit_e8, adv_quote)
        rate = slippage_scale * (HALF_SPREAD + impact)
    if not rate < 0.5:
        return 0
    price = open_ticks * (1.0 + side * rate)
    ticks = int(math.ceil(price)) if side > 0 else max(1, int(math.floor(price)))
    fills[0, 0] = ticks
    fills[0, 1] = taken
    fills[0, 2] = fee_nb(taken * ticks * unit_e8, fee_bps)
    return 1
