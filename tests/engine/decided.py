"""How a decision ended, and the inputs of a person's order and of a flatten."""

from __future__ import annotations

from typing import Any

from apps.engine.decide import decide, no_view
from apps.engine.decision import (
    SOURCE_FLATTEN,
    SOURCE_PERSON,
    Decision,
)
from apps.engine.reasons import Reason, Status
from tests.support.engine import (
    build_inputs,
    build_terms,
    holding,
)


def outcome(decision: Decision) -> tuple[Status, Reason]:
    return Status(decision.ints.status), Reason(decision.ints.reason)


def ends(**changes: Any) -> tuple[Status, Reason]:
    return outcome(decide(build_inputs(**changes)))


def person(lots: int, **changes: Any) -> dict[str, Any]:
    """Inputs of a person's order: no view."""
    record, arms, gates = no_view()
    terms = build_terms(source=SOURCE_PERSON, lots=lots)
    return {"view": record, "arms": arms, "gates": gates, "terms": terms, **changes}


def flatten(lots: int, **desk: int) -> dict[str, Any]:
    """Inputs of a confirmed flatten of what is held."""
    return {**person(0), "terms": build_terms(source=SOURCE_FLATTEN), "desk": holding(lots, **desk)}


# Every way to end.
