"""Has a breaker tripped between two decisions? The law of the decision, on the account at its marks alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from apps.engine.breakers import breakers_nb
from apps.engine.decision import INTS
from apps.engine.desk import UNKNOWN_MARK, DeskRecord, LimitRecord

MARK_KIND = "execution.breakers"
MARK_OUTPUTS: tuple[str, ...] = ("judged",)

_NO_DESK = DeskRecord(*(0,) * len(DeskRecord._fields))
_NO_LIMITS = LimitRecord(*(0,) * len(LimitRecord._fields))


class MarkInputs(NamedTuple):
    """What the breakers read; the fields of DeskRecord and LimitRecord of the same names.

    `is_unmarked`: something that is held has no mark now, so that nothing can be judged.
    """

    ts_ms: int
    equity_e8: int
    is_unmarked: int
    high_water_e8: int
    breaker_until_ms: int
    day_index: int
    day_start_e8: int
    is_day_latched: int
    peak_e8: int
    is_hard_latched: int
    max_drawdown_bps: int
    breaker_ms: int
    daily_loss_bps: int
    hard_drawdown_bps: int


class Judged(NamedTuple):
    """Where the breakers stand afterwards, and what moved on the way; columns of INTS of the same names."""

    high_water_e8: int
    breaker_until_ms: int
    is_tripped: int
    is_rearmed: int
    day_index: int
    day_start_e8: int
    is_day_latched: int
    is_day_tripped: int
    peak_e8: int
    is_hard_latched: int
    is_hard_tripped: int


def judge(inputs: MarkInputs) -> Judged:
    """Move the three breakers at a mark. An account that cannot be marked moves none."""
    given = inputs._asdict()
    desk = _NO_DESK._replace(
        **{name: value for name, value in given.items() if name in DeskRecord._fields},
        unknown=UNKNOWN_MARK if inputs.is_unmarked else 0,
    )
    limits = _NO_LIMITS._replace(**{name: value for name, value in given.items() if name in LimitRecord._fields})
    out = np.zeros(len(INTS), np.int64)
    breakers_nb(desk, limits, out)
    return Judged(*(int(out[getattr(INTS, name)]) for name in Judged._fields))


def mark_inputs_out(inputs: MarkInputs) -> dict[str, Any]:
    return _out(inputs._asdict())


def mark_outputs(judged: Judged) -> dict[str, Any]:
    return {"judged": _out(judged._asdict())}


def mark_replayed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs that recorded inputs give."""
    return mark_outputs(judge(MarkInputs(**{name: int(value) for name, value in fields.items()})))


def _out(fields: Mapping[str, int]) -> dict[str, Any]:
    return {name: str(value) if name.endswith("_e8") else value for name, value in fields.items()}
