"""Routes of the guards."""

from __future__ import annotations

from apps.risk.api import GuardsStateView, KillSwitchView, LimitsView, TradingStateView
from apps.risk.buttons import ReleaseView, StopView
from apps.web.routes import route

urlpatterns = [
    route("api/guards/state", GuardsStateView, name="guards-state"),
    route("api/guards/kill-switch", KillSwitchView, name="guards-kill-switch"),
    route("api/guards/trading-state", TradingStateView, name="guards-trading-state"),
    route("api/guards/limits", LimitsView, name="guards-limits"),
    route("desk/stop", StopView, name="desk-stop"),
    route("desk/release", ReleaseView, name="desk-release"),
]
