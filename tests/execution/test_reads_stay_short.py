"""What a decision reads does not grow with the orders of the past: the plans of its statements name narrow indexes."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection

from apps.execution import account, open_orders, order_desk, protective

PLANS = {
    "open orders": (open_orders._OPEN, "USING INDEX open_order_by_symbol"),
    "protective orders": ("SELECT * FROM execution_order " + protective._STANDING, "USING INDEX open_order_by_symbol"),
    "orders beside one that is placed": (order_desk._OPEN_TYPES, "USING INDEX open_order_by_symbol"),
    "highest equity": (account._HIGHEST, "(number>?)"),
    "last number": (account._NEWEST_ORDER, "USING COVERING INDEX"),
    "last attempt": (account._NEWEST_ATTEMPT, "(symbol=? AND bar_open_ms=?)"),
    "orders of a minute": (account._SENT, "(symbol=? AND decided_ts_ms>?)"),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_decision_reads_by_a_narrow_index(desk_db: Path, name: str) -> None:
    sql, expected = PLANS[name]
    plan = " | ".join(_plan(sql))
    assert expected in plan, plan
    assert "SCAN execution_order USING INDEX sqlite_autoindex" not in plan


def _plan(sql: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN QUERY PLAN " + sql, [1] * sql.count("%s"))
        return [row[3] for row in cursor.fetchall()]
