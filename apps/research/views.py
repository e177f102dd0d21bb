"""The page of one backtest on the desk: its figures and lists; the drawings are in the file that --report writes."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.dashboard.detail import Cell, Section, detail_response
from apps.dashboard.formats import date_time
from apps.engine.errors import UnknownName
from apps.research.report import figure_rows, lists
from apps.research.report.assumptions import assumptions
from apps.research.selectors import Backtest, backtest_get
from apps.web.permissions import require_access


@never_cache
@require_safe
@require_access
def backtest(request: HttpRequest, run_id: str) -> HttpResponse:
    """One backtest."""
    try:
        run = backtest_get(run_id)
    except UnknownName as error:
        raise Http404(str(error)) from error
    return detail_response(
        request,
        title=f"Backtest {run.symbol} {run.interval}, {run.policy}",
        subtitle=f"{date_time(run.first_ms)[:16]} to {date_time(run.end_ms)[:16]} UTC, fills {run.fills}",
        sections=_sections(run),
        links=(("As JSON", f"/api/research/backtests/{run.run_id}"),),
    )


def _sections(run: Backtest) -> list[Section]:
    trades = run.columns["trade_entry_step"].shape[0]
    hashes = [
        (label, Cell(text, mono=True))
        for label, text in (
            ("Run", run.run_id), ("Inputs", run.inputs_hash), ("Result", run.result_hash), ("Code", run.code_version)
        )
    ]  # fmt: skip
    return [
        Section("Figures", table=figure_rows.figures_table(run)),
        Section("Returns by month", table=lists.months_table(run)),
        Section("The three fill settings", table=figure_rows.settings_table(run)),
        Section("What trading cost", table=figure_rows.costs_table(run)),
        Section("How decisions ended", table=figure_rows.decisions_table(run)),
        Section(
            "Trades", lists.shown_of(lists.TRADES_SHOWN, trades, "trades, the newest first"),
            table=lists.trades_table(run), is_folded=True,
        ),
        Section("Gaps", table=lists.holes_table(run), is_folded=True),
        Section("Quarantine", table=lists.doubted_table(run), is_folded=True),
        Section("Assumptions", " ".join(assumptions(run)), is_folded=True),
        Section("What makes this run repeatable", pairs=hashes),
    ]  # fmt: skip
