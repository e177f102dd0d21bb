"""How did a run go, in figures? Each is a number, or null with the reason why there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from apps.engine.metrics import Statistic, performance
from apps.engine.reasons import Reason, Status
from apps.engine.values import Array1d, IntArray1d
from apps.research.backtests.outcome import NO_STEP, Market, held_lots, quote_of
from apps.research.backtests.request import Ruleset
from apps.research.backtests.simulation import Simulated

# The figures of a curve alone; those of trades and positions are counted from fills below.
CURVE = (
    *("total_return", "cagr", "volatility", "sharpe", "sortino", "max_drawdown", "calmar"),
    *("var_95", "cvar_95", "cvar_90"),
)


def curve_figures(cash_e8: int, curve_e8: IntArray1d, bars_per_year: int) -> dict[str, Statistic]:
    """Statistics of a curve; the cash it started with comes before its first bar."""
    whole = np.concatenate([np.array([cash_e8], np.int64), curve_e8])
    found = performance(quote_of(whole), bars_per_year=float(bars_per_year))
    return {name: found[name] for name in CURVE if name in found}


def desk_figures(
    run: Simulated, columns: Mapping[str, Any], market: Market, rules: Ruleset, cash_e8: int
) -> dict[str, Statistic]:
    """Statistics of the account: its curve, its trades, what it held, and what trading cost it."""
    n, per_year = run.equity_e8.shape[0], rules.terms.bars_per_year
    lots = held_lots(dict(columns), n)
    exposure = np.abs(quote_of(lots * market.close_ticks * rules.terms.unit_e8)) / quote_of(run.equity_e8)
    costs = sum(columns[f"fill_{name}_e8"].sum() for name in ("fee", "half_spread", "impact"))
    gross = int(run.equity_e8[-1]) - cash_e8 + int(costs)
    return {
        **curve_figures(cash_e8, run.equity_e8, per_year),
        **_trade_figures(columns),
        "turnover": _turnover(run, columns, n / per_year),
        "time_in_market": Statistic(float(np.mean(lots != 0)), ""),
        "mean_exposure": _finite(float(np.mean(exposure)), "equity fell to zero"),
        "cost_share": Statistic(int(costs) / gross, "") if gross > 0 else Statistic(None, "no gross profit"),
    }


def _finite(value: float, reason: str) -> Statistic:
    return Statistic(value, "") if np.isfinite(value) else Statistic(None, reason)


def _trade_figures(columns: Mapping[str, Any]) -> dict[str, Statistic]:
    closed = columns["trade_exit_step"] != NO_STEP
    profit = columns["trade_profit_e8"][closed]
    names = ("hit_rate", "profit_factor", "mean_trade_bps", "mean_trade_bars")
    if profit.shape[0] == 0:
        return {name: Statistic(None, "no closed trade") for name in names}
    won, lost = int(profit[profit > 0].sum()), -int(profit[profit < 0].sum())
    per_trade = 1e4 * profit / columns["trade_entry_e8"][closed]
    bars = columns["trade_exit_step"][closed] - columns["trade_entry_step"][closed]
    return {
        "hit_rate": Statistic(float(np.mean(profit > 0)), ""),
        "profit_factor": Statistic(won / lost, "") if lost else Statistic(None, "no losing trade"),
        "mean_trade_bps": Statistic(float(np.mean(per_trade)), ""),
        "mean_trade_bars": Statistic(float(np.mean(bars)), ""),
    }


def _turnover(run: Simulated, columns: Mapping[str, Any], years: float) -> Statistic:
    """Half the sum of |change of weight|, per year."""
    filled = run.decisions["filled_lots"] > 0
    weights: Array1d = columns["fill_notional_e8"] / run.decisions["equity_before_e8"][filled]
    return _finite(float(weights.sum()) / 2.0 / years, "equity fell to zero")


def counts(run: Simulated, columns: Mapping[str, Any]) -> dict[str, Any]:
    """How many decisions there were, how they ended, and why orders were not sent or not filled."""
    rows = run.decisions
    by_status = Counter(Status(code).name.lower() for code in rows["status"].tolist())
    by_reason = Counter(Reason(code).code for code in rows["reason"].tolist() if code)
    return {
        "decisions": int(rows.shape[0]),
        "by_status": dict(sorted(by_status.items())),
        "by_reason": dict(sorted(by_reason.items())),
        "fills": int(columns["fill_step"].shape[0]),
        "trades": int((columns["trade_exit_step"] != NO_STEP).sum()),
        "is_open_at_end": bool((columns["trade_exit_step"] == NO_STEP).any()),
        "breaker_trips": int(rows["is_tripped"].sum()),
        "hard_latches": int(rows["is_hard_tripped"].sum()),
        "hard_latched_ms": [int(ms) for ms in rows["ts_ms"][rows["is_hard_tripped"] == 1]],
        "day_latches": int(rows["is_day_tripped"].sum()),
    }


def cost_figures(columns: Mapping[str, Any]) -> dict[str, int]:
    """What trading cost, in counts of 1e-8 quote."""
    return {f"{name}_e8": int(columns[f"fill_{name}_e8"].sum()) for name in ("fee", "half_spread", "impact")}


def rehearsal_figures(run: Simulated) -> dict[str, int]:
    """What a live venue would have been given at the rung of the ladder."""
    rows = run.decisions
    return {
        "orders": int((rows["rehearsal_lots"] > 0).sum()),
        "fills": int((rows["rehearsal_filled_lots"] > 0).sum()),
        "notional_e8": int(rows["rehearsal_notional_e8"].sum()),
    }


def told(figures: Mapping[str, Statistic]) -> dict[str, dict[str, Any]]:
    """Figures as JSON values."""
    return {name: {"value": one.value, "reason": one.reason} for name, one in figures.items()}
