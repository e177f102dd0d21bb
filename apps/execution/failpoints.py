"""Where can this process be made to die, so that a drill shows what survives?

TRADEDESK_FAILPOINT names one of FAILPOINTS, with `:n` the n-th passage; the process then ends as by `kill -9`. It is
read once, when the desk thread starts. While it is unset nothing is installed, so it costs nothing.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from typing import Any, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper

from apps.engine.errors import UnknownName

log = logging.getLogger(__name__)
VARIABLE = "TRADEDESK_FAILPOINT"
COMMIT = "COMMIT"


class Failpoint(NamedTuple):
    """A moment of a transaction: after the first statement that begins like one of these, or around its COMMIT."""

    statements: tuple[str, ...]
    is_before: bool = False


FAILPOINTS = {
    "locked": Failpoint(("SELECT execution_account.",)),
    "decided": Failpoint(("INSERT INTO execution_execution",), is_before=True),
    "execution-written": Failpoint(("INSERT INTO execution_execution",)),
    "order-written": Failpoint(("INSERT INTO execution_order",)),
    "fills-written": Failpoint(("INSERT INTO execution_fill",)),
    "book-written": Failpoint(("INSERT INTO execution_matchstate", "UPDATE execution_matchstate")),
    "position-written": Failpoint(("INSERT INTO execution_position", "UPDATE execution_position")),
    "account-written": Failpoint(("UPDATE execution_account",)),
    "usage-written": Failpoint(("INSERT INTO risk_symbolusage",)),
    "key-written": Failpoint(("INSERT INTO execution_idempotencykey",)),
    "record-written": Failpoint(("INSERT INTO audit_auditrecord",)),
    "head-written": Failpoint(("UPDATE audit_audithead",)),
    "before-commit": Failpoint((COMMIT,), is_before=True),
    "committed": Failpoint((COMMIT,)),
}


def arm_from_environment(connection: BaseDatabaseWrapper) -> None:
    """Arm what the environment asks for, on the connection that writes decisions."""
    asked = os.environ.get(VARIABLE)
    if asked:
        log.warning("failpoint %s is armed: this process will end there", asked)
        arm(connection, asked, lambda: os.kill(os.getpid(), signal.SIGKILL))


def arm(connection: BaseDatabaseWrapper, asked: str, act: Callable[[], None]) -> None:
    """Call `act` at the n-th passage of a failpoint, named as `name` or `name:n`. Raises UnknownName."""
    name, _, count = asked.partition(":")
    if name not in FAILPOINTS:
        raise UnknownName(f"there is no failpoint {name}; there are {', '.join(FAILPOINTS)}", field=VARIABLE)
    point, left = FAILPOINTS[name], [int(count or 1)]

    def reached(is_before: bool) -> None:
        if is_before == point.is_before:
            left[0] -= 1
            if left[0] == 0:
                act()

    if point.statements == (COMMIT,):
        _around_commit(connection, reached)
        return

    def watched(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if not sql.replace('"', "").startswith(point.statements):
            return execute(sql, params, many, context)
        reached(True)
        result = execute(sql, params, many, context)
        reached(False)
        return result

    connection.execute_wrappers.append(watched)


def _around_commit(connection: BaseDatabaseWrapper, reached: Callable[[bool], None]) -> None:
    commit = connection.commit

    def watched() -> None:
        reached(True)
        commit()
        reached(False)

    vars(connection)["commit"] = watched
