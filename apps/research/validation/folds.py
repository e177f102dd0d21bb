"""Where does a parameter learn, and where is it judged? Spans of bars that share neither labels nor memory."""

from __future__ import annotations

from typing import NamedTuple

from apps.engine.errors import InvalidInput

MIN_PERIODS = 20


class Fold(NamedTuple):
    """Rows of bars, first <= row < end. Between `train_end` and `test_first` nothing is scored."""

    number: int
    train_first: int
    train_end: int
    test_first: int
    test_end: int


def folds_of(
    n: int, folds: int, *, horizon: int, embargo: int, train_blocks: int = 2, is_rolling: bool = False
) -> list[Fold]:
    """`folds` test blocks in time order after `train_blocks` of training; what does not divide is left out first.

    Purge: the last `horizon` bars of training are not scored, for their outcome lies in the test block. Embargo: the
    first `embargo` bars of the test block are not scored, for what is computed at them is still made of training bars.
    Raises InvalidInput when nothing is left to score.
    """
    size = n // (folds + train_blocks)
    first = n - size * (folds + train_blocks)
    needed = embargo + horizon * MIN_PERIODS
    if size < needed:
        raise InvalidInput(
            f"{n} bars in {folds + train_blocks} blocks leave {size} to each; an embargo of {embargo} and "
            f"{MIN_PERIODS} periods of {horizon} bars need {needed}",
            field="folds",
        )
    found = []
    for number in range(folds):
        start = first + size * number if is_rolling else first
        edge = first + size * (number + train_blocks)
        found.append(Fold(number + 1, start, edge - horizon, edge + embargo, edge + size))
    return found
