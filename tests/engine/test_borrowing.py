"""Lent arrays are the same memory, alone and in tuples, and what is lent is neither freed twice nor kept."""

from __future__ import annotations

import sys
from typing import NamedTuple

import numpy as np
from numba import njit
from numba.core.runtime import _nrt_python, rtsys

from apps.engine.borrowing import borrowed
from apps.engine.values import Array1d, Array2d, IntArray1d


class Pair(NamedTuple):
    """Arrays of different kinds and a number, as states are."""

    rows: Array2d
    counts: IntArray1d
    factor: float


@njit(error_model="numpy")
def _fill_nb(pair: Pair, single: Array1d) -> float:
    pair, single = borrowed(pair), borrowed(single)
    for row in range(pair.rows.shape[0]):
        line = pair.rows[row]
        for j in range(line.shape[0]):
            line[j] = pair.factor * single[j]
        pair.counts[row] += line.shape[0]
    return pair.rows[0, 1:].sum()


@njit(error_model="numpy")
def _own_nb(n: int) -> float:
    """A kernel that owns an array and lends it to another."""
    rows, counts, single = np.zeros((2, n)), np.zeros(2, np.int64), np.ones(n)
    total = _fill_nb(Pair(rows, counts, 2.0), single)
    return total + rows[1, 0] + counts[1]


def test_what_is_written_to_a_lent_array_is_in_its_owner() -> None:
    pair, single = Pair(np.zeros((2, 3)), np.zeros(2, np.int64), 0.5), np.array([2.0, 4.0, 6.0])
    assert _fill_nb(pair, single) == 5.0
    assert pair.rows.tolist() == [[1.0, 2.0, 3.0]] * 2 and pair.counts.tolist() == [3, 3]
    assert single.tolist() == [2.0, 4.0, 6.0]


def test_nothing_is_freed_early_or_kept() -> None:
    pair, single = Pair(np.zeros((2, 3)), np.zeros(2, np.int64), 0.5), np.ones(3)
    _fill_nb(pair, single)
    assert _own_nb(5) == 2.0 * 4 + 2.0 + 5.0
    _nrt_python.memsys_enable_stats()
    references, before = sys.getrefcount(pair.rows), rtsys.get_allocation_stats()
    for _ in range(100):
        _fill_nb(pair, single)
        assert _own_nb(1_000) == 2.0 * 999 + 2.0 + 1_000.0
    references_after, after = sys.getrefcount(pair.rows), rtsys.get_allocation_stats()
    _nrt_python.memsys_disable_stats()
    assert references_after == references  # read before: an assertion holds what it looks at
    assert after.alloc - before.alloc == after.free - before.free >= 300


def test_without_the_compiler_it_is_the_array_itself() -> None:
    single = np.ones(2)
    assert borrowed(single) is single
