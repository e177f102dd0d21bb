"""Rows of the decision path by statements whose text is ready: the ORM would compose each of them anew every time.

Columns and conversions come from the models, so that a changed model changes them too. Conditions are given as SQL
with %s for values, which both databases read alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
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


class _Columns(NamedTuple):
    """The columns that a statement sends. `plain`: the types of rows that were found to need no conversion."""

    all: tuple[_Column, ...]
    get: Callable[[Model], tuple[Any, ...]]
    plain: set[tuple[type, ...]]


class _Table(NamedTuple):
    """What a model's statements are made of."""

    names: tuple[str, ...]
    contents: Callable[[Model], tuple[Any, ...]]
    written: _Columns
    changed: _Columns
    select: str
    insert: str
    update: str
    constants: dict[str, Any]
    defaults: tuple[tuple[str, Callable[[], Any]], ...]
    readers: tuple[tuple[str, Callable[[Any], Any]], ...]


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
        contents=attrgetter(*(field.attname for field in fields)),
        written=_columns(written),
        changed=_columns((*changed, key)),
        select="SELECT " + ", ".join(f'"{meta.db_table}"."{f.column}"' for f in fields) + f' FROM "{meta.db_table}" ',
        insert=f'INSERT INTO "{meta.db_table}" ({", ".join(columns)}) VALUES ({", ".join(["%s"] * len(columns))})',
        update=f'UPDATE "{meta.db_table}" SET {assignments} WHERE "{key.column}" = %s',
        constants={field.attname: field.get_default() for field in fields if not callable(field.default)},
        defaults=tuple((field.attname, field.get_default) for field in fields if callable(field.default)),
        readers=tuple((field.attname, readers[type(field)]) for field in fields if type(field) in readers),
    )


def _columns(fields: Sequence[Field[Any, Any]]) -> _Columns:
    return _Columns(tuple(map(_column, fields)), attrgetter(*(field.attname for field in fields)), set())


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
    for name, convert in table.readers:
        members[name] = convert(members[name])
    return instance


def make(model: type[M], **given: Any) -> M:
    """A new row, unsaved: what `model(**given)` gives, without its walk over fields and signals."""
    instance = model.__new__(model)
    instance._state = ModelState()
    table, members, relations = _table(model), vars(instance), _relations(model)
    members.update(table.constants)
    for name, default in table.defaults:
        if name not in given:
            members[name] = default()
    for name, value in given.items():
        if name in relations:
            relate(instance, name, value)
        elif name in table.names:
            members[name] = value
        else:
            raise TypeError(f"{model.__name__} has no field {name}")
    return instance


def relate(row: Model, name: str, related: Model) -> None:
    """What `row.name = related` does, without its look at routers and caches that cannot be there."""
    column, target = _relations(type(row))[name]
    vars(row)[column] = vars(related)[target]
    row._state.fields_cache[name] = related


@cache
def _relations(model: type[Model]) -> dict[str, tuple[str, str]]:
    """Per foreign key its column here and the one it names there."""
    keys = (field for field in model._meta.concrete_fields if isinstance(field, ForeignKey))
    return {field.name: (field.attname, field.target_field.attname) for field in keys}


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
    return _table(type(row)).contents(row)


def _given(row: Model, columns: _Columns, using: str) -> Sequence[Any]:
    """The values of a row as the database takes them."""
    held = columns.get(row)
    kinds = tuple(map(type, held))
    if kinds in columns.plain:
        return held
    taken = zip(columns.all, held, strict=True)
    is_plain = [plain is not None and (value is None or type(value) is plain) for (_, _, plain), value in taken]
    if all(is_plain):
        columns.plain.add(kinds)
        return held
    connection = connections[using]
    return [
        value if is_ready else column.field.get_db_prep_save(value, connection)
        for column, value, is_ready in zip(columns.all, held, is_plain, strict=True)
    ]


def _is_counted(field: Field[Any, Any]) -> bool:
    """Whether the database counts the field's values up."""
    return bool(getattr(field, "db_returning", False)) and field.primary_key


def _json(text: Any) -> Any:
    return json.loads(text) if isinstance(text, str) else text
