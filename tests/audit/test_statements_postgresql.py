"""On PostgreSQL ready statements are planned once, whatever the size of their numbers, and writes travel together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import IntegrityError, connections, transaction

from apps.audit import statements
from tests.support.engines import database
from tradedesk import settings

INSERT = "INSERT INTO fact (id, n, text) VALUES (%s, %s, %s)"
SELECT = "SELECT id, n FROM fact WHERE n >= %s ORDER BY id"
PREPARED = "SELECT statement FROM pg_prepared_statements WHERE statement LIKE %s"


@pytest.fixture(scope="module")
def server(django_db_blocker: Any) -> Iterator[str]:
    """The alias of a database with the desk's own options."""
    with database("postgresql") as (_, url), pytest.MonkeyPatch.context() as patch, django_db_blocker.unblock():
        patch.setenv("DATABASE_URL", url)
        connections.databases["pg"] = {**connections.databases["default"], **settings._databases()["default"]}
        with connections["pg"].cursor() as cursor:
            cursor.execute("CREATE TABLE fact (id bigint PRIMARY KEY, n integer, text text)")
        yield "pg"
        connections["pg"].close()
        connections["pg"].close_pool()  # type: ignore[attr-defined]  # psycopg's
        del connections["pg"], connections.databases["pg"]


@pytest.fixture
def pg(server: str, django_db_blocker: Any) -> Iterator[str]:
    with django_db_blocker.unblock():
        yield server
        statements.run("DELETE FROM fact", using=server)


def prepared(like: str, using: str) -> list[str]:
    return [row[0] for row in statements.rows(PREPARED, (like,), using=using)]


def test_small_and_large_numbers_are_one_prepared_statement(pg: str) -> None:
    for number in (1, 70_000, 2**40):
        statements.run(INSERT, (number, min(number, 2**31 - 1), "x"), using=pg)
        assert statements.rows(SELECT, (number,), using=pg) == ([(number, number)] if number < 2**31 else [])
    assert len(prepared("INSERT INTO fact%", pg)) == len(prepared("SELECT id, n FROM fact%", pg)) == 1


def test_what_travels_together_is_read_in_between(pg: str) -> None:
    with transaction.atomic(using=pg):
        with statements.together(using=pg):
            statements.run(INSERT, (1, 10, "a"), using=pg)
            statements.run(INSERT, (2, 20, "b"), using=pg)
            assert statements.rows(SELECT, (0,), using=pg) == [(1, 10), (2, 20)]
            statements.run(INSERT, (3, 30, "c"), using=pg)
        assert [row[0] for row in statements.rows(SELECT, (0,), using=pg)] == [1, 2, 3]
    connections[pg].close()
    assert len(statements.rows(SELECT, (0,), using=pg)) == 3, "committed"


def test_an_error_on_the_way_is_django_s_and_takes_the_transaction_with_it(pg: str) -> None:
    with pytest.raises(IntegrityError), transaction.atomic(using=pg), statements.together(using=pg):
        statements.run(INSERT, (1, 10, "a"), using=pg)
        statements.run(INSERT, (1, 10, "a"), using=pg)
        statements.run(INSERT, (2, 20, "b"), using=pg)
    assert statements.rows(SELECT, (0,), using=pg) == []
    statements.run(INSERT, (2, 20, "b"), using=pg)
    assert statements.rows(SELECT, (0,), using=pg) == [(2, 20)], "the connection goes on"
