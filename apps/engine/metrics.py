"""How well did an equity curve do? Figures per return on a net equity curve; undefined ones are null with a reason.

Sums are `math.fsum`: correctly rounded, so a figure is the same bits on every machine and in any order of returns.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from apps.engine.errors import InvalidInput
from apps.engine.values import Array1d

# A deviation of returns below this is the rounding of the ratios they came from, not risk.
ROUNDING = 4.0 * 2.0**-52
RELATIVE_ROUNDING = 1e-12
# Beyond this factor a year, growth is an extrapolation from too few bars rather than a figure.
GROWTH_CEILING = 1e9


class Statistic(NamedTuple):
    """A figure, or None and the reason why there is none."""

    value: float | None
    reason: str = ""


def performance(
    equity: Array1d,
    *,
    bars_per_year: float,
    weights: Array1d | None = None,
    gross_pnl: float | None = None,
    costs: float | None = None,
) -> dict[str, Statistic]:
    """All figures of an equity curve whose first value is the equity before the first return.

    `weights` are the positions held over each return (share of equity, one per return); `gross_pnl` is the profit
    before `costs`, both in currency. Figures of what is not given are null. Returns are fractions, losses negative.
    """
    _require_rate(bars_per_year)
    curve = finite_array(equity, "equity")
    if curve.shape[0] == 0 or curve[0] <= 0.0:
        raise InvalidInput("equity must start above 0", field="equity")
    returns, reason = _returns(curve)
    growth = float(curve[-1]) / float(curve[0])
    figures = {
        "bars": Statistic(float(curve.shape[0] - 1)),
        "bars_per_year": Statistic(float(bars_per_year)),
        "total_return": Statistic(growth - 1.0),
        "cagr": _cagr(growth, curve.shape[0] - 1, bars_per_year),
        "max_drawdown": _drawdown(curve),
    }
    figures["calmar"] = _calmar(figures["cagr"], figures["max_drawdown"])
    figures |= {name: Statistic(None, reason) for name in RETURN_FIGURES} if reason else _risk(returns, bars_per_year)
    figures |= _positions(weights, returns.shape[0], bars_per_year)
    figures["cost_share"] = cost_share(gross_pnl, costs)
    return figures


RETURN_FIGURES = ("volatility", "sharpe", "sortino", "var_95", "cvar_95", "cvar_90", "hit_rate")


def sharpe(returns: Array1d, *, bars_per_year: float) -> Statistic:
    """mean / sd (n - 1) * sqrt(bars a year)."""
    return _ratios(returns, bars_per_year)["sharpe"]


def volatility(returns: Array1d, *, bars_per_year: float) -> Statistic:
    """Standard deviation (n - 1) a year."""
    return _ratios(returns, bars_per_year)["volatility"]


def sortino(returns: Array1d, *, bars_per_year: float) -> Statistic:
    """mean / sqrt(mean of min(r, 0)^2 over all returns) * sqrt(bars a year)."""
    return _ratios(returns, bars_per_year)["sortino"]


def max_drawdown(returns: Array1d) -> Statistic:
    """min(equity / peak - 1) of the curve that these returns make from 1; the start counts as a peak."""
    r = finite_array(returns, "returns")
    return _drawdown(np.concatenate((np.ones(1), np.cumprod(1.0 + r))))


def cagr(returns: Array1d, *, bars_per_year: float) -> Statistic:
    """Growth a year, compounded."""
    _require_rate(bars_per_year)
    r = finite_array(returns, "returns")
    return _cagr(math.prod((1.0 + r).tolist()), r.shape[0], bars_per_year)


def calmar(returns: Array1d, *, bars_per_year: float) -> Statistic:
    """CAGR / |max drawdown|."""
    return _calmar(cagr(returns, bars_per_year=bars_per_year), max_drawdown(returns))


def value_at_risk(returns: Array1d, *, tail: float) -> Statistic:
    """The ceil(tail n)-th worst return."""
    return _tail_edge(np.sort(finite_array(returns, "returns")), tail)


def conditional_value_at_risk(returns: Array1d, *, tail: float) -> Statistic:
    """Mean of the worst `tail` share of returns, a return at its edge counted in part (Rockafellar-Uryasev)."""
    return _tail_mean(np.sort(finite_array(returns, "returns")), tail)


def hit_rate(returns: Array1d) -> Statistic:
    """Share of gains among what was not zero (bars out of the market are neither)."""
    r = finite_array(returns, "returns")
    moved = int(np.count_nonzero(r))
    if moved == 0:
        return Statistic(None, "no gain and no loss")
    return Statistic(int(np.count_nonzero(r > 0.0)) / moved)


def turnover(weights: Array1d, *, bars_per_year: float) -> Statistic:
    """sum |dw| / 2 a year, the entry from no position included."""
    _require_rate(bars_per_year)
    w = finite_array(weights, "weights")
    if w.shape[0] == 0:
        return Statistic(None, "no bars")
    return Statistic(_sum(np.abs(np.diff(w, prepend=0.0))) / 2.0 * bars_per_year / w.shape[0])


def exposure(weights: Array1d) -> Statistic:
    """Mean |weight| over the bars."""
    w = finite_array(weights, "weights")
    return Statistic(_mean(np.abs(w))) if w.shape[0] else Statistic(None, "no bars")


def time_in_market(weights: Array1d) -> Statistic:
    """Share of bars with a position."""
    w = finite_array(weights, "weights")
    return Statistic(int(np.count_nonzero(w)) / w.shape[0]) if w.shape[0] else Statistic(None, "no bars")


def cost_share(gross_pnl: float | None, costs: float | None) -> Statistic:
    """Costs as a share of the profit before costs."""
    if gross_pnl is None or costs is None:
        return Statistic(None, "profit before costs or costs not given")
    if not (math.isfinite(gross_pnl) and math.isfinite(costs)):
        raise InvalidInput("profit and costs must be finite", field="costs")
    if gross_pnl <= 0.0:
        return Statistic(None, "no profit before costs")
    return Statistic(costs / gross_pnl)


def mean_and_deviation(values: Array1d) -> tuple[float, float]:
    """Mean and standard deviation (n - 1) of at least two values."""
    mean = _mean(values)
    off = values - mean
    return mean, math.sqrt(_sum(off * off) / (values.shape[0] - 1))


def _risk(returns: Array1d, bars_per_year: float) -> dict[str, Statistic]:
    worst_first = np.sort(returns)
    return {
        **_ratios(returns, bars_per_year),
        "var_95": _tail_edge(worst_first, 0.05),
        "cvar_95": _tail_mean(worst_first, 0.05),
        "cvar_90": _tail_mean(worst_first, 0.10),
        "hit_rate": hit_rate(returns),
    }


def _ratios(returns: Array1d, bars_per_year: float) -> dict[str, Statistic]:
    _require_rate(bars_per_year)
    r = finite_array(returns, "returns")
    if r.shape[0] < 2:
        return dict.fromkeys(("volatility", "sharpe", "sortino"), Statistic(None, "fewer than 2 returns"))
    root, largest = math.sqrt(bars_per_year), float(np.max(np.abs(r)))
    mean, deviation = mean_and_deviation(r)
    losses = np.minimum(r, 0.0)
    downside = math.sqrt(_sum(losses * losses) / r.shape[0])
    found = {"volatility": Statistic(deviation * root)}
    found["sharpe"] = Statistic(None, "returns do not vary")
    if not is_rounding(deviation, largest):
        found["sharpe"] = Statistic(mean / deviation * root)
    found["sortino"] = Statistic(None, "no return below 0")
    if not is_rounding(downside, largest):
        found["sortino"] = Statistic(mean / downside * root)
    return found


def _tail_edge(worst_first: Array1d, tail: float) -> Statistic:
    _require_tail(tail)
    n = worst_first.shape[0]
    if n == 0:
        return Statistic(None, "no returns")
    # 0.07 * 100 is a little above 7: what is whole but for rounding counts as whole.
    return Statistic(float(worst_first[max(math.ceil(tail * n - 1e-9), 1) - 1]))


def _tail_mean(worst_first: Array1d, tail: float) -> Statistic:
    _require_tail(tail)
    n = worst_first.shape[0]
    if n == 0:
        return Statistic(None, "no returns")
    size = tail * n
    whole = math.floor(size + 1e-9)
    parts = worst_first[:whole].tolist()
    if whole < n:
        parts.append(max(size - whole, 0.0) * float(worst_first[whole]))
    return Statistic(math.fsum(parts) / size)


def _positions(weights: Array1d | None, bars: int, bars_per_year: float) -> dict[str, Statistic]:
    if weights is None:
        return dict.fromkeys(("exposure", "time_in_market", "turnover"), Statistic(None, "weights not given"))
    if len(weights) != bars:
        raise InvalidInput(f"{bars} returns need as many weights, not {len(weights)}", field="weights")
    return {
        "exposure": exposure(weights),
        "time_in_market": time_in_market(weights),
        "turnover": turnover(weights, bars_per_year=bars_per_year),
    }


def _returns(curve: Array1d) -> tuple[Array1d, str]:
    """Simple returns, or why there are none: nothing can be earned on an equity of 0 or less."""
    ruined = np.flatnonzero(curve[:-1] <= 0.0)
    if ruined.shape[0]:
        return np.zeros(curve.shape[0] - 1), f"equity is not above 0 at bar {int(ruined[0])}"
    return curve[1:] / curve[:-1] - 1.0, ""


def _drawdown(curve: Array1d) -> Statistic:
    if curve.shape[0] < 2:
        return Statistic(None, "no returns")
    # abs: a curve that never falls has a drawdown of 0, not of -0.
    return Statistic(-abs(float(np.min(curve / np.maximum.accumulate(curve) - 1.0))) + 0.0)


def _cagr(growth: float, bars: int, bars_per_year: float) -> Statistic:
    if bars == 0:
        return Statistic(None, "no returns")
    if growth < 0.0:
        return Statistic(None, "equity ended below 0")
    if growth == 0.0:
        return Statistic(-1.0)
    yearly = math.log(growth) * (bars_per_year / bars)
    if yearly > math.log(GROWTH_CEILING):
        return Statistic(None, f"{bars} bars are too few to extrapolate this growth to a year")
    return Statistic(math.pow(growth, bars_per_year / bars) - 1.0)


def _calmar(growth: Statistic, drawdown: Statistic) -> Statistic:
    if growth.value is None:
        return growth
    if not drawdown.value:
        return Statistic(None, drawdown.reason or "no drawdown")
    return Statistic(growth.value / abs(drawdown.value))


def is_rounding(deviation: float, largest: float) -> bool:
    """Whether a deviation is no more than the rounding of returns, the largest of which is given."""
    return deviation <= max(ROUNDING, RELATIVE_ROUNDING * largest)


def finite_array(values: Array1d, field: str) -> Array1d:
    """One dimension of finite floats. Raises InvalidInput naming the first that is not."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise InvalidInput(f"{field} must have one dimension, not {array.ndim}", field=field)
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.shape[0]:
        raise InvalidInput(f"{field} holds {array[bad[0]]} at {int(bad[0])}", field=field)
    return array


def _require_rate(bars_per_year: float) -> None:
    if not (math.isfinite(bars_per_year) and bars_per_year > 0.0):
        raise InvalidInput(f"bars_per_year must be finite and above 0, not {bars_per_year}", field="bars_per_year")


def _require_tail(tail: float) -> None:
    if not 0.0 < tail < 1.0:
        raise InvalidInput(f"tail must lie between 0 and 1, not {tail}", field="tail")


def _sum(values: Array1d) -> float:
    return math.fsum(values.tolist())


def _mean(values: Array1d) -> float:
    return _sum(values) / values.shape[0]
