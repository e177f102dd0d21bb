"""The ladder's rungs, and rehearsal sizes that never exceed their share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.engine.canary import RUNGS, rehearsal_lots, rung_of
from apps.engine.errors import InvalidInput


def test_the_rungs_are_those_of_the_ladder() -> None:
    assert [tuple(rung) for rung in RUNGS] == [
        ("disabled", 0),
        ("canary", 100),
        ("partial", 1000),
        ("partial", 2500),
        ("live", 10000),
    ]
    assert [rung_of(rung.weight_bps) for rung in RUNGS] == list(RUNGS)
    with pytest.raises(InvalidInput, match="10000 basis points"):
        rung_of(5000)


@pytest.mark.parametrize(
    ("lots", "weight_bps", "expected"),
    [(99, 100, 0), (100, 100, 1), (199, 100, 1), (-199, 100, -1), (3, 2500, 0), (7, 10000, 7), (7, 0, 0), (0, 1000, 0)],
)
def test_the_rehearsal_is_floored_to_the_lot(lots: int, weight_bps: int, expected: int) -> None:
    assert rehearsal_lots(lots, weight_bps) == expected


@given(st.integers(-(2**53), 2**53), st.sampled_from([rung.weight_bps for rung in RUNGS]))
def test_the_rehearsal_is_the_largest_whole_share(lots: int, weight_bps: int) -> None:
    size = abs(rehearsal_lots(lots, weight_bps))
    assert size * 10_000 <= abs(lots) * weight_bps < (size + 1) * 10_000
