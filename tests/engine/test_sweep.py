"""A grid of runs is the runs, one by one; the pairs that share their sums are no exception."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest

from apps.engine.errors import DataError, InvalidInput
from apps.engine.policies import POLICIES, arms
from apps.engine.policies.driver import policy_batch_nb
from apps.engine.single import single_run
from apps.engine.sweep import sma_sweep, sweep_run
from bench.peers.workload import CASH_CENTS, make_bars
from tests.engine.example_policies import sma_cross
from tests.engine.series import head, market, scaled

PAIRS = [(2, 3), (4, 9), (10, 50), (7, 400), (199, 200)]


@pytest.mark.parametrize("unit", [1.0, None])
def test_pairs_give_the_bits_of_single_runs(unit: float | None) -> None:
    """In whole cents every sum is exact, so the ways agree on each tie."""
    columns = tuple(make_bars(4_000))
    swept = sma_sweep(PAIRS, columns, cash=CASH_CENTS, unit=unit)
    for i, (fast, slow) in enumerate(PAIRS):
        run = single_run(sma_cross(), {"fast": fast, "slow": slow}, columns, cash=CASH_CENTS, unit=unit)
        assert run.orders.n > 10
        assert [column[i] for column in swept] == [run.end_equity, run.orders.n, run.fees, run.max_drawdown]


def test_any_policy_is_swept_point_by_point() -> None:
    columns = market(1_500)
    for policy in arms():
        first = policy.parameters[0]
        grid = [{}, {first.name: first.low}]
        swept = sweep_run(policy, grid, columns)
        for i, values in enumerate(grid):
            run = single_run(policy, values, columns)
            assert [column[i] for column in swept] == [run.end_equity, run.orders.n, run.fees, run.max_drawdown]


def test_a_series_shorter_than_its_window_earns_nothing() -> None:
    swept = sma_sweep([(2, 50), (2, 51), (2, 52)], tuple(make_bars(51)), cash=100.0)
    assert swept.end_equity[1:].tolist() == [100.0, 100.0]
    assert swept.orders[1:].tolist() == [0, 0]


@pytest.mark.parametrize("pair", [(0, 5), (5, 5), (6, 5), (-1, 5)])
def test_a_pair_is_fast_and_slow(pair: tuple[int, int]) -> None:
    with pytest.raises(InvalidInput, match="fast < slow"):
        sma_sweep([(1, 2), pair], tuple(make_bars(100)))


def test_no_pairs_are_no_results() -> None:
    assert [column.shape for column in sma_sweep([], tuple(make_bars(100)))] == [(0,)] * 4


@pytest.mark.parametrize("sweep", [lambda c: sma_sweep([(2, 3)], c), lambda c: sweep_run(sma_cross(), [{}], c)])
def test_a_bar_of_no_market_is_refused(sweep: object) -> None:
    columns = tuple(make_bars(100))
    columns[3][40] = math.nan
    with pytest.raises(DataError, match="^bar 40: "):
        sweep(columns)


def signals(columns: tuple[np.ndarray, ...], **values: int) -> np.ndarray:
    policy = sma_cross()
    params, state = policy.init({**policy.defaults(), **values})
    out = np.empty(columns[3].shape[0])
    policy_batch_nb(policy.update_nb, params, state, *columns, out)
    return out


@pytest.mark.parametrize("pair", PAIRS)
def test_the_example_compares_two_averages(pair: tuple[int, int]) -> None:
    fast, slow = pair
    columns = tuple(make_bars(3_000))
    sums = np.concatenate([[0], np.cumsum(columns[3].astype(np.int64))])
    ends = np.arange(slow, 3_001)
    expected = (sums[ends] - sums[ends - fast]) * slow > (sums[ends] - sums[ends - slow]) * fast
    out = signals(columns, fast=fast, slow=slow)
    assert not out[: slow - 1].any()
    assert np.array_equal(out[slow - 1 :], expected.astype(float))


def test_the_example_is_a_fold_without_scale_or_foresight() -> None:
    columns = market(1_000)
    out = signals(columns)
    assert 0 < out.sum() < 900
    assert np.array_equal(signals(head(columns, 611)), out[:611])
    assert np.array_equal(signals(scaled(columns, 2.0**-9)), out)
    policy = sma_cross()
    params, state = policy.init(policy.defaults())
    told = []
    for t in range(300):
        told.append(policy.update_nb(params, state, *(float(column[t]) for column in columns)))
        state = pickle.loads(pickle.dumps(state))
    assert told == out[:300].tolist()


def test_the_example_forgets_its_rounding() -> None:
    """After a huge price has left the window, only sums added anew are the sums of what is in it."""
    close = np.full(500, 0.6875)
    # Doubles of this size are whole numbers: sums that only slide would keep 7 of 6.875 and 34 of 34.375, a cross.
    close[100] = 3 * 2.0**51
    out = signals((close,) * 5)
    assert out[100:110].all()
    assert not out[200:].any()
    close[450:] = 1.25
    assert signals((close,) * 5)[450] == 1.0


def test_an_example_joins_no_desk_that_did_not_ask() -> None:
    assert sma_cross().policy_id not in POLICIES
