"""What came of one decision, in counts of 1e-8 whatever its ticks and lots were, and what its fills are worth later."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from apps.engine.decide import decide_nb
from apps.engine.decision import INTS, DecisionInputs, Workspace, workspace
from apps.engine.values import E8
from apps.execution.spans import FillRow


class Filled(NamedTuple):
    """One fill; `side` is +1 or -1. A fee is in quote, or in base where `is_base_fee`."""

    side: int
    price_e8: int
    quantity_e8: int
    notional_e8: int
    fee_e8: int
    is_base_fee: bool

    @property
    def cash_e8(self) -> int:
        """The change of cash."""
        return -self.side * self.notional_e8 - (0 if self.is_base_fee else self.fee_e8)

    @property
    def held_e8(self) -> int:
        """The change of what is held."""
        return self.side * self.quantity_e8 - (self.fee_e8 if self.is_base_fee else 0)

    def worth_e16(self, mark_e8: int) -> int:
        """What the fill has changed in the account at a later price, in counts of 1e-16: no digit is lost."""
        return self.cash_e8 * E8 + self.held_e8 * mark_e8


class Outcome(NamedTuple):
    """How a decision ended. Two are the same decision and the same order exactly when they are equal."""

    status: int
    reason: int
    arm: int
    side: int
    sent_e8: int
    fills: tuple[Filled, ...]

    def worth_e16(self, mark_e8: int) -> int:
        return sum(fill.worth_e16(mark_e8) for fill in self.fills)


NOTHING = Outcome(0, 0, -1, 0, 0, ())


@cache
def work_of(n_arms: int) -> Workspace:
    """One workspace per number of arms: each decision clears it."""
    return workspace(n_arms)


def decide_into(inputs: DecisionInputs) -> Workspace:
    """Decide, and leave everything in the workspace that it answers."""
    assert inputs.placing is None
    w = work_of(inputs.arms.shape[1])
    decide_nb(
        inputs.view, inputs.arms, inputs.gates, inputs.desk, inputs.limits, inputs.terms, inputs.params,
        inputs.arrival, inputs.bids, inputs.asks, inputs.draw.u, w,
    )  # fmt: skip
    return w


def outcome_of(inputs: DecisionInputs, w: Workspace) -> Outcome:
    """What stands in the workspace after the decision on `inputs`."""
    out, rules = w.out_i, inputs.filters
    side = int(out[INTS.side])
    is_base = bool(inputs.terms.is_fee_in_base) and side > 0
    fills = tuple(
        Filled(side, ticks * rules.tick_e8, lots * rules.step_e8, ticks * lots * rules.unit_e8, fee_e8, is_base)
        for ticks, lots, fee_e8 in w.fills[: int(out[INTS.n_fills])].tolist()
    )
    sent_e8 = int(out[INTS.sent_lots]) * rules.step_e8
    return Outcome(int(out[INTS.status]), int(out[INTS.reason]), int(out[INTS.arm]), side, sent_e8, fills)


def decided(inputs: DecisionInputs) -> Outcome:
    """The outcome of a decision on these inputs."""
    return outcome_of(inputs, decide_into(inputs))


def filled_of(rows: Iterable[FillRow]) -> tuple[Filled, ...]:
    """Fills as the book has them."""
    return tuple(
        Filled(
            1 if row.side == "BUY" else -1, row.price_e8, row.quantity_e8, row.notional_e8, row.fee_e8,
            row.fee_asset == "base",
        )
        for row in rows
    )  # fmt: skip
