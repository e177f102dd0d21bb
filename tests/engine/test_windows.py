"""Rolling windows against numpy on the same values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from apps.engine.windows import (
    MAD_SCALE,
    WINDOW_INTS,
    centered_moments_nb,
    ring_mean_nb,
    window_floats,
    window_mad_nb,
    window_median_nb,
    window_push_nb,
    window_quantile_nb,
    window_standardize_nb,
)

AT, HEAD = 3, 2


def build_window(capacity: int) -> tuple[np.ndarray, np.ndarray]:
    """A window somewhere inside larger arrays, whose other cells must stay as they are."""
    f, i = np.full(AT + window_floats(capacity) + 2, 7.0), np.full(HEAD + WINDOW_INTS + 1, 7, dtype=np.int64)
    i[HEAD : HEAD + WINDOW_INTS] = capacity, 0, 0
    return f, i


@pytest.mark.parametrize("capacity", [1, 2, 5, 30, 31])
@pytest.mark.parametrize("kind", ["random", "ties", "rising", "falling", "constant"])
def test_it_is_numpy_on_the_last_values(capacity: int, kind: str) -> None:
    rng = np.random.default_rng(capacity)
    x = {
        "random": rng.standard_normal(200),
        "ties": rng.integers(-2, 3, 200).astype(float),
        "rising": np.arange(200.0),
        "falling": -np.arange(200.0),
        "constant": np.full(200, 0.3),
    }[kind]
    f, i = build_window(capacity)
    for t in range(200):
        window_push_nb(f, AT, i, HEAD, x[t])
        last = x[max(0, t + 1 - capacity) : t + 1]
        assert np.array_equal(f[AT + capacity : AT + capacity + last.shape[0]], np.sort(last))
        median = window_median_nb(f, AT, i, HEAD)
        assert median == np.median(last)
        assert window_mad_nb(f, AT, i, HEAD, median) == np.median(np.abs(last - median))
        share = (np.sum(last < x[0]) + 0.5 * np.sum(last == x[0])) / last.shape[0]
        assert window_quantile_nb(f, AT, i, HEAD, x[0]) == share
        n = min(3, last.shape[0])
        assert ring_mean_nb(f, AT, i, HEAD, n) == pytest.approx(last[-n:].mean(), abs=1e-12)
    assert np.all(f[:AT] == 7.0) and np.all(f[AT + 2 * capacity :] == 7.0) and i[0] == i[1] == i[-1] == 7


def test_nothing_is_standardized_below_thirty_values_or_without_spread() -> None:
    x = np.random.default_rng(1).standard_normal(40)
    f, i = build_window(40)
    for t in range(40):
        found = window_standardize_nb(f, AT, i, HEAD, 2.0)
        if t < 30:
            assert math.isnan(found)
        else:
            mad = np.median(np.abs(x[:t] - np.median(x[:t])))
            assert found == pytest.approx((2.0 - np.median(x[:t])) / (MAD_SCALE * mad), rel=1e-14)
        window_push_nb(f, AT, i, HEAD, x[t])
    f, i = build_window(40)
    for _ in range(35):
        window_push_nb(f, AT, i, HEAD, 0.1)
    assert math.isnan(window_standardize_nb(f, AT, i, HEAD, 0.1))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 47, 48])
def test_moments_are_those_of_the_window(n: int) -> None:
    x = 1e6 + np.random.default_rng(n).standard_normal(60)
    above, sd = centered_moments_nb(x, 5, n, x[5 + n - 1])
    assert above == pytest.approx(np.mean(x[5 : 5 + n] - x[5 + n - 1]), abs=1e-12)
    assert sd == pytest.approx(np.std(x[5 : 5 + n] - x[5 + n - 1]), abs=1e-12)
    assert centered_moments_nb(np.full(60, 0.1), 5, n, 0.1) == (0.0, 0.0)
