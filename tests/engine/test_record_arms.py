"""A record belongs to the arms it was decided with: policies that came later change nothing about it."""

from __future__ import annotations

import numpy as np

from apps.engine.codec import canonical_bytes, parse_canonical
from apps.engine.decision import N_ARMS
from apps.engine.record import replay
from apps.engine.router import N_CONTEXT, N_TRIANGLE
from tests.engine.test_record import KIND, body_of, settings_of
from tests.support.engine import build_arms, build_view, with_snapshot


def test_a_record_of_fewer_arms_replays_under_their_names() -> None:
    view = build_view(
        arms=np.ascontiguousarray(build_arms()[:, :3]),
        gates=np.zeros(3, np.int64),
        coefficients=np.ones((N_CONTEXT, 3)),
        precision=np.ones((N_TRIANGLE, 3)),
        policies=("one", "two", "zero"),
    )
    assert N_ARMS > 3
    inputs, store = with_snapshot(view)
    body = parse_canonical(canonical_bytes(body_of(inputs, view)))
    assert [arm["policyId"] for arm in body["policy"]["posterior"]] == ["one", "two", "zero", "cash"]
    assert body["policy"]["choice"]["policyId"] == "one" and body["fills"]
    assert replay(KIND, body, {**store, **settings_of(inputs)}.__getitem__) == []
