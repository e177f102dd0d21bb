"""How does a table refuse every change but appending, on SQLite and on PostgreSQL?

The triggers stop mistakes and plain SQL, not somebody who may drop triggers: that is what the hash chain and the
checkpoints outside the database are for. SQLite's REPLACE deletes without firing delete triggers unless
`recursive_triggers` is on, so an insert that meets an existing key is refused as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import RunPython


def append_only(table: str, unique_columns: Sequence[str] = ("id",)) -> RunPython:
    """The migration operation that makes a table append-only; reversing it drops the triggers."""

    def forward(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
        for statement in create_statements(schema_editor.connection.vendor, table, unique_columns):
            schema_editor.execute(statement, params=None)

    def backward(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
        for statement in drop_statements(schema_editor.connection.vendor, table):
            schema_editor.execute(statement, params=None)

    return RunPython(forward, backward)


def create_statements(vendor: str, table: str, unique_columns: Sequence[str]) -> list[str]:
    if vendor == "postgresql":
        return _postgresql_create(table)
    exists = " OR ".join(f"{column} = NEW.{column}" for column in unique_columns)
    return [
        _sqlite_trigger(table, "update", f"BEFORE UPDATE ON {table}"),
        _sqlite_trigger(table, "delete", f"BEFORE DELETE ON {table}"),
        _sqlite_trigger(
            table, "replace", f"BEFORE INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE {exists})"
        ),
    ]


def drop_statements(vendor: str, table: str) -> list[str]:
    if vendor == "postgresql":
        return [
            f"DROP TRIGGER IF EXISTS {table}_no_change ON {table}",
            f"DROP TRIGGER IF EXISTS {table}_no_truncate ON {table}",
            f"DROP FUNCTION IF EXISTS {table}_refuse()",
        ]
    return [f"DROP TRIGGER IF EXISTS {table}_no_{word}" for word in ("update", "delete", "replace")]


def _sqlite_trigger(table: str, word: str, event: str) -> str:
    return f"CREATE TRIGGER {table}_no_{word} {event} BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"


def _postgresql_create(table: str) -> list[str]:
    return [
        f"CREATE FUNCTION {table}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$",
        f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION {table}_refuse()",
        f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_refuse()",
    ]
