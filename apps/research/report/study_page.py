"""The page of a walk-forward study: the table of folds, the joined curve, and what the figures rest on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.dashboard.detail import Cell, Table
from apps.dashboard.formats import date_time, number, pretty_json
from apps.marketdata.exchange.intervals import interval_ms
from apps.research.report.charts import line_chart
from apps.research.report.standalone import standalone_page
from apps.research.validation.studies import joined_curves
from apps.research.validation.study_text import chosen_text, summary_rows, with_error
from apps.research.validation.trial_market import ORIGIN
from apps.research.validation.walkforward import Outcome


def study_page(told: Mapping[str, Any], found: Outcome) -> str:
    """The whole page as text: one file without any address outside itself."""
    data = told["data"]
    context = {
        "study": told,
        "title": f"{told['policy']} on {data['symbol']} {data['interval']}",
        "window": f"{date_time(data['first_ms'])[:16]} to {date_time(data['end_ms'])[:16]} UTC",
        "is_simulated": data["origin"] == ORIGIN,
        "verdict": Cell(_verdict(told["summary"])),
        "folds": _folds(told),
        "summary": Table(["Figure", "Value>"], [list(row) for row in summary_rows(told["summary"])]),
        "chart": _chart(told, found),
        "parameters": pretty_json(told["parameters"]),
    }
    return standalone_page("research/walkforward.html", context, has_script=False)


def _verdict(summary: Mapping[str, Any]) -> str:
    dsr = summary["dsr"]
    if dsr["value"] is None:
        return f"No deflated Sharpe ratio: {dsr['reason']}."
    return (
        f"Deflated Sharpe ratio {dsr['value']:.1%}, against the best of {summary['family_trials']:,} worthless tries."
    )


def _folds(told: Mapping[str, Any]) -> Table:
    headings = ["Fold>", "Test from", "Sharpe in sample>", "Sharpe out of sample>", "Return>", "Drawdown>", "Chosen"]
    length = interval_ms(told["data"]["interval"])
    rows = []
    for fold in told["folds"]:
        outside = fold["out_of_sample"]
        opened = told["data"]["first_ms"] + fold["rows"]["test_first"] * length
        fall = outside["max_drawdown"]
        rows.append(
            [
                str(fold["fold"]), date_time(opened)[:10], with_error(fold["in_sample"]), with_error(outside),
                f"{outside['total_return']:+.2%}", "none" if fall is None else f"{fall:.2%}",
                chosen_text(fold["chosen"]),
            ]
        )  # fmt: skip
    return Table(headings, rows)


def _chart(told: Mapping[str, Any], found: Outcome) -> Any:
    data, curves = told["data"], joined_curves(found)
    lines = [("Chosen", "desk", curves["chosen"]), ("Buy and hold", "hold", curves["hold"])]
    text = "What 1 became over the test spans, one after the other and without their embargoes, after costs."
    opened = data["first_ms"] + told["folds"][0]["rows"]["test_first"] * interval_ms(data["interval"])
    return line_chart("joined", "Out of sample", text, lines, _worth, (opened, data["end_ms"]))


def _worth(value: float) -> str:
    return number(value, 3)
