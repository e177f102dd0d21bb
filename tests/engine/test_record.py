"""A decision's record holds all it needs: inputs come back bit for bit, and replay names what differs."""

from __future__ import annotations

import copy
import json
import math
import struct
import zlib
from typing import Any, get_type_hints

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.engine.codec import canonical_bytes, parse_canonical, sha256_hex
from apps.engine.decide import decide, no_view
from apps.engine.decision import (
    SOURCE_FLATTEN,
    SOURCE_PERSON,
    ArrivalRecord,
    DecisionInputs,
    Draw,
    TermsRecord,
)
from apps.engine.desk import DeskRecord, LimitRecord
from apps.engine.record import (
    OUTPUT_SECTIONS,
    as_recorded,
    context_section,
    inputs_back,
    inputs_out,
    inputs_whole,
    null_reasons,
    replay,
    sections,
    settings_bytes,
)
from apps.engine.router import RouterParams
from apps.engine.values import Filters
from apps.engine.view import View
from tests.support.bars import FILTERS
from tests.support.engine import (
    ASK,
    BID,
    build_arms,
    build_desk,
    build_draw,
    build_inputs,
    build_limits,
    build_terms,
    build_view,
    holding,
    levels,
    with_snapshot,
)

KIND = "execution.decision"
# What the wrapper of a record adds: ids, versions, hashes of the chain.
WRAPPER = {
    "symbol": "BTCUSDT", "executionId": "ex" + "0" * 22, "orderId": "od" + "0" * 22, "reason": "grid bar",
    "controlsSequence": 1_234, "preparedTsMs": 1_700_000_000_000,
    "versions": {"code": "0.1.0", "engine": "0" * 16, "numba": "0.62.1", "numpy": "2.3.5"},
}  # fmt: skip


def deep_book(touch: int, step: int, n: int = 20) -> np.ndarray:
    rng = np.random.Generator(np.random.PCG64(3))
    return levels(*((touch + step * level, int(rng.integers(10_000, 900_000))) for level in range(n)))


def body_of(inputs: DecisionInputs, view: View | None) -> dict[str, Any]:
    """The body of a decision record, as the desk writes it."""
    decision = decide(inputs)
    return {
        **WRAPPER,
        "context": context_section(inputs, view),
        **sections(inputs, view, decision),
        "inputs": inputs_out(inputs),
        "nullReasons": null_reasons(inputs, decision),
    }


def routed(**changes: Any) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Body and snapshots of a router's decision on deep books, through JSON and back."""
    view = build_view()
    inputs, store = with_snapshot(view, **changes)
    return parse_canonical(canonical_bytes(body_of(inputs, view))), {**store, **settings_of(inputs)}


def unrouted(inputs: DecisionInputs) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Body and snapshots of a decision that rests on no view."""
    return body_of(inputs, None), settings_of(inputs)


def settings_of(inputs: DecisionInputs) -> dict[str, bytes]:
    body = settings_bytes(inputs)
    return {sha256_hex(body): body}


def person(lots: int, source: int = SOURCE_PERSON, **changes: Any) -> DecisionInputs:
    record, arms, gates = no_view()
    terms = build_terms(source=source, lots=lots, remainder_e8=changes.pop("remainder_e8", 0))
    return build_inputs(view=record, arms=arms, gates=gates, terms=terms, **changes)


def bits(value: Any) -> Any:
    """A value that is equal exactly when every bit is."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else struct.pack("d", value)
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, tuple):
        return (type(value).__name__, *(bits(entry) for entry in value))
    return value


BOOKS = {
    "bids": deep_book(BID, -100), "asks": deep_book(ASK, 100), "seen_bids": deep_book(BID, -100, 5),
    "seen_asks": deep_book(ASK, 100, 5),
}  # fmt: skip
DECISIONS: dict[str, tuple[dict[str, Any], dict[str, bytes]]] = {
    "filled": routed(**BOOKS),
    "rehearsed": routed(**BOOKS, terms=build_terms(rehearsal_bps=2_500)),
    "within band": routed(**BOOKS, desk=holding(104_000), terms=build_terms(last_signal=1.0)),
    "blocked": routed(**BOOKS, desk=build_desk(trading_state=1)),
    "rejected": routed(**BOOKS, limits=build_limits(max_lots=9)),
    "empty book": routed(bids=levels(), asks=levels()),
    "numeric fault": routed(**BOOKS, desk=build_desk(mark_ticks=0)),
    "no view": unrouted(build_inputs(desk=build_desk(view_age_ms=-1))),
    "person": unrouted(person(1_000)),
    "less than a lot": unrouted(person(0, remainder_e8=5)),
    "flatten": unrouted(person(0, SOURCE_FLATTEN, desk=holding(-1_000))),
    "attempt": routed(**BOOKS, draw=build_draw(attempt=3)),
    "absurd": unrouted(person(2**62, limits=build_limits(max_lots=2**62))),
}
EACH = pytest.mark.parametrize("name", DECISIONS)


