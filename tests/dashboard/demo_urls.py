"""The dashboard's own routes and one page of detail, without the apps that stand on them."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.dashboard.detail import Cell, Section, Table, detail_response
from apps.dashboard.formats import pretty_json
from apps.dashboard.urls import urlpatterns as dashboard_urlpatterns
from apps.web.routes import route


def decision(request: HttpRequest, audit_id: str) -> HttpResponse:
    guards = Table(
        headings=("Guard", "Verdict", "Observed>", "Limit>"),
        rows=[
            ("max_drawdown", Cell("ALLOW", "good"), "42 bps", "500 bps"),
            ("symbol_cap", Cell("DENY", "bad"), "101,250.00 USDT", "100,000.00 USDT"),
        ],
        caption="All guards run; the worst verdict wins.",
    )
    sections = [
        Section(
            "What was decided",
            note="The router chose among eight arms; the symbol cap refused the order.",
            pairs=[
                ("Symbol", "BTCUSDT"),
                ("Policy", "ema_cross"),
                ("Signal", "+0.72"),
                ("Requested", "0.0125 BTC"),
                ("Sent", "0"),
                ("Content hash", Cell("9f2ab14c77de", mono=True)),
            ],
        ),
        Section("Guards", table=guards),
        Section("Fills", table=Table(("Price>", "Quantity>"), [], empty="Nothing was filled.")),
        Section(
            "The whole record", json=pretty_json({"auditId": audit_id, "versions": {"engine": "1"}}), is_folded=True
        ),
    ]
    return detail_response(
        request,
        title="Why no trade in BTCUSDT at 14:03?",
        subtitle="Decision 4711 · 2026-01-05 14:03:07 UTC",
        verdict=Cell("Blocked: symbol_cap", "bad"),
        sections=sections,
        links=[("Replay", f"/api/audit/{audit_id}/replay"), ("JSON", f"/api/audit/{audit_id}")],
    )


def missing(request: HttpRequest, exception: Exception) -> HttpResponse:
    return render(request, "404.html", status=404)


def failed(request: HttpRequest) -> HttpResponse:
    return render(request, "500.html", status=500)


urlpatterns = [*dashboard_urlpatterns, route("decisions/<audit_id>", decision, name="decision")]
handler404 = missing
handler500 = failed
