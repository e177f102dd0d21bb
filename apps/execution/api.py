"""Trading over HTTP: decisions, a person's orders, flatten, and what the book holds."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
from django.conf import settings
from django.http import Http404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.engine.decision import SOURCE_FLATTEN, SOURCE_PERSON, SOURCE_ROUTER
from apps.engine.errors import Conflict, InvalidInput, UnknownName
from apps.execution import desk, selectors, services
from apps.execution.dry_run import router_snapshot
from apps.execution.requests import Answer, DecisionRequest, Idempotency
from apps.marketdata.market import market_view
from apps.risk.selectors import trading_state_current
from apps.web.actors import actor_of
from apps.web.bodies import Field, read_body
from apps.web.casing import DataMap
from apps.web.problems import problem_response
from apps.web.queries import Param, read_query

MAX_KEY = 255
FLATTEN_WORD = "FLATTEN"


def known_symbol(symbol: str) -> str:
    """The symbol, when it is on the watch list. Raises UnknownName."""
    if symbol not in settings.SYMBOLS:
        raise UnknownName(f"unknown symbol; the watch list is {', '.join(settings.SYMBOLS)}", field="symbol")
    return symbol


def idempotency_of(request: Request, scope: str, body: Any) -> Idempotency | None:
    """The caller's Idempotency-Key with the fingerprint of its body."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not key.strip() or len(key) > MAX_KEY or not key.isprintable():
        raise InvalidInput(f"must be 1 to {MAX_KEY} printable characters", field="Idempotency-Key")
    canonical = orjson.dumps(body, option=orjson.OPT_SORT_KEYS, default=str)
    return Idempotency(scope, key, hashlib.sha256(canonical).hexdigest())


def answer_response(answer: Answer) -> Response:
    """The stored answer as it is; a repeated one says so in a header."""
    headers = {"Idempotency-Replayed": "true"} if answer.is_repeat else {}
    return Response(DataMap(orjson.loads(answer.body)), status=answer.status, headers=headers)


class ExecutionView(APIView):
    """Base of the views that trade: one decision, brought to the desk thread."""

    def take(self, decision: DecisionRequest) -> Answer:
        if decision.idempotency is not None:
            stored = services.answer_of_key(decision.idempotency)
            if stored is not None:
                return stored
        return desk.take(decision)

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, services.KeyReused):
            errors = [{"field": exc.field, "message": str(exc)}]
            return problem_response(422, None, str(exc), errors=errors)
        return super().handle_exception(exc)


class PlanAndExecuteView(ExecutionView):
    """Decide on the newest view of a symbol and execute what is decided, on paper."""

    def post(self, request: Request) -> Response:
        body = read_body(request, Field("symbol", "symbol"))
        symbol = known_symbol(body["symbol"])
        decision = DecisionRequest(
            symbol=symbol,
            source=SOURCE_ROUTER,
            actor=actor_of(request),
            reason="plan-and-execute",
            idempotency=idempotency_of(request, "plan-and-execute", body),
        )
        return answer_response(self.take(decision))


class PaperOrderView(ExecutionView):
    """A person's market order, through the same gate as every other order."""

    def post(self, request: Request) -> Response:
        body = read_body(
            request,
            Field("symbol", "symbol"),
            Field("side", "text", choices=("BUY", "SELL")),
            Field("type", "text", choices=("MARKET",)),
            Field("quantity", "decimal_e8", low=1),
            Field("time_in_force", "text", required=False, choices=("IOC",), default="IOC"),
            Field("client_order_id", "text", required=False),
        )
        decision = DecisionRequest(
            symbol=known_symbol(body["symbol"]),
            source=SOURCE_PERSON,
            actor=actor_of(request),
            reason="paper order",
            side=1 if body["side"] == "BUY" else -1,
            quantity_e8=body["quantity"],
            client_order_id=body["client_order_id"] or "",
            idempotency=idempotency_of(request, "paper-order", body),
        )
        return order_response(self.take(decision))


def order_response(answer: Answer) -> Response:
    """201 with the order and its fills, or the refusal as a problem."""
    record = orjson.loads(answer.body)
    if record["blocked"]:
        return problem_response(
            422,
            "Order refused",
            record["detail"] or record["reason"],
            blocked=True,
            reason=record["reason"],
            guards=record["guards"],
            audit_id=record["auditId"],
        )
    return Response({**selectors.order(record["orderId"]), "position": DataMap(record["position"])}, status=201)