@EACH
def test_every_record_has_canonical_bytes_and_replays_equal(name: str) -> None:
    body, store = DECISIONS[name]
    stored = parse_canonical(canonical_bytes(body))
    assert replay(KIND, stored, store.__getitem__) == []


@EACH
def test_every_section_is_there_or_says_why_not(name: str) -> None:
    body, _ = DECISIONS[name]
    absent = {section for section in OUTPUT_SECTIONS if body[section] is None}
    assert absent <= set(body["nullReasons"]) and all(body["nullReasons"].values())


def leaves(value: Any, path: str) -> list[tuple[str, Any, Any]]:
    """(path, holder, key) of every value that is not a container."""
    found: list[tuple[str, Any, Any]] = []
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for key, member in members:
        here = f"{path}.{key}" if isinstance(value, dict) else f"{path}[{key}]"
        if isinstance(member, dict | list):
            found += leaves(member, here)
        else:
            found.append((here, value, key))
    return found


@pytest.mark.parametrize("name", ["filled", "blocked", "person", "rehearsed"])
def test_any_one_changed_output_is_named(name: str) -> None:
    body, store = DECISIONS[name]
    outputs = {section: body[section] for section in OUTPUT_SECTIONS if body[section] is not None}
    names = [path for section, value in outputs.items() for path, _, _ in leaves({section: value}, "")]
    for number, path in enumerate(names):
        changed = copy.deepcopy(body)
        places = [place for section in outputs for place in leaves({section: changed[section]}, "") if place[0] == path]
        _, holder, key = places[0]
        holder[key] = "changed"
        found = replay(KIND, changed, store.__getitem__)
        assert [difference.path for difference in found] == [path.lstrip(".")], number
        assert found[0].recorded == "changed"


def test_changed_inputs_change_the_outputs() -> None:
    body, store = DECISIONS["filled"]
    for section, field, value in (("desk", "cash_e8", "1"), ("book_arrival", "asks", []), ("terms", "fee_bps", 11)):
        changed = copy.deepcopy(body)
        changed["inputs"][section][field] = value
        assert replay(KIND, changed, store.__getitem__) != []


def test_the_uniform_is_drawn_anew_and_not_believed() -> None:
    body, store = DECISIONS["filled"]
    changed = copy.deepcopy(body)
    changed["inputs"]["draw"]["u"] = (0.125).hex()
    assert replay(KIND, changed, store.__getitem__) == []
    changed["inputs"]["draw"]["attempt"] = 1
    assert {difference.path for difference in replay(KIND, changed, store.__getitem__)} == {
        "policy.attempt",
        "policy.u",
    }


def test_a_record_of_another_kind_holds_no_decision() -> None:
    with pytest.raises(LookupError):
        replay("risk.limits", {}, {}.__getitem__)


def test_missing_and_added_members_are_named() -> None:
    body, store = copy.deepcopy(DECISIONS["filled"])
    del body["sizing"]["base"]
    body["fills"].append(dict(body["fills"][0]))
    assert [difference.path for difference in replay(KIND, body, store.__getitem__)] == ["sizing.base", "fills"]


INTEGER = st.integers(-(2**63), 2**63 - 1)
NUMBERS: dict[Any, st.SearchStrategy[Any]] = {int: INTEGER, float: st.floats(allow_nan=True, allow_infinity=True)}


def records(kind: Any) -> st.SearchStrategy[Any]:
    return st.builds(kind, **{name: NUMBERS[hint] for name, hint in get_type_hints(kind).items()})


ROWS = st.lists(st.tuples(INTEGER, INTEGER), max_size=4).map(lambda rows: levels(*rows))


@settings(max_examples=150, deadline=None)
@given(
    desk=records(DeskRecord), limits=records(LimitRecord), terms=records(TermsRecord), params=records(RouterParams),
    arrival=records(ArrivalRecord), filters=records(Filters), bids=ROWS, asks=ROWS, attempt=st.integers(0, 2**53 - 1),
    seed=st.integers(0, 2**63 - 1),
)  # fmt: skip
def test_inputs_come_back_bit_for_bit(attempt: int, seed: int, **given: Any) -> None:
    """Any integer of 64 bits and any float, with negative lots, NaN and infinities, through canonical bytes."""
    inputs = build_inputs(draw=build_draw(attempt, seed), **given)
    fields = parse_canonical(canonical_bytes(inputs_out(inputs)))
    back, _ = inputs_back(fields, settings_of(inputs).__getitem__)
    names = ("desk", "limits", "terms", "params", "arrival", "filters", "draw", "bids", "asks", "seen_bids", "symbol")
    for name in names:
        assert bits(getattr(back, name)) == bits(getattr(inputs, name)), name


