"""What a decision leaves behind: its inputs as JSON values and back, and its replay. The outputs: sections.py.

Floats are `float.hex()` text and counts of 1e-8 are digits, so a record survives any JSON reader bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np

from apps.engine.codec import MAX_INTEGER, canonical_bytes, float_from, float_text, parse_canonical, sha256_hex
from apps.engine.decide import decide, no_view
from apps.engine.decision import ArrivalRecord, Decision, DecisionInputs, Draw, TermsRecord
from apps.engine.desk import DeskRecord, LimitRecord
from apps.engine.marked import MARK_KIND, MARK_OUTPUTS, mark_replayed
from apps.engine.order_record import (
    MATCH_OUTPUTS,
    ledger_back,
    ledger_out,
    match,
    match_inputs_back,
    match_outputs,
    placing_back,
    placing_out,
)
from apps.engine.protection import PROTECT_KIND, PROTECT_OUTPUTS, protect_replayed
from apps.engine.rng import philox_uniform_nb
from apps.engine.router import RouterParams
from apps.engine.sections import (
    ARM_NAMES,
    OUTPUT_SECTIONS,
    PLACED_SECTIONS,
    SOURCES,
    average_price_e8,
    context_section,
    null_reasons,
    sections,
)
from apps.engine.values import Filters, IntArray2d
from apps.engine.view import View, view_from_snapshot

__all__ = [
    "ARM_NAMES",
    "OUTPUT_SECTIONS",
    "SOURCES",
    "Difference",
    "as_recorded",
    "average_price_e8",
    "context_section",
    "inputs_back",
    "inputs_out",
    "inputs_whole",
    "null_reasons",
    "replay",
    "sections",
    "settings_bytes",
]


TOP_LEVELS = 3
_TEXTS = ("_e8", "_id")  # how the names of money and ids end
_MOST_SETTINGS = 256
MATCH_KIND = "execution.fill"


class Difference(NamedTuple):
    """One place where a recomputed record is not the recorded one."""

    path: str
    recorded: Any
    recomputed: Any


@cache
def _float_names(kind: Any) -> frozenset[str]:
    # Annotations are text here, or a reference that holds the text.
    return frozenset(name for name, annotation in kind.__annotations__.items() if "float" in str(annotation))


@cache
def _columns(kind: Any) -> tuple[tuple[str, bool, bool], ...]:
    """Name, whether it is a float, and whether it is always text, of every field."""
    floats = _float_names(kind)
    return tuple((name, name in floats, name.endswith(_TEXTS)) for name in kind._fields)


def _out(record: Any) -> dict[str, Any]:
    """The fields of a record. A count of 0 is left out: most are, and 20 guards' inputs would swell every record."""
    fields: dict[str, Any] = {}
    for (name, is_float, is_text), value in zip(_columns(record.__class__), record, strict=True):
        if is_float:
            fields[name] = float_text(value)
        elif value != 0:
            fields[name] = str(int(value)) if is_text else _int_out(int(value))
    return fields


def _int_out(value: int) -> int | str:
    """A number, as text where JSON readers would lose digits. Money and ids are always text."""
    return value if -MAX_INTEGER <= value <= MAX_INTEGER else str(value)


def _back(kind: Any, fields: dict[str, Any]) -> Any:
    floats = _float_names(kind)
    return kind(**{name: float_from(text) if name in floats else int(text) for name, text in fields.items()})


def _levels(rows: IntArray2d) -> list[list[int | str]]:
    return [[_int_out(ticks), _int_out(lots)] for ticks, lots in rows.tolist()]


def _levels_back(rows: list[list[int | str]]) -> IntArray2d:
    return np.array([[int(count) for count in row] for row in rows], np.int64).reshape(len(rows), 2)


def as_recorded(inputs: DecisionInputs, decision: Decision) -> DecisionInputs:
    """The inputs worth keeping: where no order walked the book, its top is all that was read; a placed one brings its
    own."""
    if decision.ints.sent_lots > 0 and inputs.placing is None:
        return inputs
    return replace(inputs, bids=inputs.bids[:TOP_LEVELS], asks=inputs.asks[:TOP_LEVELS])


def settings_bytes(inputs: DecisionInputs) -> bytes:
    """What seldom changes between decisions, as the snapshot that their records name: limits, router, filters."""
    return _settings(inputs.limits, inputs.params, inputs.filters)[0]


@lru_cache(maxsize=_MOST_SETTINGS)
def _settings(limits: LimitRecord, params: RouterParams, filters: Filters) -> tuple[bytes, str]:
    """The bytes and their hash, made once for as long as the three stay the same."""
    body = canonical_bytes({"limits": _out(limits), "router": _out(params), "filters": _out(filters)})
    return body, sha256_hex(body)