class FlattenView(ExecutionView):
    """Close one position, or all. A HALTED desk asks for the typed word FLATTEN; it is the one order it accepts."""

    def post(self, request: Request) -> Response:
        body = read_body(
            request,
            Field("symbol", "symbol", required=False),
            Field("reason", "text"),
            Field("confirmation", "text", required=False),
        )
        names = [known_symbol(body["symbol"])] if body["symbol"] else _held()
        if trading_state_current().is_halted and body["confirmation"] != FLATTEN_WORD:
            raise InvalidInput(f"the desk is HALTED: type {FLATTEN_WORD} to confirm", field="confirmation")
        records = []
        for symbol in names:
            decision = DecisionRequest(
                symbol=symbol,
                source=SOURCE_FLATTEN,
                actor=actor_of(request),
                reason=body["reason"],
                idempotency=idempotency_of(request, f"flatten-{symbol}", body),
            )
            records.append(DataMap(orjson.loads(self.take(decision).body)))
        return Response({"executions": records})


def _held() -> list[str]:
    return [row["symbol"] for row in selectors.positions() if row["quantity"] != "0"]


class OrdersView(APIView):
    """Orders, newest first."""

    def get(self, request: Request) -> Response:
        asked = read_query(
            request,
            Param("status", "text", choices=("FILLED", "PARTIALLY_FILLED", "EXPIRED")),
            Param("limit", "int", default=200, low=1, high=1_000),
        )
        return Response(selectors.orders(status=asked["status"], limit=asked["limit"]))


class OrderView(APIView):
    """One order and how it filled, level by level; or its cancellation."""

    def get(self, request: Request, order_id: str) -> Response:
        read_query(request)
        return Response(_order_or_404(order_id))

    def delete(self, request: Request, order_id: str) -> Response:
        order = _order_or_404(order_id)
        raise Conflict(f"the order is {order['status']}: there is nothing left to cancel")


def _order_or_404(order_id: str) -> dict[str, Any]:
    try:
        return selectors.order(order_id)
    except UnknownName as error:
        raise Http404(str(error)) from error


class PositionsView(APIView):
    """One row per symbol of the watch list, quantity "0" when flat."""

    def get(self, request: Request) -> Response:
        read_query(request)
        return Response(selectors.positions())


class AccountView(APIView):
    """The paper account of the current epoch."""

    def get(self, request: Request) -> Response:
        read_query(request)
        return Response(selectors.account())


class AccountResetView(APIView):
    """Start a new epoch with fresh cash; the old one stays on record."""

    def post(self, request: Request) -> Response:
        body = read_body(request, Field("reason", "text"), Field("confirmation", "text", required=False))
        services.account_reset(
            actor=actor_of(request),
            reason=body["reason"],
            confirmation=body["confirmation"],
            ts_ms=market_view().now_ms(),
        )
        return Response(selectors.account(), status=201)


class ExecutionsView(APIView):
    """Execution records, newest first."""

    def get(self, request: Request) -> Response:
        asked = read_query(
            request, Param("limit", "int", default=50, low=1, high=500), Param("symbol", "symbol", default=None)
        )
        symbol = known_symbol(asked["symbol"]) if asked["symbol"] else None
        return Response([DataMap(row) for row in selectors.executions(limit=asked["limit"], symbol=symbol)])


class SizingLastView(APIView):
    """The last sizing of each symbol."""

    def get(self, request: Request) -> Response:
        read_query(request)
        return Response([DataMap(row) for row in selectors.sizing_last()])


class RouterSnapshotView(APIView):
    """What the router would choose now; changes nothing."""

    def get(self, request: Request) -> Response:
        asked = read_query(request, Param("symbol", "symbol", default=settings.SYMBOLS[0]))
        return Response(DataMap(router_snapshot(known_symbol(asked["symbol"]))))


class RouterChooseView(APIView):
    """The same for the symbol in the body; changes nothing."""

    def post(self, request: Request) -> Response:
        body = read_body(request, Field("symbol", "symbol"))
        return Response(DataMap(router_snapshot(known_symbol(body["symbol"]))))
