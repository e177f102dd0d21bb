"""Policies that break the contract, each in its own way and quietly: material of the tests of check_policy."""

from __future__ import annotations

import numpy as np
from numba import njit

from apps.engine.policies import POLICIES, UPDATE_SIGNATURE, Bar, Parameter, Policy, python_policy, unconstrained
from apps.engine.values import Array1d

NEXT_CLOSE: dict[float, float] = {}
LAST_CLOSES: list[float] = [0.0]
COUNTS: list[float] = [0.0]
SPARE = Parameter("spare", "float", 0.5, 0.0, 1.0, "linear", "Not used.")


def plain(policy_id: str, update: object) -> None:
    POLICIES.register(
        python_policy(
            policy_id=policy_id,
            summary="Planted.",
            parameters=(SPARE,),
            init=lambda values: np.zeros(2),
            update=update,  # type: ignore[arg-type]
            warm_up=lambda values: 1,
        )
    )


def looks_ahead(state: Array1d, bar: Bar) -> float:
    """Remembers in a global what followed each close, and knows it when the same bars come again."""
    NEXT_CLOSE[LAST_CLOSES[0]] = bar.close
    LAST_CLOSES[0] = bar.close
    return 1.0 if NEXT_CLOSE.get(bar.close, 0.0) > bar.close else 0.0


def hides_state(state: Array1d, bar: Bar) -> float:
    """Counts outside its state: right as long as one market is run from the start, once."""
    COUNTS[0] = COUNTS[0] + 1.0 if state[0] > 0.0 else 1.0
    state[0] = 1.0
    return float(COUNTS[0] % 5.0 / 5.0)


def depends_on_hashes(state: Array1d, bar: Bar) -> float:
    """The order of a set of texts differs from process to process."""
    return 1.0 / (1.0 + "abcdefghijklmnop".index(next(iter(set("abcdefghijklmnop")))))


def is_unbounded(state: Array1d, bar: Bar) -> float:
    state[0] += 1.0
    return float(state[0] / 1_000.0)


def is_nan(state: Array1d, bar: Bar) -> float:
    return float(np.log(np.float64(bar.close)) - np.log(np.float64(bar.close))) if bar.volume > 0.0 else float("nan")


def raises(state: Array1d, bar: Bar) -> float:
    return 1.0 / (1.0 if bar.volume else 0)


def reads_the_clock(state: Array1d, bar: Bar) -> float:
    """Changes its mind every nine years: no two runs of one day can tell."""
    return 1.0 / (1.0 + __builtins__["__import__"]("time").time() // 3e8)  # type: ignore[index]


@njit(UPDATE_SIGNATURE, cache=True, error_model="numpy", nogil=True)
def is_slow_nb(
    params: Array1d, state: Array1d, open_: float, high: float, low: float, close: float, volume: float
) -> float:
    total = close
    for step in range(5_000):
        total = total * 0.999 + step / total
    state[0] = total
    return 1.0 if total > close else 0.0


for name, update in (
    ("looks_ahead", looks_ahead),
    ("hides_state", hides_state),
    ("depends_on_hashes", depends_on_hashes),
    ("reads_the_clock", reads_the_clock),
    ("is_unbounded", is_unbounded),
    ("is_nan", is_nan),
    ("raises", raises),
):
    plain(name, update)
POLICIES.register(
    Policy(
        policy_id="is_slow",
        summary="Planted.",
        parameters=(SPARE,),
        constraint=unconstrained,
        warm_up=lambda values: 1,
        init=lambda values: (np.zeros(1), np.zeros(1)),
        update_nb=is_slow_nb,
    )
)
