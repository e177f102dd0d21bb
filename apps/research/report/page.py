"""The page of a backtest: one file with its style, its drawings and its numbers, and no address outside itself."""

from __future__ import annotations

from typing import Any

from apps.dashboard.detail import Cell
from apps.dashboard.formats import date_time, decimal_e8, number, percent, pretty_json, tone
from apps.engine.regime import LABELS
from apps.research.backtests.outcome import quote_of
from apps.research.report import figure_rows, lists
from apps.research.report.assumptions import assumptions
from apps.research.report.charts import Chart, line_chart, ribbon
from apps.research.report.standalone import standalone_page
from apps.research.selectors import Backtest, told

REGIME_TONES = ("none", "up", "down", "calm", "wild")
NO_CHOICE = -1
QUOTES = ("FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USD", "EUR", "BTC", "ETH", "BNB")


def report_page(run: Backtest) -> str:
    """The whole page as text."""
    context = {
        "run": run,
        **_head(run),
        **_charts(run),
        **_tables(run),
        "assumptions": assumptions(run),
        "parameters": pretty_json(told(run.parameters)),
    }
    return standalone_page("research/report.html", context, has_script=True)


def _head(run: Backtest) -> dict[str, Any]:
    cash, equity = run.parameters["cash_e8"], run.figures["equity_e8"]
    gain, hold = equity / cash - 1.0, run.figures["hold_equity_e8"] / cash - 1.0
    currency = next((quote for quote in QUOTES if run.symbol.endswith(quote)), "quote currency")
    return {
        "title": f"{run.symbol} {run.interval}, {run.policy}",
        "window": f"{date_time(run.first_ms)[:16]} to {date_time(run.end_ms)[:16]} UTC",
        "currency": currency,
        "is_simulated": "simulated" in run.data["sources"],
        "verdict": Cell(
            f"{decimal_e8(cash, 2)} became {decimal_e8(equity, 2)} {currency}, {percent(gain, signed=True)}; "
            f"buying and holding {percent(hold, signed=True)}",
            tone=tone(gain),
        ),
        "latched": [date_time(ms)[:16] for ms in run.figures["counts"]["hard_latched_ms"]],
        "tiles": figure_rows.tiles(run),
        "created": date_time(run.created_ts_ms)[:16],
    }


def _charts(run: Backtest) -> dict[str, Chart]:
    columns, span = run.columns, (run.first_ms, run.end_ms)
    cash = run.parameters["cash_e8"]
    equity, hold = (columns[name] for name in (f"equity_{run.fills}_e8", "buy_and_hold_e8"))
    curves = [("Desk", "desk", quote_of(equity)), ("Buy and hold", "hold", quote_of(hold))]
    curves.append(("Cash", "cash", quote_of(equity) * 0.0 + cash / 1e8))
    falls = [("Desk", "desk", lists.drawdown(equity, cash)), ("Buy and hold", "hold", lists.drawdown(hold, cash))]
    sides = [
        (name, name, quote_of(columns[f"equity_{name}_e8"])) for name in ("optimistic", "base", "pessimistic")
    ]  # fmt: skip
    alone = [("Desk", "desk", quote_of(equity)), ("Cash", "cash", quote_of(equity) * 0.0 + cash / 1e8)]
    return {
        "equity_chart": line_chart("equity", "Equity", "Worth of the account at every close.", curves, _money, span),
        "alone_chart": line_chart("alone", "The desk alone", "The same curve at its own scale.", alone, _money, span),
        "drawdown_chart": line_chart(
            "drawdown", "Drawdown", "Worth below its highest so far; the deepest of each stretch, and of all.",
            falls, _percent, span, pick=lists.deepest,
        ),
        "settings_chart": line_chart("settings", "Fill settings", "Equity under each.", sides, _money, span),
        **_ribbons(run, span),
    }  # fmt: skip


def _ribbons(run: Backtest, span: tuple[int, int]) -> dict[str, Chart]:
    columns, n = run.columns, (run.end_ms - run.first_ms) // run.interval_ms
    regimes = [(code, word.replace("_", " "), REGIME_TONES[code]) for code, word in enumerate(LABELS)]
    names = lists.arm_names(run)
    arms = [(code, name, "cash" if name == "cash" else f"arm-{code % 8}") for code, name in enumerate(names)]
    arms.append((NO_CHOICE, "no choice", "none"))
    at = columns["decision_step"]
    chosen, labels = columns["decision_arm"], columns["decision_regime"]
    taken, meant = "Share of decisions taken in each regime.", "Share of decisions that each policy was chosen for."
    return {
        "regime_chart": ribbon("regime", "Regime", taken, labels, at, regimes, n, span),
        "policy_chart": ribbon("policy", "Policy choice", meant, chosen, at, arms, n, span),
    }


def _tables(run: Backtest) -> dict[str, Any]:
    trades, data = run.columns["trade_entry_step"].shape[0], run.data
    rehearsal = run.figures["rehearsal"]
    return {
        "months": lists.months_table(run),
        "figures": figure_rows.figures_table(run),
        "settings": figure_rows.settings_table(run),
        "costs": figure_rows.costs_table(run),
        "decisions": figure_rows.decisions_table(run),
        "trades": lists.trades_table(run),
        "trades_note": lists.shown_of(lists.TRADES_SHOWN, trades, "trades, the newest first"),
        "holes": lists.holes_table(run),
        "holes_note": lists.shown_of(lists.HOLES_SHOWN, len(data["holes"]), "gaps, the longest first"),
        "doubted": lists.doubted_table(run),
        "doubted_note": lists.shown_of(lists.DOUBTED_SHOWN, len(data["doubted"]), "doubted bars"),
        "bars_note": f"{data['bars']:,} bars were traded on; {data['missing']:,} of the window are missing.",
        "rehearsal": (
            f"{rehearsal['orders']:,} orders, {rehearsal['fills']:,} fills, "
            f"{decimal_e8(rehearsal['notional_e8'], 2)} of notional at "
            f"{percent(run.parameters['rehearsal_bps'] / 1e4, 0)} of each decision."
            if run.parameters["rehearsal_bps"]
            else "The ladder is disabled: a live venue would have been given nothing."
        ),
    }


def _money(value: float) -> str:
    return number(value, 0 if abs(value) >= 1_000 else 2)


def _percent(value: float) -> str:
    return percent(value, 1)
