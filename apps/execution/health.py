"""Is the desk deciding? How many decisions and refusals the last minute saw, and whether the desk thread lives."""

from __future__ import annotations

from typing import Any

from apps.execution.desk_thread import desk_thread
from apps.execution.lease import lease_holder
from apps.execution.selectors import decisions_since, reconciled_differences
from apps.marketdata.market import market_view
from apps.risk.selectors import trading_state_current
from apps.telemetry import health

MINUTE_MS = 60_000


def _last_minute() -> dict[str, int]:
    view = market_view()
    if not view.clock.is_set:
        return {"decisions": 0, "blocked": 0}
    return decisions_since(view.now_ms() - MINUTE_MS)


def router_probe() -> dict[str, Any]:
    return {"decisions_last_min": _last_minute()["decisions"], "status": "ok"}


def exec_probe() -> dict[str, Any]:
    """Degraded while trading is not ACTIVE: the desk serves, but takes no new risk. `book_differences` is what the last
    reconciliation found, null before the first."""
    state = trading_state_current().state.name
    return {
        "autopilot_lease": lease_holder() or None,
        "book_differences": reconciled_differences(),
        "blocked_last_min": _last_minute()["blocked"],
        "desk_backlog": desk_thread().backlog,
        "trading_state": state,
        "status": "ok" if state == "ACTIVE" else "degraded",
    }


health.register("router", router_probe)
health.register("exec", exec_probe)
