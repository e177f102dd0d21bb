"""How good was a curve of equity? Statistics of its bars, each null with a reason where it is not defined."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from apps.engine.errors import InvalidInput
from apps.engine.values import Array1d

TAIL = 0.05


class Statistic(NamedTuple):
    """A figure, or None and why there is none."""

    value: float | None
    reason: str


def performance(equity: Array1d, *, bars_per_year: float) -> dict[str, Statistic]:
    """Figures of the net returns of each bar; the first value is what the account started with."""
    if not bool(np.isfinite(equity).all()):
        raise InvalidInput("equity must be finite", field="equity")
    if equity.shape[0] < 3:
        return {name: Statistic(None, "fewer than two returns") for name in ("sharpe", "max_drawdown", "cagr")}
    if bool((equity <= 0.0).any()):
        return {name: Statistic(None, "equity fell to zero") for name in ("sharpe", "max_drawdown", "cagr")}
    returns = equity[1:] / equity[:-1] - 1.0
    deviation = float(np.std(returns, ddof=1))
    annual = math.sqrt(bars_per_year)
    mean = float(np.mean(returns))
    down = math.sqrt(float(np.mean(np.minimum(returns, 0.0) ** 2)))
    drawdown = float((equity / np.maximum.accumulate(equity) - 1.0).min())
    growth = math.log(float(equity[-1] / equity[0])) * bars_per_year / returns.shape[0]
    cagr = math.expm1(growth) if growth < 700.0 else None
    return {
        "total_return": Statistic(float(equity[-1] / equity[0] - 1.0), ""),
        "cagr": Statistic(cagr, "" if cagr is not None else "out of range"),
        "volatility": Statistic(deviation * annual, ""),
        "sharpe": _ratio(mean * annual, deviation, "no variance"),
        "sortino": _ratio(mean * annual, down, "no loss"),
        "max_drawdown": Statistic(drawdown, ""),
        "calmar": _ratio(cagr, -drawdown, "no drawdown"),
    }


def _ratio(above: float | None, below: float, reason: str) -> Statistic:
    if above is None or not below > 0.0:
        return Statistic(None, reason)
    return Statistic(above / below, "")
