"""How well did a span do, and how sure is that? Figures of returns at decision frequency, with standard errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from apps.engine.metrics import max_drawdown, mean_and_deviation
from apps.engine.significance import sharpe_moments
from apps.engine.values import Array1d


def period_returns(equity: Array1d, first: int, end: int, horizon: int) -> Array1d:
    """Returns of whole periods of `horizon` bars inside first <= bar < end; the bar before `first` is their base."""
    base = max(first - 1, 0)
    marks = equity[np.arange(base, end, horizon)]
    return np.asarray(marks[1:] / marks[:-1] - 1.0)


def period_figures(returns: Array1d, *, periods_per_year: float) -> dict[str, Any]:
    """JSON values. The error of the Sharpe ratio is Mertens', on periods thinned by their first autocorrelation."""
    n = int(returns.shape[0])
    moments = sharpe_moments(returns)
    root = math.sqrt(periods_per_year)
    mean, deviation = mean_and_deviation(returns) if n > 1 else (0.0, 0.0)
    figures: dict[str, Any] = {
        "periods": n,
        "total_return": float(np.prod(1.0 + returns) - 1.0),
        "mean_bps": 1e4 * mean,
        "mean_bps_se": 1e4 * deviation / math.sqrt(n) if n > 1 else None,
        "max_drawdown": max_drawdown(returns).value,
        "sharpe": None,
        "sharpe_se": None,
        "sharpe_period": None,
        "reason": moments.reason,
    }
    if moments.reason:
        return figures
    ratio = moments.sharpe
    spread = 1.0 - moments.skewness * ratio + (moments.kurtosis - 1.0) / 4.0 * ratio * ratio
    figures |= {"sharpe": ratio * root, "sharpe_period": ratio}
    if spread > 0.0 and moments.n > 1.0:
        figures["sharpe_se"] = root * math.sqrt(spread / (moments.n - 1.0))
    return figures
