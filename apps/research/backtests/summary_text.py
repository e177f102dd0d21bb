"""A backtest on a terminal: the figures to read first, in lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FIGURES = ("total_return", "sharpe", "max_drawdown", "hit_rate", "turnover", "cost_share")


def summary_lines(told: Mapping[str, Any]) -> list[str]:
    """Label and value, one a line."""
    figures, counts = told["figures"], told["figures"]["counts"]
    costs = figures["costs"]
    lines = [
        ("run", told["run_id"]),
        ("bars", f"{told['data']['bars']:,} of {told['symbol']} {told['interval']}, {told['from']} to {told['to']}"),
        ("left out", f"{told['data']['missing']:,} bars in {len(told['data']['holes'])} gaps"),
        ("policy", f"{told['policy']}, fills {told['fills']}"),
        ("equity", f"{told['cash']} to {told['equity']}; buy and hold {figures['hold_equity']}"),
        ("decisions", f"{counts['decisions']:,}, {counts['fills']:,} fills, {counts['trades']:,} closed trades"),
        ("costs", f"fees {costs['fee']}, half-spread {costs['half_spread']}, impact {costs['impact']}"),
        *((name.replace("_", " "), _number(figures["desk"][name])) for name in FIGURES if name in figures["desk"]),
        *((f"fills {name}", f"equity {side['equity']}") for name, side in figures["fill_settings"].items()),
        ("inputs", told["inputs_hash"]),
        ("result", told["result_hash"]),
    ]
    return [f"{label:13} {value}" for label, value in lines]


def _number(figure: Mapping[str, Any]) -> str:
    return f"none: {figure['reason']}" if figure["value"] is None else f"{figure['value']:.4f}"
