"""The desk's routes, and those of the bench."""

from __future__ import annotations

from functools import partial
from typing import Any

import orjson
from django.conf import settings
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from apps.engine.decision import SOURCE_PERSON, SOURCE_ROUTER
from apps.execution import desk
from apps.execution.desk_thread import desk_thread
from apps.execution.requests import DecisionRequest
from bench.decision import phases
from bench.decision.floor import INSERT, READ, UPDATE, Statement, answers, floor, scripts
from bench.decision.market import BenchMarket
from bench.decision.plain import PlainView
from tradedesk.urls import urlpatterns as desk_urls

N_CALIBRATE = 40
market = BenchMarket()


@csrf_exempt
def next_round(request: HttpRequest) -> HttpResponse:
    """Let a bar close: every case begins with an empty minute."""
    market.next_round()
    return HttpResponse(b"{}")


@csrf_exempt
def calibrate(request: HttpRequest, case: str) -> HttpResponse:
    """Decide some times and keep which statements that took: the floor and the plain way send as many."""
    log: list[Statement] = []
    watch = partial(_watch, log)
    watch()
    desk_thread().run(watch)
    scripts[case] = []
    for number in range(N_CALIBRATE):
        log.clear()
        answers[case] = desk.take(_request(case, number)).body
        scripts[case].append(list(log))
    desk_thread().run(lambda: connections["default"].execute_wrappers.clear())
    connections["default"].execute_wrappers.clear()
    counts = [sum(statement.kind == kind for script in scripts[case] for statement in script) / N_CALIBRATE
              for kind in (READ, INSERT, UPDATE)]  # fmt: skip
    return HttpResponse(orjson.dumps({"statements": counts, "answer": len(answers[case])}))


def _watch(log: list[Statement]) -> None:
    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        kind = sql.lstrip().split(" ", 1)[0].upper()
        if kind in (READ, INSERT, UPDATE):
            log.append(Statement(kind, sum(len(str(value)) for value in params or ())))
        elif not kind.startswith("BEGIN"):
            log.append(Statement(READ, 0))
        return execute(sql, params, many, context)

    connections["default"].ensure_connection()
    connections["default"].execute_wrappers.append(note)


def _request(case: str, number: int) -> DecisionRequest:
    symbol = settings.SYMBOLS[number % len(settings.SYMBOLS)]
    if case == "plan":
        return DecisionRequest(symbol=symbol, source=SOURCE_ROUTER, actor="bench", reason="plan-and-execute")
    side = 1 if number // len(settings.SYMBOLS) % 2 == 0 else -1
    return DecisionRequest(
        symbol=symbol, source=SOURCE_PERSON, actor="bench", reason="paper order", side=side, quantity_e8=10**6
    )


@csrf_exempt
def phases_start(request: HttpRequest) -> HttpResponse:
    phases.start()
    return HttpResponse(b"{}")


@csrf_exempt
def phases_stop(request: HttpRequest) -> HttpResponse:
    return HttpResponse(orjson.dumps(phases.stop()))


urlpatterns = [
    path("bench/round", next_round),
    path("bench/calibrate/<str:case>", calibrate),
    path("bench/phases/start", phases_start),
    path("bench/phases/stop", phases_stop),
    path("bench/floor/<str:case>", floor),
    path("bench/bare/<str:case>", floor),
    path("bench/plain/<str:case>", PlainView.as_view()),
    *desk_urls,
]
