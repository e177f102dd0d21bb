"""What two answers say of a suspect: the table of the rules."""

from __future__ import annotations

import pytest

from apps.marketdata.quarantine import Candle
from apps.marketdata.verdicts import CONFIRM, REPLACE, WAIT, Answer, verdict
from tests.marketdata.quality_samples import times, walk

TRUE = walk(1)[0]
CRASH = times(TRUE, 0.7)
NEAR = times(CRASH, 1.004)
FAR = times(CRASH, 1.006)
OTHER = times(TRUE, 0.9)
THIN = (*CRASH[:5], CRASH[5] // 1000, CRASH[6])
SILENT = Answer(None, "status 503")


@pytest.mark.parametrize(
    ("again", "second", "expected"),
    [
        (Answer(CRASH), Answer(CRASH), (CONFIRM, CRASH)),
        (Answer(CRASH), Answer(NEAR), (CONFIRM, CRASH)),
        (SILENT, Answer(CRASH), (CONFIRM, CRASH)),
        (Answer(CRASH), Answer(FAR), (WAIT, None)),
        (Answer(CRASH), Answer(THIN), (WAIT, None)),
        (Answer(CRASH), Answer(TRUE), (WAIT, None)),
        (Answer(CRASH), SILENT, (WAIT, None)),
        (Answer(CRASH), Answer(None), (WAIT, None)),
        (Answer(TRUE), Answer(TRUE), (REPLACE, TRUE)),
        (Answer(TRUE), SILENT, (REPLACE, TRUE)),
        (SILENT, Answer(TRUE), (WAIT, None)),
        (SILENT, SILENT, (WAIT, None)),
    ],
)
def test_a_suspect(again: Answer, second: Answer, expected: tuple[str, Candle | None]) -> None:
    found = verdict(suspect=CRASH, again=again, second=second, again_is_whole=True, again_is_suspect=False)
    assert (found.action, found.candle) == expected and found.why


@pytest.mark.parametrize(
    ("again", "second", "whole", "suspect", "expected"),
    [
        (Answer(TRUE), SILENT, True, False, (REPLACE, TRUE)),
        (Answer(TRUE), SILENT, False, False, (WAIT, None)),
        (Answer(OTHER), SILENT, True, True, (WAIT, None)),
        (Answer(OTHER), Answer(OTHER), True, True, (REPLACE, OTHER)),
        (Answer(OTHER), Answer(TRUE), True, True, (WAIT, None)),
    ],
)
def test_a_candle_that_may_never_be_stored_is_replaced_or_waits(
    again: Answer, second: Answer, whole: bool, suspect: bool, expected: tuple[str, Candle | None]
) -> None:
    found = verdict(suspect=None, again=again, second=second, again_is_whole=whole, again_is_suspect=suspect)
    assert (found.action, found.candle) == expected
