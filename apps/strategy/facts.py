"""What a fold depends on besides its bars: which arms are active and whether BOCPD runs, each from a bar on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from apps.engine.policies import arms
from apps.engine.values import IntArray1d
from apps.flags import selectors as flags
from apps.strategy.models import FoldControl

POLICIES_KEY = "policies.active"


class FoldFacts(NamedTuple):
    """The control facts of one bar. An arm that nobody ever disabled is active."""

    is_bocpd: bool = True
    disabled: frozenset[str] = frozenset()


class Stretch(NamedTuple):
    """Rows `first` to `last` (not included) of a block of bars, under equal facts."""

    first: int
    last: int
    facts: FoldFacts


def facts_of_controls(controls: Mapping[str, Any]) -> FoldFacts:
    """The facts as the controls have them now; the caller has read all of them at once."""
    return FoldFacts(bool(flags.flags_of_controls(controls)["BOCPD"]), disabled_of(controls))


def disabled_of(controls: Mapping[str, Any]) -> frozenset[str]:
    """The policies that a control switches off. One whose file is gone stays in it, and matters again with the file."""
    entry = controls.get(POLICIES_KEY)
    return frozenset() if entry is None else frozenset(name for name, is_on in entry.value.items() if not is_on)


def inactive_arms(disabled: Collection[str] = ()) -> IntArray1d:
    """1 for each arm that may not be chosen."""
    return np.array([int(policy.policy_id in disabled) for policy in arms()], np.int64)


def changes(before: FoldFacts, after: FoldFacts) -> list[tuple[str, str, int]]:
    """(kind, policy, value) of each row that tells how the facts changed."""
    found = [(FoldControl.ACTIVE, name, 0) for name in sorted(after.disabled - before.disabled)]
    found += [(FoldControl.ACTIVE, name, 1) for name in sorted(before.disabled - after.disabled)]
    if before.is_bocpd != after.is_bocpd:
        found.append((FoldControl.BOCPD, "", int(after.is_bocpd)))
    return found


def stretches(
    rows: Iterable[tuple[int, str, str, int]], opened_ms: IntArray1d, *, cuts: Collection[int] = ()
) -> list[Stretch]:
    """A block of bars cut where the facts change and at `cuts`; `rows` are (bar, kind, policy, value), oldest first."""
    facts, by_row = FoldFacts(), {0: FoldFacts()}
    for at_ms, kind, policy, value in rows:
        facts = _with(facts, kind, policy, value)
        by_row[int(np.searchsorted(opened_ms, at_ms))] = facts
    n = int(opened_ms.shape[0])
    edges = sorted({row for row in (*by_row, *cuts) if 0 <= row < n} | {n})
    found, facts = [], FoldFacts()
    for first, last in zip(edges[:-1], edges[1:], strict=True):
        facts = by_row.get(first, facts)
        found.append(Stretch(first, last, facts))
    return found


def _with(facts: FoldFacts, kind: str, policy: str, value: int) -> FoldFacts:
    if kind == FoldControl.BOCPD:
        return facts._replace(is_bocpd=bool(value))
    return facts._replace(disabled=facts.disabled - {policy} if value else facts.disabled | {policy})
