"""Statements whose text is ready, sent prepared and without the wrappers of Django's own cursors.

Those build a class for every cursor and count every statement, which costs more than most statements of a decision do.
Values stand as %s, which both databases read alike. Whoever watches statements, and a connection that is not open yet,
get one of Django's cursors all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from django.db import connections

Row = tuple[Any, ...]


def rows(sql: str, params: Sequence[Any] = (), *, using: str) -> list[Row]:
    """The rows of a SELECT as they come."""
    return _sent(sql, params, using, is_read=True)


def first(sql: str, params: Sequence[Any] = (), *, using: str) -> Row | None:
    """The first row; None where there is none."""
    found = _sent(sql, params, using, is_read=True)
    return found[0] if found else None


def run(sql: str, params: Sequence[Any] = (), *, using: str) -> None:
    """Send a statement that gives no rows worth reading."""
    _sent(sql, params, using, is_read=False)


@contextmanager
def together(*, using: str) -> Iterator[None]:
    """Send what is written inside without waiting for each answer, where the database can. A read inside waits.

    An error of a statement may come as late as the end of the block, so what a statement changed cannot be counted.
    """
    connection: Any = connections[using]
    if connection.vendor != "postgresql" or connection.connection is None:
        yield
        return
    with connection.wrap_database_errors, connection.connection.pipeline():
        yield


def _sent(sql: str, params: Sequence[Any], using: str, *, is_read: bool) -> list[Row]:
    connection: Any = connections[using]
    raw = connection.connection
    if raw is None or connection.execute_wrappers or connection.queries_logged:
        with connection.cursor() as cursor:
            cursor.execute(sql, params)
            return list(cursor.fetchall()) if is_read else []
    connection.validate_no_broken_transaction()
    with connection.wrap_database_errors:
        if connection.vendor == "postgresql":
            cursor = getattr(raw, "desk_cursor", None) or _postgresql_cursor(raw)
            cursor.execute(sql, params, prepare=True)
            return list(cursor.fetchall()) if is_read else []
        cursor = raw.execute(_question_marks(sql), params)
        found: list[Row] = cursor.fetchall() if is_read else []
        cursor.close()
        return found


def _postgresql_cursor(raw: Any) -> Any:
    """A cursor kept with its connection. Django's own put values into the text, which cannot be prepared.

    Every int is sent as a bigint: by default its size says which type it has, and each combination of types would be
    a statement of its own.
    """
    from psycopg import Cursor
    from psycopg.types.numeric import Int8BinaryDumper

    cursor = Cursor(raw)
    cursor.adapters.register_dumper(int, Int8BinaryDumper)
    raw.desk_cursor = cursor
    return cursor


@cache
def _question_marks(sql: str) -> str:
    return sql.replace("%s", "?")
