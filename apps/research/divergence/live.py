"""The live side: what the desk did in the span, from its records and rows, in the order it happened."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from apps.audit import selectors as audit
from apps.engine.decision import DecisionInputs
from apps.engine.record import inputs_back
from apps.execution.spans import DecisionRow, FillRow, decisions_between, fills_between
from apps.research.divergence.request import Span

PAGE = 200
ROUTER = "router"


class LiveDecision(NamedTuple):
    """One decision of the autopilot with everything it was taken on; `fills` are the rows that it left."""

    row: DecisionRow
    inputs: DecisionInputs
    policies: tuple[str, ...]
    engine: str
    fills: tuple[FillRow, ...]


class LiveEvent(NamedTuple):
    """Something a backtest does not do: an order of a person, a fill of a resting order, a protective exit.

    Accounts move in the order of `sequence`.
    """

    ts_ms: int
    sequence: int
    symbol: str
    origin: str
    actor: str
    what: str
    audit_id: str
    fills: tuple[FillRow, ...]


class Live(NamedTuple):
    """The rows of the span; decisions are read from their records when they are asked for."""

    rows: list[DecisionRow]
    fills: dict[str, list[FillRow]]

    @property
    def own(self) -> list[DecisionRow]:
        """What the autopilot decided: at most one decision per symbol and bar."""
        return [row for row in self.rows if is_own(row)]


def is_own(row: DecisionRow) -> bool:
    return row.source == ROUTER and row.attempt == 0


def live_of(span: Span) -> Live:
    """Everything that happened from the close of the first bar on."""
    fills: dict[str, list[FillRow]] = defaultdict(list)
    for row in fills_between(span.epoch.number, span.start_ms, span.end_ms):
        fills[row.audit_id].append(row)
    return Live(decisions_between(span.epoch.number, span.start_ms, span.end_ms), fills)


def first_decisions(live: Live) -> dict[str, DecisionInputs]:
    """The inputs of each symbol's first own decision."""
    first: dict[str, DecisionRow] = {}
    for row in live.own:
        first.setdefault(row.symbol, row)
    return {one.row.symbol: one.inputs for one in decisions(live, list(first.values()))}


def decisions(live: Live, rows: list[DecisionRow]) -> Iterator[LiveDecision]:
    """The decisions behind rows, page by page."""
    for start in range(0, len(rows), PAGE):
        page = rows[start : start + PAGE]
        records = audit.audit_many([row.audit_id for row in page])
        for row in page:
            body: dict[str, Any] = orjson.loads(records[row.audit_id].body)
            inputs, view = inputs_back(body["inputs"], _snapshot)
            policies = view.policies if view is not None else ()
            yield LiveDecision(
                row, inputs, policies, body["versions"]["engine"], tuple(live.fills.get(row.audit_id, ()))
            )


def events(live: Live) -> list[LiveEvent]:
    """Orders and fills that no decision of the autopilot made. A decision of a person that sent nothing is none."""
    own = {row.audit_id for row in live.own}
    others = {row.audit_id: row for row in live.rows if row.audit_id not in own}
    found = [
        _asked(row, audit_id, tuple(live.fills.get(audit_id, ())))
        for audit_id, row in others.items()
        if row.status not in {"no_trade", "blocked", "rejected"}
    ]
    for audit_id, rows in live.fills.items():
        if audit_id not in own and audit_id not in others:
            found.append(_followed(audit_id, tuple(rows)))
    return sorted(found, key=lambda event: event.sequence)


def _asked(row: DecisionRow, audit_id: str, fills: tuple[FillRow, ...]) -> LiveEvent:
    actor = audit.audit_get(audit_id).actor
    what = {"person": "an order", "flatten": "a flatten"}.get(row.source, "a decision of the router on request")
    return LiveEvent(row.ts_ms, row.audit_sequence, row.symbol, row.source, actor, what, audit_id, fills)


def _followed(audit_id: str, fills: tuple[FillRow, ...]) -> LiveEvent:
    record, first = audit.audit_get(audit_id), fills[0]
    what = "a protective order filled" if first.origin == "protective" else "an open order filled"
    return LiveEvent(first.ts_ms, record.sequence, first.symbol, first.origin, record.actor, what, audit_id, fills)


@lru_cache(maxsize=64)
def _snapshot(digest: str) -> bytes:
    # Settings are the same for most decisions; views come once each.
    return audit.snapshot_get(digest)