def test_the_view_comes_back_from_its_snapshot() -> None:
    view = build_view(arms=build_arms(h=math.inf))
    inputs, store = with_snapshot(view)
    back, seen = inputs_back(
        parse_canonical(canonical_bytes(inputs_out(inputs))), {**store, **settings_of(inputs)}.__getitem__
    )
    assert seen is not None and seen.state_hash == view.state_hash
    assert [bits(getattr(back, name)) for name in ("view", "arms", "gates")] == [
        bits(getattr(inputs, name)) for name in ("view", "arms", "gates")
    ]


def test_a_whole_number_where_a_float_belongs_is_written_as_a_float() -> None:
    inputs = build_inputs(terms=build_terms(last_signal=0), params=RouterParams(lam=30))  # type: ignore[arg-type]
    back, _ = inputs_back(json.loads(canonical_bytes(inputs_out(inputs))), settings_of(inputs).__getitem__)
    assert bits(back.terms.last_signal) == bits(0.0) and bits(back.params.lam) == bits(30.0)


def test_every_input_has_its_place_in_the_record() -> None:
    """A field that is added to an input record and forgotten here would make replay guess."""
    inputs = build_inputs()
    written = inputs_whole(inputs_out(inputs), settings_of(inputs).__getitem__)
    kinds = {
        "desk": DeskRecord, "limits": LimitRecord, "terms": TermsRecord, "router": RouterParams,
        "arrival": ArrivalRecord, "filters": Filters, "draw": Draw,
    }  # fmt: skip
    for name, kind in kinds.items():
        assert tuple(written[name]) == kind._fields, name


@pytest.mark.parametrize(
    ("bps", "changes", "status"),
    [
        (0, {}, "disabled"),
        (100, {}, "filled"),
        (100, {"desk": build_desk(trading_state=2)}, "no_order"),
        (100, {"desk": holding(104_166)}, "no_order"),
        (100, {"terms": build_terms(rehearsal_bps=100, weight_e9=120_000)}, "below_lot"),
        (2_500, {"asks": levels((ASK, 100))}, "partial"),
        (2_500, {"asks": levels()}, "expired"),
    ],
)
def test_what_became_of_the_rehearsal(bps: int, changes: dict[str, Any], status: str) -> None:
    inputs = build_inputs(**{"terms": build_terms(rehearsal_bps=bps), **changes})
    assert sections(inputs, None, decide(inputs))["rehearsal"]["status"] == status


def test_quantities_and_prices_are_exact_decimals() -> None:
    inputs = build_inputs(asks=levels((ASK, 1), (ASK + 200, 10**6)), desk=build_desk(position_lots=-7))
    found = sections(inputs, None, decide(inputs))
    assert found["position"]["before"]["quantity"] == "-0.00007"
    assert [fill["price"] for fill in found["fills"]] == ["60001", "60003"]
    assert found["order"]["quantity"] == "1.04173" and found["sizing"]["targetSize"] == "1.04166"
    assert FILTERS.step_e8 == 1_000


def test_a_record_stays_small(record_property: Any) -> None:
    """A decision on books of twenty levels and five seen; a third of it once it is compressed at rest."""
    bodies = {name: canonical_bytes(body) for name, (body, _) in DECISIONS.items()}
    sizes = {name: (len(body), len(zlib.compress(body, 1))) for name, body in bodies.items()}
    record_property("record_bytes", sizes)
    assert max(size for size, _ in sizes.values()) <= 6_912
    assert max(packed for _, packed in sizes.values()) <= 2_560


def test_without_an_order_the_top_of_the_book_is_enough_to_replay() -> None:
    """No order walks the book of a decision that sends none; one that sends keeps every level it could have met."""
    deep = levels(*((6_000_000 + step, 50) for step in range(20)))
    idle = build_inputs(asks=deep, bids=deep, terms=build_terms(source=SOURCE_FLATTEN))
    kept = as_recorded(idle, decide(idle))
    assert len(kept.asks) == len(kept.bids) == 3
    assert decide(kept) == decide(idle)
    sent = build_inputs(asks=deep, bids=deep, terms=build_terms(source=SOURCE_PERSON, lots=30))
    decision = decide(sent)
    assert decision.ints.sent_lots == 30 and as_recorded(sent, decision) is sent
