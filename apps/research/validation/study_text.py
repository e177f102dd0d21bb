"""A walk-forward study on a terminal: one line a fold, and what all of them say together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DESK_CHOICE = "as it had learned"


def study_lines(told: Mapping[str, Any]) -> list[str]:
    """The table and the verdict."""
    data, summary, asked = told["data"], told["summary"], told["parameters"]
    costs = "the desk's own costs" if asked["desk"] else f"costs {asked['cost_bps']:g} bps a fill"
    lines = [
        f"study {told['study_id']}: {told['policy']} on {data['bars']:,} bars of {data['symbol']} {data['interval']}",
        f"purge {asked['horizon']} bars, embargo {asked['embargo']} bars, {costs}",
        "",
        f"{'fold':>4}  {'Sharpe in sample':>20}  {'out of sample':>20}  {'return':>8}  chosen",
    ]
    for fold in told["folds"]:
        inside, outside = fold["in_sample"], fold["out_of_sample"]
        lines.append(
            f"{fold['fold']:>4}  {with_error(inside):>20}  {with_error(outside):>20}  "
            f"{outside['total_return']:>+8.2%}  {chosen_text(fold['chosen'])}"
        )
    return [
        *lines,
        "",
        *(f"{label:32} {text}" for label, text in summary_rows(summary)),
        f"{'result':32} {told['result_hash']}",
    ]


def summary_rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Label and value of what the folds say together."""
    chosen = summary["out_of_sample"]
    return [
        ("Sharpe out of sample, joined", with_error(chosen)),
        ("return a period, bps", _bps(chosen)),
        ("defaults on the same spans", with_error(summary["default_out_of_sample"])),
        ("buy and hold on the same spans", with_error(summary["hold_out_of_sample"])),
        ("mean Sharpe in, out of sample", f"{number(summary['in_sample_sharpe'])}, "
                                          f"{number(summary['out_of_sample_sharpe'])}"),
        ("return out of sample", f"{chosen['total_return']:+.2%}"),
        ("deepest drawdown out of sample", "none" if chosen["max_drawdown"] is None
                                           else f"{chosen['max_drawdown']:.2%}"),
        ("evaluations here, ever", f"{summary['trials']:,}, {summary['family_trials']:,}"),
        ("best of so many worthless ones", number(summary["expected_best_sharpe"])),
        ("P(true Sharpe > 0)", statistic(summary["psr"])),
        ("P(true Sharpe > that best)", statistic(summary["dsr"])),
    ]  # fmt: skip


def with_error(figures: Mapping[str, Any]) -> str:
    """Annual Sharpe ratio and its standard error, or why there is none."""
    if figures["sharpe"] is None:
        return str(figures["reason"])
    error = figures["sharpe_se"]
    return f"{figures['sharpe']:.2f}" + ("" if error is None else f" ± {error:.2f}")


def chosen_text(values: Mapping[str, float]) -> str:
    """`fast 12, slow 60`."""
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items()) or DESK_CHOICE


def number(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"


def statistic(found: Mapping[str, Any]) -> str:
    return f"none: {found['reason']}" if found["value"] is None else f"{found['value']:.3f}"


def _bps(figures: Mapping[str, Any]) -> str:
    error = figures["mean_bps_se"]
    return f"{figures['mean_bps']:.3f}" + ("" if error is None else f" ± {error:.3f}")
