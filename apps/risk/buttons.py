"""The buttons that stop trading and let it go on: the services of the API behind forms of the page."""

from __future__ import annotations

from django.http import HttpResponse
from rest_framework.request import Request

from apps.dashboard.buttons import ButtonView, told
from apps.engine.errors import InvalidInput
from apps.engine.reasons import TradingState
from apps.risk import selectors, services
from apps.risk.states import DESK, RELEASE_WORD, CurrentState
from apps.web.actors import actor_of
from apps.web.bodies import Field, read_body
from apps.web.clock import market_ms
from apps.web.permissions import require_role, role_of
from apps.web.roles import Role

STOPS = (TradingState.HALTED.name, TradingState.REDUCING.name)
REDUCE = "setting REDUCING takes an operator"
MEANINGS = {
    TradingState.ACTIVE: "Orders may open risk again.",
    TradingState.REDUCING: "Only orders that lower risk pass.",
    TradingState.HALTED: "Nothing passes but a confirmed flatten; an owner releases it.",
}


class StopView(ButtonView):
    """HALT the desk or a symbol, or let only orders pass that lower risk."""

    def post(self, request: Request) -> HttpResponse:
        body = read_body(
            request,
            Field("state", "text", choices=STOPS),
            Field("reason", "text"),
            Field("symbol", "symbol", required=False),
        )
        # Engaging the kill switch is trusted on this machine, as it is at the API; REDUCING is not.
        if body["state"] != TradingState.HALTED.name:
            require_role(request, Role.OPERATOR, REDUCE)
        role = role_of(request) or Role.VIEWER
        state = services.trading_state_set(**body, actor=actor_of(request), ts_ms=market_ms(), role=role)
        return _told(state)


class ReleaseView(ButtonView):
    """Let go: a halted scope returns to the state it had, a reducing one becomes ACTIVE, its latches released."""

    def post(self, request: Request) -> HttpResponse:
        body = read_body(
            request,
            Field("reason", "text"),
            Field("confirmation", "text", required=False),
            Field("symbol", "symbol", required=False),
        )
        if body["confirmation"] != RELEASE_WORD:
            raise InvalidInput(f"type {RELEASE_WORD} to confirm", field="confirmation")
        given = {**body, "actor": actor_of(request), "ts_ms": market_ms(), "role": Role.OWNER}
        if _is_halted(body["symbol"]):
            return _told(services.kill_release(**given))
        return _told(services.trading_state_set(**given, state=TradingState.ACTIVE))


def _is_halted(symbol: str | None) -> bool:
    """Whether the scope itself is halted, not the desk around it."""
    own = selectors.trading_states().get(symbol or DESK)
    return own is not None and own.is_halted


def _told(current: CurrentState) -> HttpResponse:
    name = current.scope or "The desk"
    return told(f"{name} is {current.state.name}. {MEANINGS[current.state]}")
