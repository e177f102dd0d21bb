"""The floor: as many prepared statements and bytes as a decision sends, one COMMIT, the same thread, no logic."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any, NamedTuple

import orjson
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from apps.execution.desk_thread import desk_thread

READ, INSERT, UPDATE = "SELECT", "INSERT", "UPDATE"
TABLES = (
    "CREATE TABLE bench_fact (id bigint PRIMARY KEY, n bigint NOT NULL, text varchar(200) NOT NULL)",
    "CREATE TABLE bench_row (id bigint PRIMARY KEY, at bigint NOT NULL, text text NOT NULL)",
)
N_FACTS = 64


class Statement(NamedTuple):
    """One statement of a decision: what it does and how many bytes of values it carries."""

    kind: str
    size: int


# Per case the statements of some decisions, met in turn, and an answer of the length that they gave.
scripts: dict[str, list[list[Statement]]] = {}
answers: dict[str, bytes] = {}
_turn, _id = count(), count(1)
_SQL = {
    READ: "SELECT n, text FROM bench_fact WHERE id = {0}",
    INSERT: "INSERT INTO bench_row (id, at, text) VALUES ({0}, {0}, {0})",
    UPDATE: "UPDATE bench_fact SET n = n + 1, text = {0} WHERE id = {0}",
}


def tables_make() -> None:
    with connections["default"].cursor() as cursor:
        for table in TABLES:
            cursor.execute(table)
        for number in range(N_FACTS):
            cursor.execute("INSERT INTO bench_fact (id, n, text) VALUES (%s, 0, %s)", (number, "x" * 80))


@csrf_exempt
async def floor(request: HttpRequest, case: str) -> HttpResponse:
    """Read the body, send the statements of one decision through the desk thread, answer as many bytes."""
    orjson.loads(request.body)
    script = scripts[case][next(_turn) % len(scripts[case])]
    await asyncio.wrap_future(desk_thread().submit(lambda: run(script)))
    return HttpResponse(answers[case], content_type="application/json")


def run(script: list[Statement]) -> None:
    connection = connections["default"]
    connection.ensure_connection()
    if connection.vendor == "postgresql":
        with connection.connection.cursor() as cursor:
            _send(script, lambda sql, values: cursor.execute(sql, values, prepare=True), cursor, "%s", "BEGIN")
    else:
        cursor = connection.connection.cursor()
        _send(script, lambda sql, values: cursor.execute(sql, values), cursor, "?", "BEGIN IMMEDIATE")


def _send(script: list[Statement], execute: Any, cursor: Any, mark: str, begin: str) -> None:
    execute(begin, ())
    for number, (kind, size) in enumerate(script):
        fact = number % N_FACTS
        if kind == READ:
            execute(_SQL[READ].format(mark), (fact,))
            cursor.fetchall()
        elif kind == INSERT:
            execute(_SQL[INSERT].format(mark), (next(_id), number, "x" * size))
        else:
            execute(_SQL[UPDATE].format(mark), ("x" * min(size, 200), fact))
    execute("COMMIT", ())
