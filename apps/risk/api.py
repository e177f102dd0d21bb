"""Guards over HTTP: their state, the kill switch, trading states, limits."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.engine.errors import InvalidInput
from apps.engine.reasons import TradingState
from apps.risk import selectors, services
from apps.risk.limits import FRACTION, LIMITS, MONEY
from apps.web.actors import actor_of
from apps.web.bodies import Field, read_body
from apps.web.clock import market_ms
from apps.web.permissions import require_role, role_of
from apps.web.queries import read_query
from apps.web.roles import Role

E8_PER_BPS = 10_000
RELEASE = "releasing the kill switch takes an owner"
MEMBERS = {limit.member: limit for limit in LIMITS.values()}


def _state() -> Response:
    return Response(selectors.guards_state(ts_ms=market_ms()))


def _who(request: Request) -> dict[str, Any]:
    return {"actor": actor_of(request), "ts_ms": market_ms()}


class GuardsStateView(APIView):
    """What the guards allow, how much of it is used, and whether anything is stopped."""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        read_query(request)
        return _state()


class KillSwitchView(APIView):
    """Engage or release. After engaging returns, no order and no fill commits in any process."""

    @extend_schema(request=OpenApiTypes.OBJECT, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request) -> Response:
        body = read_body(
            request,
            Field("engaged", "bool"),
            Field("reason", "text"),
            Field("symbol", "symbol", required=False),
            Field("confirmation", "text", required=False),
        )
        given = {"reason": body["reason"], "symbol": body["symbol"], **_who(request)}
        if body["engaged"]:
            services.kill_engage(**given)
        else:
            require_role(request, Role.OWNER, RELEASE)
            services.kill_release(**given, confirmation=body["confirmation"], role=Role.OWNER)
        return _state()


class TradingStateView(APIView):
    """ACTIVE, REDUCING or HALTED, for the desk or one symbol. HALTED is the kill switch."""

    @extend_schema(request=OpenApiTypes.OBJECT, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request) -> Response:
        body = read_body(
            request,
            Field("state", "text", choices=tuple(TradingState.__members__)),
            Field("reason", "text"),
            Field("symbol", "symbol", required=False),
            Field("confirmation", "text", required=False),
        )
        services.trading_state_set(**body, **_who(request), role=role_of(request) or Role.VIEWER)
        return _state()


class LimitsView(APIView):
    """Change limits, all named ones or none. An operator may tighten, an owner may loosen."""

    @extend_schema(request=OpenApiTypes.OBJECT, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request) -> Response:
        fields = [
            Field(member, "int" if limit.kind.decimals == 0 else "decimal_e8", required=False)
            for member, limit in MEMBERS.items()
        ]
        body = read_body(request, Field("reason", "text"), *fields)
        reason = body.pop("reason")
        sent = {member: value for member, value in body.items() if value is not None}
        changes = {MEMBERS[member].name: _counted(member, value) for member, value in sent.items()}
        try:
            services.limits_set(changes=changes, reason=reason, **_who(request), role=role_of(request) or Role.VIEWER)
        except InvalidInput as error:
            raise _named_as_sent(error) from error
        return _state()


def _counted(member: str, value: int) -> int:
    """The value as it is kept: a fraction, which is read in counts of 1e-8, in basis points."""
    if MEMBERS[member].kind is not FRACTION:
        return value
    if value % E8_PER_BPS:
        raise InvalidInput("must have at most 4 decimals", field=member)
    return value // E8_PER_BPS


def _named_as_sent(error: InvalidInput) -> InvalidInput:
    """Bounds are kept in counts; people get them with their unit, under the member's own name."""
    if error.field not in LIMITS:
        return error
    limit = LIMITS[error.field]
    unit = {MONEY: " counts of 1e-8", FRACTION: " basis points"}.get(limit.kind, "")
    return InvalidInput(f"{error}{unit}", field=limit.member)
