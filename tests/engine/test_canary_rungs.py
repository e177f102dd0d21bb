"""The ladder's rungs."""

from __future__ import annotations

import pytest

from apps.engine.canary import RUNGS, rung_of
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
