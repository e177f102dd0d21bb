"""Which share of a decision would a live venue get? The rungs of the ladder."""

from __future__ import annotations

from typing import NamedTuple

from apps.engine.errors import InvalidInput

BPS = 10_000


class Rung(NamedTuple):
    """One step of the ladder: its state's name and the weight in basis points. Weights are unique, names are not."""

    state: str
    weight_bps: int


DISABLED = Rung("disabled", 0)
RUNGS = (DISABLED, Rung("canary", 100), Rung("partial", 1_000), Rung("partial", 2_500), Rung("live", 10_000))


def rung_of(weight_bps: int) -> Rung:
    """The rung of a weight. Raises InvalidInput for a weight between rungs."""
    for rung in RUNGS:
        if rung.weight_bps == weight_bps:
            return rung
    weights = ", ".join(str(rung.weight_bps) for rung in RUNGS)
    raise InvalidInput(f"must be one of {weights} basis points", field="weight")
