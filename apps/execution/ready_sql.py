"""Rows of the decision path by statements whose text is ready: the ORM would compose each of them anew every time.

Columns and conversions come from the models, so that a changed model changes them too. Conditions are given as SQL
with %s for values, which both databases read alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from typing import Any, NamedTuple, TypeVar

from django.db import connections
from django.db.models import BooleanField, Field, JSONField, Model

M = TypeVar("M", bound=Model)


class _Table(NamedTuple):
    """What a model's statements are made of."""

    names: tuple[str, ...]
    fields: tuple[Field[Any, Any], ...]
    key: Field[Any, Any]
    select: str
    insert: str
    update: str
    readers: tuple[tuple[int, Callable[[Any], Any]], ...]


@cache
def _table(model: type[Model]) -> _Table:
    meta = model._meta
    fields = tuple(meta.concrete_fields)
    written = tuple(field for field in fields if not field.generated and not _is_counted(field))
    columns = [f'"{field.column}"' for field in written]
    readers: dict[type, Callable[[Any], Any]] = {BooleanField: bool, JSONField: _json}
    key = meta.pk
    assert key is not None
    changed = ", ".join(f'"{field.column}" = %s' for field in fields if field is not key)
    return _Table(
        names=tuple(field.attname for field in fields),
        fields=written,
        key=key,
        select="SELECT " + ", ".join(f'"{meta.db_table}"."{f.column}"' for f in fields) + f' FROM "{meta.db_table}" ',
        insert=f'INSERT INTO "{meta.db_table}" ({", ".join(columns)}) VALUES ({", ".join(["%s"] * len(columns))})',
        update=f'UPDATE "{meta.db_table}" SET {changed} WHERE "{key.column}" = %s',
        readers=tuple((number, readers[type(f)]) for number, f in enumerate(fields) if type(f) in readers),
    )


def values(sql: str, *params: Any, using: str) -> list[tuple[Any, ...]]:
    """The rows of a SELECT as they come."""
    with _sent(sql, params, connections[using]) as cursor:
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def value(sql: str, *params: Any, using: str) -> Any:
    """The first column of the only row."""
    with _sent(sql, params, connections[using]) as cursor:
        return cursor.fetchone()[0]


def found(model: type[M], condition: str, *params: Any, using: str) -> list[M]:
    """The model's rows that meet a condition (WHERE, ORDER BY, LIMIT, FOR UPDATE), as instances that can be saved."""
    table = _table(model)
    rows = values(table.select + condition, *params, using=using)
    if table.readers:
        return [model.from_db(using, table.names, _read(row, table)) for row in rows]
    return [model.from_db(using, table.names, row) for row in rows]


def insert(row: Model, *, using: str) -> None:
    """Add a row. A key that the database counts up stays unknown to the instance."""
    table, connection = _table(type(row)), connections[using]
    given = [field.get_db_prep_save(getattr(row, field.attname), connection) for field in table.fields]
    with _sent(table.insert, given, connection):
        pass
    row._state.adding, row._state.db = False, using


def update(row: Model, *, using: str) -> None:
    """Write every column of a row that is there."""
    table, connection = _table(type(row)), connections[using]
    fields = (*(field for field in row._meta.concrete_fields if field is not table.key), table.key)
    given = [field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields]
    with _sent(table.update, given, connection):
        pass


def save(row: Model, *, using: str) -> None:
    """Update a row that was read; a new one is left to the ORM, which learns its key."""
    if row._state.adding:
        row.save(using=using)
    else:
        update(row, using=using)


@contextmanager
def _sent(sql: str, params: Sequence[Any], connection: Any) -> Iterator[Any]:
    """A cursor that has sent a statement: prepared, and without the wrappers of Django's own cursors.

    Whoever watches statements, and a connection that is not open yet, get one of Django's.
    """
    raw = connection.connection
    if raw is None or connection.execute_wrappers or connection.queries_logged:
        with connection.cursor() as cursor:
            cursor.execute(sql, params)
            yield cursor
        return
    connection.validate_no_broken_transaction()
    with connection.wrap_database_errors, closing(_cursor(raw, connection.vendor)) as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(sql, params, prepare=True)
        else:
            cursor.execute(_question_marks(sql), params)
        yield cursor


def _cursor(raw: Any, vendor: str) -> Any:
    """Django's PostgreSQL cursors put values into the text, which cannot be prepared."""
    if vendor != "postgresql":
        return raw.cursor()
    from psycopg import Cursor

    return Cursor(raw)


@cache
def _question_marks(sql: str) -> str:
    return sql.replace("%s", "?")


def _is_counted(field: Field[Any, Any]) -> bool:
    """Whether the database counts the field's values up."""
    return bool(getattr(field, "db_returning", False)) and field.primary_key


def _json(text: Any) -> Any:
    return json.loads(text) if isinstance(text, str) else text


def _read(row: Sequence[Any], table: _Table) -> list[Any]:
    read = list(row)
    for number, convert in table.readers:
        read[number] = convert(read[number])
    return read
