"""Trading over HTTP: decisions, a person's orders, flatten, and what the book holds."""

from __future__ import annotations

import hashlib
import re
from functools import partial
from typing import Any

import orjson
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.http import Http404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.engine.decision import SOURCE_PERSON, SOURCE_ROUTER
from apps.engine.errors import InvalidInput, UnknownName
from apps.engine.order_types import OrderStatus
from apps.execution import desk, selectors, services
from apps.execution.answers import ORDER_PREFIX
from apps.execution.desk_thread import desk_thread
from apps.execution.dry_run import router_snapshot
from apps.execution.flattening import flatten_decisions
from apps.execution.lifecycle import tradable_symbol
from apps.execution.order_api import SIDES, placed_document, read_order
from apps.execution.order_cancel import order_cancel
from apps.execution.order_documents import market_order_document, order_document
from apps.execution.order_story import order_story
from apps.execution.requests import Answer, DecisionRequest, Idempotency
from apps.marketdata.market import market_view
from apps.web import request_ids
from apps.web.actors import actor_of
from apps.web.async_views import AsyncAPIView
from apps.web.bodies import Field, read_body
from apps.web.casing import DataMap, WireMap
from apps.web.problems import problem_response
from apps.web.queries import Param, read_query

MAX_KEY = 255
OWN_NAME = re.compile(r"[A-Za-z0-9._:/-]{1,64}", re.ASCII)
OPEN = "OPEN"


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
    """The stored answer as it is."""
    return Response(WireMap(answer.record, answer.body), status=answer.status, headers=repeat_headers(answer))


def repeat_headers(*answers: Answer) -> dict[str, str]:
    """A repeated answer says so."""
    return {"Idempotency-Replayed": "true"} if answers and all(answer.is_repeat for answer in answers) else {}


def own_name(name: str | None) -> str:
    """A client's own order id, "" when there is none. Names like the desk's own are refused: they follow from content
    and could be taken in advance."""
    if name is None:
        return ""
    if not OWN_NAME.fullmatch(name) or name.startswith(ORDER_PREFIX):
        message = f"must be 1 to 64 letters, digits or . _ : / - and must not start with {ORDER_PREFIX}"
        raise InvalidInput(message, field="client_order_id")
    return name


class ExecutionView(APIView):
    """Base of the views that trade."""

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, services.KeyReused):
            errors = [{"field": exc.field, "message": str(exc)}]
            return problem_response(422, None, str(exc), errors=errors)
        return super().handle_exception(exc)


class DecisionView(ExecutionView, AsyncAPIView):
    """One decision without a thread of its own: what asks the database does so on the desk thread."""


class PlanAndExecuteView(DecisionView):
    """Decide on the newest view of a symbol and execute what is decided, on paper."""

    async def post(self, request: Request) -> Response:
        body = read_body(request, Field("symbol", "symbol"))
        symbol = known_symbol(body["symbol"])
        decision = DecisionRequest(
            symbol=symbol,
            source=SOURCE_ROUTER,
            actor=actor_of(request),
            reason="plan-and-execute",
            request_id=request_ids.current(),
            idempotency=idempotency_of(request, "plan-and-execute", body),
        )
        return await desk.take_async(decision, answer_response)


class PaperOrderView(DecisionView):
    """A person's order of any type, through the same gate as every other order."""

    async def post(self, request: Request) -> Response:
        body, orders = read_order(request)
        symbol = body["symbol"]
        if symbol not in settings.SYMBOLS:
            await desk_thread().run_async(partial(tradable_symbol, symbol))
        decision = DecisionRequest(
            symbol=symbol,
            source=SOURCE_PERSON,
            actor=actor_of(request),
            reason="paper order",
            side=SIDES[body["side"]],
            quantity_e8=body["quantity"],
            client_order_id=own_name(body["client_order_id"]),
            orders=orders,
            request_id=request_ids.current(),
            idempotency=idempotency_of(request, "paper-order", body),
        )
        return await desk.take_async(decision, order_response)


def order_response(answer: Answer) -> Response:
    """201 with the order and its fills, or the refusal as a problem."""
    record = answer.record
    if record["blocked"]:
        return problem_response(
            422,
            "Order refused",
            record["detail"] or record["reason"],
            request_id=record["requestId"],
            headers=repeat_headers(answer),
            blocked=True,
            reason=record["reason"],
            guards=record["guards"],
            audit_id=record["auditId"],
        )
    document = placed_document(record) or {
        **_market_order(answer),
        "position": DataMap(record["position"]),
    }
    return Response(document, status=201, headers=repeat_headers(answer))


def _market_order(answer: Answer) -> dict[str, Any]:
    """The order of an answer: from the rows it has just left, or as they are stored."""
    order_id, audit_id = answer.record["orderId"], answer.record["auditId"]
    if answer.fills:
        return order_document(answer.fills[0].order, audit_id=audit_id, fills=answer.fills)
    return market_order_document(order_id, audit_id, using=DEFAULT_DB_ALIAS)


class FlattenView(ExecutionView):
    """Close one position, or all. A HALTED desk asks for the typed word FLATTEN; it is the one order it accepts."""

    def post(self, request: Request) -> Response:
        body = read_body(
            request,
            Field("symbol", "symbol", required=False),
            Field("reason", "text"),
            Field("confirmation", "text", required=False),
        )
        decisions = flatten_decisions(
            **body,
            actor=actor_of(request),
            key_of=lambda symbol: idempotency_of(request, f"flatten-{symbol}", body),
        )
        answers = [desk.take(decision) for decision in decisions]
        records = [DataMap(answer.record) for answer in answers]
        return Response({"executions": records}, headers=repeat_headers(*answers))


class OrdersView(APIView):
    """Orders, newest first."""

    def get(self, request: Request) -> Response:
        asked = read_query(
            request,
            Param("status", "text", choices=(*OrderStatus, OPEN)),
            Param("limit", "int", default=200, low=1, high=1_000),
        )
        return Response(selectors.orders(status=asked["status"], limit=asked["limit"]))


class OrderView(ExecutionView):
    """One order and how it filled, level by level; or its cancellation, which is on its way when this answers 202."""

    def get(self, request: Request, order_id: str) -> Response:
        read_query(request)
        try:
            return Response(order_story(order_id))
        except UnknownName as error:
            raise Http404(str(error)) from error

    def delete(self, request: Request, order_id: str) -> Response:
        idempotency = idempotency_of(request, "order-cancel", order_id)
        job = partial(
            order_cancel,
            order_id=order_id,
            actor=actor_of(request),
            read_now=market_view().now_ms,
            idempotency=idempotency,
        )
        try:
            return answer_response(desk_thread().run(job, is_repeatable=True))
        except UnknownName as error:
            raise Http404(str(error)) from error


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
