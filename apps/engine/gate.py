"""The one gate every order passes: all guards run, the worst verdict wins."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from numba import njit

from apps.engine.desk import UNKNOWN_DATA, UNKNOWN_MARK, OrderRecord
from apps.engine.guards import GUARDS, Guard
from apps.engine.guards.base import ALLOW, DENY, HALT, REDUCE
from apps.engine.reasons import Reason
from apps.engine.values import IntArray2d

# By name, not by registration: a guard that imports another one must not move it.
GATE_GUARDS: tuple[Guard, ...] = tuple(sorted(GUARDS, key=lambda guard: guard.name))
N_GUARDS = len(GATE_GUARDS)
FINDING_WIDTH = 4
_NONE = int(Reason.NONE)
_DATA_STALE = int(Reason.DATA_STALE)


def compose_chain(guards: Iterable[Guard], *, is_cached: bool = False) -> Callable[..., Any]:
    """A kernel of explicit calls, one per guard, that writes each Finding as a row of `out`.

    Composed as source text because a kernel that loops over functions, or closes over them, is never cached. Only one
    chain may be cached: numba tells functions of one name apart by their byte code, which does not hold the guards.
    """
    namespace: dict[str, Any] = {"__name__": __name__}
    lines = ["def chain_nb(desk, order, limits, out):"]
    for row, guard in enumerate(guards):
        namespace[f"check_{row}"] = guard.check
        lines.append(f"    finding = check_{row}(desk, order, limits)")
        fields = ("verdict", "observed", "limit", "is_unknown")
        lines += [f"    out[{row}, {column}] = finding.{name}" for column, name in enumerate(fields)]
    exec(compile("\n".join(lines), __file__, "exec"), namespace)
    return njit(cache=is_cached, error_model="numpy", nogil=True)(namespace["chain_nb"])


chain_nb = compose_chain(GATE_GUARDS, is_cached=True)
_REASONS = tuple(int(guard.reason) for guard in GATE_GUARDS)
_REDUCE_REASONS = tuple(int(guard.reduce_reason) for guard in GATE_GUARDS)


@njit(cache=True, error_model="numpy", nogil=True)
def worst_row_nb(order: OrderRecord, findings: IntArray2d) -> int:
    """The row with the worst verdict that blocks this order; -1 when none does.

    Among equals a guard that could read its inputs goes before one that could not, then the name decides.
    """
    worst, worst_row = ALLOW, -1
    for row in range(findings.shape[0]):
        verdict = findings[row, 0]
        is_blocking = (
            verdict == DENY
            or (verdict == REDUCE and order.reduces_risk == 0)
            or (verdict == HALT and order.is_flatten == 0)
        )
        is_clearer = verdict == worst and findings[worst_row, 3] == 1 and findings[row, 3] == 0
        if is_blocking and (verdict > worst or is_clearer):
            worst, worst_row = verdict, row
    return worst_row


@njit(cache=True, error_model="numpy", nogil=True)
def gate_nb(desk: Any, order: OrderRecord, limits: Any, out: IntArray2d) -> tuple[int, int]:
    """(is_blocked, reason), with every guard's Finding as a row of `out`."""
    chain_nb(desk, order, limits, out)
    row = worst_row_nb(order, out)
    if row < 0:
        return 0, _NONE
    if out[row, 0] == DENY and out[row, 3] == 1 and desk.unknown & (UNKNOWN_MARK | UNKNOWN_DATA):
        return 1, _DATA_STALE  # what every cap lacks then is a price
    return 1, (_REDUCE_REASONS[row] if out[row, 0] == REDUCE else _REASONS[row])
