"""The figures of a backtest as rows of text: what each is called, how it reads, and why it is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from apps.dashboard.detail import Cell, Table
from apps.dashboard.formats import MISSING, decimal_e8, number, percent, tone
from apps.engine.reasons import REASON_TEXT, Reason
from apps.research.selectors import Backtest

Show = Callable[[float], str]
COSTS = (("fee", "Fees"), ("half_spread", "Half-spread"), ("impact", "Impact"))


def signed_percent(value: float) -> str:
    return percent(value, signed=True)


def fine_percent(value: float) -> str:
    return percent(value, 4)


def share(value: float) -> str:
    return percent(value, 1)


LABELS: Mapping[str, tuple[str, Show]] = {
    "total_return": ("Return", signed_percent),
    "cagr": ("Return per year (CAGR)", signed_percent),
    "volatility": ("Volatility per year", percent),
    "sharpe": ("Sharpe ratio", number),
    "sortino": ("Sortino ratio", number),
    "max_drawdown": ("Maximum drawdown", percent),
    "calmar": ("Calmar ratio", number),
    "var_95": ("Value at risk of a bar, worst 5 %", fine_percent),
    "cvar_95": ("Expected shortfall of a bar, worst 5 %", fine_percent),
    "cvar_90": ("Expected shortfall of a bar, worst 10 %", fine_percent),
    "hit_rate": ("Trades that won", share),
    "profit_factor": ("Profit factor", number),
    "mean_trade_bps": ("Mean trade, bps of its entry", number),
    "mean_trade_bars": ("Mean trade, bars", number),
    "turnover": ("Turnover, times equity per year", number),
    "time_in_market": ("Bars with a position", share),
    "mean_exposure": ("Mean exposure, share of equity", percent),
    "cost_share": ("Costs, share of gross profit", share),
}
TILES = ("total_return", "sharpe", "max_drawdown", "calmar", "hit_rate", "turnover", "time_in_market", "cost_share")


def shown(figures: Mapping[str, Any], name: str) -> Cell:
    """One figure ready to print; a null says why."""
    found = figures.get(name)
    if found is None:
        return Cell(MISSING)
    if found["value"] is None:
        return Cell(f"{MISSING} {found['reason']}", tone="muted")
    text = LABELS.get(name, (name, number))[1](found["value"])
    return Cell(text, tone=tone(found["value"]) if name in {"total_return", "cagr"} else "")


def label_of(name: str) -> str:
    return LABELS[name][0] if name in LABELS else name.replace("_", " ").capitalize()


def tiles(run: Backtest) -> list[dict[str, Any]]:
    """The figures to read first, each beside buy-and-hold's where there is one."""
    desk, hold = run.figures["desk"], run.figures["buy_and_hold"]
    return [
        {
            "label": label_of(name),
            "value": shown(desk, name),
            "beside": f"buy and hold {shown(hold, name).text}" if name in hold else "",
        }
        for name in TILES
        if name in desk
    ]


def figures_table(run: Backtest) -> Table:
    """Every figure, the desk beside buy-and-hold."""
    desk, hold = run.figures["desk"], run.figures["buy_and_hold"]
    names = [name for name in LABELS if name in desk] + [name for name in desk if name not in LABELS]
    rows = [(label_of(name), shown(desk, name), shown(hold, name) if name in hold else Cell(MISSING)) for name in names]
    return Table(("Figure", "Desk>", "Buy and hold>"), rows)


def settings_table(run: Backtest) -> Table:
    """The three fill settings side by side."""
    sides: Mapping[str, Any] = run.figures["fill_settings"]
    names = sorted(sides, key=("optimistic", "base", "pessimistic").index)
    figures = ("total_return", "sharpe", "max_drawdown", "hit_rate", "turnover")
    rows: list[Sequence[Cell | str]] = [
        ("Equity at the end", *(decimal_e8(sides[name]["equity_e8"], 2) for name in names))
    ]
    rows += [(label_of(figure), *(shown(sides[name]["figures"], figure) for name in names)) for figure in figures]
    rows += [("Closed trades", *(f"{sides[name]['trades']:,}" for name in names))]
    rows += [
        (label, *(decimal_e8(sides[name]["costs"][f"{key}_e8"], 2) for name in names)) for key, label in COSTS
    ]  # fmt: skip
    words = {"optimistic": "0 x", "base": "1 x", "pessimistic": "2 x"}
    heads = [f"{name}, {words[name]}{' (this run)' if name == run.fills else ''}>" for name in names]
    return Table(("Slippage and impact", *heads), rows)


def costs_table(run: Backtest) -> Table:
    """What trading cost, by kind, and its share of the first cash and of all costs."""
    costs, cash = run.figures["costs"], run.parameters["cash_e8"]
    total = sum(costs.values())
    rows = [
        (label, decimal_e8(costs[f"{key}_e8"], 2), percent(costs[f"{key}_e8"] / cash),
         percent(costs[f"{key}_e8"] / total, 1) if total else MISSING)
        for key, label in COSTS
    ]  # fmt: skip
    rows.append(("Together", decimal_e8(total, 2), percent(total / cash), percent(1.0, 1) if total else MISSING))
    return Table(("Cost", "Paid>", "Of first cash>", "Of all costs>"), rows)


def decisions_table(run: Backtest) -> Table:
    """How decisions ended, and why."""
    counts = run.figures["counts"]
    total = max(1, counts["decisions"])
    rows: list[Sequence[Cell | str]] = [
        (status.replace("_", " "), "", f"{n:,}", percent(n / total, 1)) for status, n in counts["by_status"].items()
    ]
    rows += [
        (Cell(code, mono=True), REASON_TEXT[Reason[code.upper()]], f"{n:,}", percent(n / total, 1))
        for code, n in sorted(counts["by_reason"].items(), key=lambda entry: -entry[1])
    ]
    return Table(("Outcome or reason", "Meaning", "Decisions>", "Share>"), rows)
