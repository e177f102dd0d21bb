"""Rows of the decision path by statements whose text is ready: the ORM would compose each of them anew every time.

Columns and conversions come from the models, so that a changed model changes them too. Conditions are given as SQL
with %s for values, which both databases read alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, TypeVar

from django.db import connections
from django.db.models import BooleanField, CharField, Field, ForeignKey, IntegerField, JSONField, Model, TextField
from django.db.models.base import ModelState

from apps.audit import statements

M = TypeVar("M", bound=Model)
# What a field of this kind sends as it is; any other value goes through the field's own conversion.
_PLAIN: dict[type[Field[Any, Any]], type] = {IntegerField: int, CharField: str, TextField: str, BooleanField: bool}


class _Column(NamedTuple):
    """A column, and the type of the values that it takes as they are."""

    attribute: str
    field: Field[Any, Any]
    plain: type | None


class _Table(NamedTuple):
    """What a model's statements are made of."""

    names: tuple[str, ...]
    written: tuple[_Column, ...]
    changed: tuple[_Column, ...]
    select: str
    insert: str
    update: str
    defaults: tuple[tuple[str, Callable[[], Any]], ...]
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
    changed = tuple(field for field in fields if field is not key)
    assignments = ", ".join(f'"{field.column}" = %s' for field in changed)
    return _Table(
        names=tuple(field.attname for field in fields),
        written=tuple(map(_column, written)),
        changed=tuple(map(_column, (*changed, key))),
        select="SELECT " + ", ".join(f'"{meta.db_table}"."{f.column}"' for f in fields) + f' FROM "{meta.db_table}" ',
        insert=f'INSERT INTO "{meta.db_table}" ({", ".join(columns)}) VALUES ({", ".join(["%s"] * len(columns))})',
        update=f'UPDATE "{meta.db_table}" SET {assignments} WHERE "{key.column}" = %s',
        defaults=tuple((field.attname, field.get_default) for field in fields),
        readers=tuple((number, readers[type(f)]) for number, f in enumerate(fields) if type(f) in readers),
    )


def _column(field: Field[Any, Any]) -> _Column:
    kind = field.target_field if isinstance(field, ForeignKey) else field
    plain = next((plain for base, plain in _PLAIN.items() if isinstance(kind, base)), None)
    return _Column(field.attname, field, plain)


def values(sql: str, *params: Any, using: str) -> list[tuple[Any, ...]]:
    """The rows of a SELECT as they come."""
    return statements.rows(sql, params, using=using)


def value(sql: str, *params: Any, using: str) -> Any:
    """The first column of the only row."""
    return statements.rows(sql, params, using=using)[0][0]


def found(model: type[M], condition: str, *params: Any, using: str) -> list[M]:
    """The model's rows that meet a condition (WHERE, ORDER BY, LIMIT, FOR UPDATE), as instances that can be saved."""
    table = _table(model)
    rows = statements.rows(table.select + condition, params, using=using)
    return [_instance(model, table, row, using) for row in rows]


def _instance(model: type[M], table: _Table, row: tuple[Any, ...], using: str) -> M:
    """What `Model.from_db` gives, without its walk over fields and signals, which nobody here listens to."""
    instance = model.__new__(model)
    state = ModelState()
    state.adding, state.db = False, using
    instance._state = state
    members = vars(instance)
    members.update(zip(table.names, row, strict=True))
    for number, convert in table.readers:
        members[table.names[number]] = convert(row[number])
    return instance


def make(model: type[M], **given: Any) -> M:
    """A new row, unsaved: what `model(**given)` gives, without its walk over fields and signals."""
    instance = model.__new__(model)
    instance._state = ModelState()
    members = vars(instance)
    for name, default in _table(model).defaults:
        members[name] = given.pop(name) if name in given else default()
    for name, related in given.items():
        if name not in _relations(model):
            raise TypeError(f"{model.__name__} has no field {name}")
        setattr(instance, name, related)  # sets its column too
    return instance


@cache
def _relations(model: type[Model]) -> frozenset[str]:
    return frozenset(field.name for field in model._meta.concrete_fields if field.is_relation)


def insert(row: Model, *, using: str) -> None:
    """Add a row. A key that the database counts up stays unknown to the instance."""
    table = _table(type(row))
    statements.run(table.insert, _given(row, table.written, using), using=using)
    row._state.adding, row._state.db = False, using


def update(row: Model, *, using: str) -> None:
    """Write every column of a row that is there."""
    table = _table(type(row))
    statements.run(table.update, _given(row, table.changed, using), using=using)


def save(row: Model, *, using: str) -> None:
    """Update a row that was read; a new one is left to the ORM, which learns its key."""
    if row._state.adding:
        row.save(using=using)
    else:
        update(row, using=using)


def contents(row: Model) -> tuple[Any, ...]:
    """What the row holds, column by column: two of one row differ where it was changed between them."""
    return tuple(getattr(row, name) for name in _table(type(row)).names)


def _given(row: Model, columns: tuple[_Column, ...], using: str) -> list[Any]:
    """The values of a row as the database takes them."""
    given = []
    for attribute, field, plain in columns:
        held = getattr(row, attribute)
        is_plain = plain is not None and (held is None or type(held) is plain)
        given.append(held if is_plain else field.get_db_prep_save(held, connections[using]))
    return given


def _is_counted(field: Field[Any, Any]) -> bool:
    """Whether the database counts the field's values up."""
    return bool(getattr(field, "db_returning", False)) and field.primary_key


def _json(text: Any) -> Any:
    return json.loads(text) if isinstance(text, str) else text