def inputs_out(inputs: DecisionInputs) -> dict[str, Any]:
    """The inputs of a decision as JSON values; the view and the settings are named by the hash of their snapshots."""
    return {
        "symbol": inputs.symbol,
        "snapshot": inputs.snapshot,
        "settings": _settings(inputs.limits, inputs.params, inputs.filters)[1],
        "desk": _out(inputs.desk),
        "terms": _out(inputs.terms),
        "arrival": _out(inputs.arrival),
        "draw": _out(inputs.draw),
        "book_seen": {
            "ts_ms": inputs.seen_ts_ms,
            "bids": _levels(inputs.seen_bids),
            "asks": _levels(inputs.seen_asks),
        },
        "book_arrival": {
            "ts_ms": inputs.arrival_ts_ms,
            "bids": _levels(inputs.bids),
            "asks": _levels(inputs.asks),
        },
        **({"taken": ledger_out(inputs.ledger)} if inputs.ledger is not None and inputs.ledger.levels else {}),
        **({"placing": placing_out(inputs.placing)} if inputs.placing is not None else {}),
    }


_SECTIONS: dict[str, Any] = {
    "desk": DeskRecord,
    "limits": LimitRecord,
    "terms": TermsRecord,
    "router": RouterParams,
    "arrival": ArrivalRecord,
    "filters": Filters,
    "draw": Draw,
}


def inputs_whole(fields: dict[str, Any], load_snapshot: Callable[[str], bytes]) -> dict[str, Any]:
    """Recorded inputs with their settings and with the zeros that were left out."""
    whole = {**parse_canonical(load_snapshot(fields["settings"])), **fields}
    zeros = {name: dict.fromkeys(kind._fields, 0) for name, kind in _SECTIONS.items()}
    return {**whole, **{name: {**zeros[name], **whole[name]} for name in _SECTIONS}}


def inputs_back(fields: dict[str, Any], load_snapshot: Callable[[str], bytes]) -> tuple[DecisionInputs, View | None]:
    """The inputs and the view they name. The uniform is drawn anew from its key, not read."""
    fields = inputs_whole(fields, load_snapshot)
    view = view_from_snapshot(load_snapshot(fields["snapshot"])) if fields["snapshot"] else None
    record, arms, gates = (view.record, view.arms, view.gates) if view else no_view()
    draw: Draw = _back(Draw, fields["draw"])
    redrawn = philox_uniform_nb(draw.seed, draw.symbol_id, draw.bar_open_ms, draw.attempt)
    seen, arrival = fields["book_seen"], fields["book_arrival"]
    inputs = DecisionInputs(
        symbol=fields["symbol"],
        snapshot=fields["snapshot"],
        view=record,
        arms=arms,
        gates=gates,
        desk=_back(DeskRecord, fields["desk"]),
        limits=_back(LimitRecord, fields["limits"]),
        terms=_back(TermsRecord, fields["terms"]),
        params=_back(RouterParams, fields["router"]),
        arrival=_back(ArrivalRecord, fields["arrival"]),
        bids=_levels_back(arrival["bids"]),
        asks=_levels_back(arrival["asks"]),
        seen_ts_ms=seen["ts_ms"],
        seen_bids=_levels_back(seen["bids"]),
        seen_asks=_levels_back(seen["asks"]),
        arrival_ts_ms=arrival["ts_ms"],
        filters=_back(Filters, fields["filters"]),
        draw=draw._replace(u=float(redrawn)),
        ledger=ledger_back(fields["taken"]) if "taken" in fields else None,
        placing=placing_back(fields.get("placing")),
    )
    return inputs, view


def _match_replayed(fields: dict[str, Any]) -> dict[str, Any]:
    return match_outputs(*match(match_inputs_back(fields)))


_FOLLOWING: dict[str, tuple[tuple[str, ...], Callable[[dict[str, Any]], dict[str, Any]]]] = {
    MATCH_KIND: (MATCH_OUTPUTS, _match_replayed),
    PROTECT_KIND: (PROTECT_OUTPUTS, protect_replayed),
    MARK_KIND: (MARK_OUTPUTS, mark_replayed),
}


def replay(kind: str, body: dict[str, Any], load_snapshot: Callable[[str], bytes]) -> list[Difference]:
    """Recompute a decision, or what follows from one without another (fills of open orders, protective orders,
    breakers), from its recorded inputs; the differences.

    Raises LookupError for a kind that holds none of them.
    """
    if kind in _FOLLOWING:
        names, recompute = _FOLLOWING[kind]
        recomputed = recompute(body["inputs"])
    elif kind.startswith("execution.decision"):
        inputs, view = inputs_back(body["inputs"], load_snapshot)
        recomputed = sections(inputs, view, decide(inputs))
        names = (*OUTPUT_SECTIONS, *PLACED_SECTIONS)
    else:
        raise LookupError(f"{kind} is not a decision")
    found: list[Difference] = []
    for name in names:
        _compare(name, body.get(name), recomputed.get(name), found)
    return found


def _compare(path: str, recorded: Any, recomputed: Any, found: list[Difference]) -> None:
    if isinstance(recorded, dict) and isinstance(recomputed, dict):
        for key in sorted({*recorded, *recomputed}):
            _compare(f"{path}.{key}", recorded.get(key), recomputed.get(key), found)
    elif isinstance(recorded, list) and isinstance(recomputed, list) and len(recorded) == len(recomputed):
        for index, (left, right) in enumerate(zip(recorded, recomputed, strict=True)):
            _compare(f"{path}[{index}]", left, right, found)
    elif recorded != recomputed:
        found.append(Difference(path, recorded, recomputed))
