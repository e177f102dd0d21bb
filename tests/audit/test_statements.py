"""Ready statements: the same rows, the same errors and the same watchers as a cursor of Django's would have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.transaction import TransactionManagementError

from apps.audit import statements

USING = "default"
INSERT = "INSERT INTO audit_snapshot (hash, body) VALUES (%s, %s)"
SELECT = "SELECT hash, body FROM audit_snapshot ORDER BY hash"


def test_what_is_run_is_read_as_it_was_given(desk_db: Path) -> None:
    assert statements.first(SELECT, using=USING) is None and statements.rows(SELECT, using=USING) == []
    for name in ("b", "a"):
        statements.run(INSERT, (name, b"\x00'?%s"), using=USING)
    assert statements.rows(SELECT, using=USING) == [("a", b"\x00'?%s"), ("b", b"\x00'?%s")]
    assert statements.first(SELECT + " LIMIT %s", (1,), using=USING) == ("a", b"\x00'?%s")


def test_an_error_is_django_s_and_a_broken_transaction_is_not_written_on(desk_db: Path) -> None:
    with transaction.atomic():
        with pytest.raises(IntegrityError), transaction.atomic():
            statements.run(INSERT, ("a", b""), using=USING)
            statements.run(INSERT, ("a", b""), using=USING)
        assert statements.rows(SELECT, using=USING) == [], "the savepoint took both"
        transaction.set_rollback(True)
        with pytest.raises(TransactionManagementError):
            statements.run(INSERT, ("a", b""), using=USING)


def test_watchers_see_every_statement(desk_db: Path) -> None:
    seen: list[str] = []

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        statements.run(INSERT, ("a", b"x"), using=USING)
        assert statements.rows(SELECT, using=USING) == [("a", b"x")]
    statements.rows(SELECT, using=USING)
    assert seen == [INSERT, SELECT]


def test_a_closed_connection_is_opened(desk_db: Path) -> None:
    connection.close()
    assert statements.rows(SELECT, using=USING) == [] and connection.connection is not None
