"""All guards run, the worst verdict wins, and a guard that joins is asked like the others."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from numba import njit

from apps.engine.errors import UnknownName
from apps.engine.gate import FINDING_WIDTH, GATE_GUARDS, N_GUARDS, compose_chain, gate_nb, worst_row_nb
from apps.engine.guards import GUARDS, Guard
from apps.engine.guards.base import ALLOW, DENY, HALT, REDUCE, Finding
from apps.engine.reasons import Reason
from tests.support.engine import build_desk, build_limits, build_order, holding

OPENS = build_order()
LOWERS = build_order(side=-1, reduces_risk=1)
FLATTENS = build_order(side=-1, reduces_risk=1, is_flatten=1)


def findings_of(*verdicts: int) -> np.ndarray:
    rows = np.zeros((len(verdicts), FINDING_WIDTH), np.int64)
    rows[:, 0] = verdicts
    return rows


def gate(desk, order, limits) -> tuple[int, Reason, np.ndarray]:
    findings = np.full((N_GUARDS, FINDING_WIDTH), -7, np.int64)
    is_blocked, reason = gate_nb(desk, order, limits, findings)
    return is_blocked, Reason(reason), findings


@pytest.mark.parametrize(
    ("verdict", "opens", "lowers", "flattens"),
    [(ALLOW, False, False, False), (REDUCE, True, False, False), (DENY, True, True, True), (HALT, True, True, False)],
)
def test_what_each_verdict_blocks(verdict: int, opens: bool, lowers: bool, flattens: bool) -> None:
    blocked = [worst_row_nb(order, findings_of(verdict)) == 0 for order in (OPENS, LOWERS, FLATTENS)]
    assert blocked == [opens, lowers, flattens]


def test_the_worst_verdict_wins_in_any_order() -> None:
    for verdicts in permutations((ALLOW, REDUCE, DENY, HALT)):
        assert verdicts[worst_row_nb(OPENS, findings_of(*verdicts))] == HALT
        assert verdicts[worst_row_nb(FLATTENS, findings_of(*verdicts))] == DENY


def test_the_outcome_does_not_depend_on_the_order_of_guards() -> None:
    for verdicts in product((ALLOW, REDUCE, DENY, HALT), repeat=3):
        for order in (OPENS, LOWERS, FLATTENS):
            worst = set()
            for shuffled in permutations(verdicts):
                row = worst_row_nb(order, findings_of(*shuffled))
                worst.add(shuffled[row] if row >= 0 else ALLOW)
            assert len(worst) == 1


def test_of_equal_verdicts_the_first_by_name_gives_the_reason() -> None:
    assert worst_row_nb(OPENS, findings_of(ALLOW, DENY, DENY)) == 1
    assert worst_row_nb(OPENS, findings_of()) == -1


def test_all_guards_run_even_when_the_first_refuses() -> None:
    """Both caps, the minimum notional and the throttle refuse; every row is written."""
    desk = build_desk(orders_last_minute=6)
    limits = build_limits(max_notional_e8=1, symbol_notional_cap_e8=1, min_notional_e8=10**15)
    is_blocked, reason, findings = gate(desk, OPENS, limits)
    denied = [guard.name for guard, row in zip(GATE_GUARDS, findings, strict=True) if row[0] == DENY]
    assert denied == ["global_cap", "min_notional", "order_rate", "symbol_cap"]
    assert (is_blocked, reason) == (1, Reason.GLOBAL_CAP) and not (findings == -7).any()


def test_a_halt_outranks_a_cap_and_a_cap_outranks_a_reduction() -> None:
    limits = build_limits(symbol_notional_cap_e8=1)
    assert gate(build_desk(trading_state=2), OPENS, limits)[:2] == (1, Reason.TRADING_HALTED)
    assert gate(build_desk(trading_state=1), OPENS, limits)[:2] == (1, Reason.SYMBOL_CAP)


def test_a_reduction_is_named_by_who_asked_for_it() -> None:
    assert gate(build_desk(trading_state=1), OPENS, build_limits())[1] == Reason.REDUCE_ONLY
    assert gate(build_desk(equity_e8=9 * 10**13), OPENS, build_limits())[1] == Reason.DRAWDOWN
    assert gate(holding(2_000, trading_state=1), LOWERS, build_limits())[:2] == (0, Reason.NONE)


@njit
def never_nb(desk, order, limits) -> Finding:
    return Finding(DENY, order.lots, 3, 1)


NEVER = Guard("never", Reason.KILL_SWITCH, "lots", never_nb, "Refuses everything.")


def test_a_chain_is_composed_of_the_guards_it_is_given() -> None:
    chosen = [NEVER, GUARDS.get("stale_data"), GUARDS.get("symbol_cap")]
    out = np.zeros((3, FINDING_WIDTH), np.int64)
    compose_chain(chosen)(build_desk(), OPENS, build_limits(), out)
    assert out.tolist() == [[DENY, 1_000, 3, 1], [ALLOW, 100, 5_000, 0], [ALLOW, 60_000_000_000, 10**13, 0]]


def test_two_chains_of_equal_length_keep_their_own_guards() -> None:
    """Their byte code is the same, so a shared cache would answer with the first one's guards."""
    desk, limits, out = build_desk(), build_limits(), np.zeros((1, FINDING_WIDTH), np.int64)
    observed = []
    for name in ("stale_data", "symbol_cap", "stale_data"):
        compose_chain([GUARDS.get(name)])(desk, OPENS, limits, out)
        observed.append(int(out[0, 1]))
    assert observed == [100, 60_000_000_000, 100]


def test_duplicates_and_unknown_names_raise() -> None:
    with pytest.raises(ValueError, match="registered twice"):
        GUARDS.register(GUARDS.get("symbol_cap"))
    with pytest.raises(UnknownName):
        GUARDS.get("no_such_guard")
