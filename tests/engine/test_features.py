"""Every feature against its definition in plain numpy, and what must not change it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest

from apps.engine.errors import InvalidInput
from apps.engine.features import (
    N_FEATURES,
    adv_quote_nb,
    bars_since_gap_nb,
    context_nb,
    features_bar_nb,
    features_batch_nb,
    features_sample_nb,
    features_state,
    features_warm_up,
    horizon_return_nb,
    mark_gap_nb,
    realized_vol_nb,
    sigma_nb,
    sigma_previous_nb,
)
from tests.engine.series import Columns, digest, flat, head, jumps, market, scaled

AGE = 450.0


class Trace(NamedTuple):
    """What was read after each grid bar."""

    grid: np.ndarray
    x: np.ndarray
    missing: np.ndarray
    readings: np.ndarray  # sigma, sigma before, realized volatility, return, mean quote volume


def trace(columns: Columns, horizon: int, *, first: int = 0, gaps: tuple[int, ...] = (), copy_at: int = -1) -> Trace:
    """Stream the bars, grid bars being those whose index is a multiple of H; `gaps` are bars before which some lack."""
    f, i = features_state(horizon)
    grid, contexts, missing, readings = [], [], [], []
    for t in range(columns[3].shape[0]):
        if t in gaps:
            mark_gap_nb(f, i)
        if t == copy_at:
            f, i = f.copy(), i.copy()
        features_bar_nb(f, i, *(float(column[t]) for column in columns))
        if (first + t) % horizon == 0:
            x = np.zeros(N_FEATURES)
            readings.append(
                [sigma_nb(f), sigma_previous_nb(f), realized_vol_nb(f, i), horizon_return_nb(f, i), adv_quote_nb(f)]
            )
            missing.append(context_nb(f, i, AGE, x))
            features_sample_nb(f, i)
            grid.append(t)
            contexts.append(x)
    return Trace(np.array(grid), np.array(contexts), np.array(missing), np.array(readings))


def ewma(x: np.ndarray, span: int) -> np.ndarray:
    """Mean with weights (1 - a)^age, normalized, by the definition."""
    alpha = 2.0 / (span + 1.0)
    out = np.empty(x.shape[0])
    for t in range(x.shape[0]):
        weights = (1.0 - alpha) ** np.arange(t + 1.0)[::-1]
        out[t] = np.sum(weights * x[: t + 1]) / np.sum(weights)
    return out


def rsi(close: np.ndarray) -> np.ndarray:
    change = np.diff(close)
    gain, loss = np.maximum(change, 0.0), np.maximum(-change, 0.0)
    out = np.full(close.shape[0], np.nan)
    up, down = gain[:14].mean(), loss[:14].mean()
    out[14] = 100.0 * up / (up + down)
    for t in range(14, change.shape[0]):
        up, down = (13.0 * up + gain[t]) / 14.0, (13.0 * down + loss[t]) / 14.0
        out[t + 1] = 100.0 * up / (up + down)
    return out


def definition(columns: Columns, horizon: int, grid: np.ndarray) -> np.ndarray:
    """The context vector at the grid bars, as written."""
    close, volume = columns[3], columns[4]
    r = np.concatenate([[np.nan], np.diff(np.log(close))])
    bars = np.arange(close.shape[0])

    def lagged(span: int, values: np.ndarray, first: int) -> np.ndarray:
        return np.concatenate([np.full(first, np.nan), ewma(values[first:], span)])

    sigma = np.sqrt(lagged(48, r**2, 1))
    sigma[bars < 48] = np.nan
    step = np.concatenate([np.full(12, np.nan), np.log(close[12:] / close[:-12])])
    steps = lagged(120, step**2, 12)
    steps[bars < 131] = np.nan
    slow = lagged(240, r**2, 1)
    slow[bars < 240] = np.nan
    strength = rsi(close)
    out = np.full((grid.shape[0], N_FEATURES), np.nan)
    fast, ratio = lagged(24, r**2, 1), lagged(120, r**2, 1)
    log_volume = np.array([math.log(volume[t - 23 : t + 1].sum()) if t >= 23 else np.nan for t in bars])
    for k, t in enumerate(grid):
        out[k, 0], out[k, 10] = 1.0, AGE / 300.0
        if t >= 96:
            out[k, 1] = math.log(close[t] / close[t - 96]) / (sigma[t] * math.sqrt(96)) / 2
        if t >= 24:
            out[k, 2] = math.log(close[t] / close[t - 24]) / (sigma[t] * math.sqrt(24))
        out[k, 3] = math.log(steps[t] / 12 / ratio[t]) if t else np.nan
        out[k, 4] = 0.5 * math.log(fast[t] / slow[t]) if t else np.nan
        past = sigma[grid[:k]]
        past = past[~np.isnan(past)][-(2160 // horizon) :]
        if past.shape[0] >= 30:
            out[k, 5] = math.log(sigma[t] / np.median(past))
        out[k, 6] = (strength[t] - 50) / 20
        if t >= 47:
            window = close[t - 47 : t + 1]
            out[k, 7] = (close[t] - window.mean()) / window.std() / 2
        if t >= 239:
            out[k, 8] = math.log(close[t] / close[t - 239 : t + 1].max()) / (sigma[t] * math.sqrt(240))
        past = log_volume[grid[:k]]
        past = past[~np.isnan(past)][-max(720 // horizon, 30) :]
        if past.shape[0] >= 30:
            mad = np.median(np.abs(past - np.median(past)))
            out[k, 9] = (log_volume[t] - np.median(past)) / (1.4826 * mad) / 3
    return np.clip(out, -3.0, 3.0)


@pytest.mark.parametrize(("horizon", "first"), [(5, 0), (12, 7), (60, 1)])
def test_the_context_is_its_definition(horizon: int, first: int) -> None:
    columns = market(2_600 if horizon == 60 else 1_500)
    found = trace(columns, horizon, first=first)
    expected = definition(columns, horizon, found.grid)
    np.testing.assert_array_equal(np.isnan(found.x), np.isnan(expected))
    np.testing.assert_allclose(found.x, expected, atol=1e-10, rtol=0)
    bits = np.sum(np.isnan(expected) << np.arange(N_FEATURES), axis=1)
    np.testing.assert_array_equal(found.missing, bits)
    assert np.count_nonzero(found.missing == 0) > 8
    complete = expected[found.missing == 0]
    assert np.all(np.ptp(complete[:, 1:10], axis=0) > 0.1) and np.max(np.abs(complete)) == 3.0


@pytest.mark.parametrize("horizon", [5, 12, 300])
def test_readings_of_the_grid_are_their_definitions(horizon: int) -> None:
    columns = market(3_200)
    close, quote = columns[3], columns[3] * columns[4]
    found = trace(columns, horizon)
    r = np.concatenate([[np.nan], np.diff(np.log(close))])
    sigma = np.sqrt(np.concatenate([[np.nan], ewma(r[1:] ** 2, 48)]))
    for k, t in enumerate(found.grid):
        own, previous, vol, horizon_return, mean_quote = found.readings[k]
        assert (own == pytest.approx(sigma[t], rel=1e-10)) if t >= 48 else math.isnan(own)
        assert mean_quote == pytest.approx(quote[max(0, t - 1439) : t + 1].mean(), rel=1e-12)
        if t < horizon:
            assert math.isnan(vol) and math.isnan(horizon_return)
            continue
        assert vol == pytest.approx(math.sqrt(np.sum(r[t - horizon + 1 : t + 1] ** 2)), rel=1e-10)
        assert horizon_return == pytest.approx(math.log(close[t] / close[t - horizon]), abs=1e-12)
        assert previous == found.readings[k - 1][0] or t < horizon + 48


def test_a_context_knows_only_its_past() -> None:
    columns = market(900)
    whole = trace(columns, 5)
    for n in (301, 488, 899):
        part = trace(head(columns, n), 5)
        k = part.grid.shape[0]
        assert digest(part.x, part.missing, part.readings) == digest(whole.x[:k], whole.missing[:k], whole.readings[:k])
    assert np.count_nonzero(whole.missing == 0) > 100


def test_the_unit_of_price_does_not_matter() -> None:
    columns = market(900)
    whole = trace(columns, 5)
    for power in (-20, -1, 7):
        other = trace(scaled(columns, 2.0**power), 5)
        assert digest(other.x, other.missing, other.readings[:, :4]) == digest(
            whole.x, whole.missing, whole.readings[:, :4]
        )
        assert np.array_equal(other.readings[:, 4], whole.readings[:, 4] * 2.0**power)


def test_a_copy_in_the_middle_changes_nothing() -> None:
    columns = market(700)
    whole = trace(columns, 5)
    for t in (3, 250, 611):
        assert digest(*trace(columns, 5, copy_at=t)) == digest(*whole)


def test_batch_is_the_loop_over_bars() -> None:
    columns = market(2_000)
    f, i = features_state(5)
    features_batch_nb(f, i, *columns)
    g, j = features_state(5)
    for t in range(2_000):
        features_bar_nb(g, j, *(float(column[t]) for column in columns))
    assert digest(f, i) == digest(g, j)


def test_windows_count_from_a_gap_and_averages_go_on() -> None:
    before, after = market(800), market(500, seed=2, start=5_000.0)
    columns = tuple(np.concatenate(pair) for pair in zip(before, after, strict=True))
    found = trace(columns, 5, gaps=(800,))
    needed = {1: 97, 2: 25, 7: 48, 8: 240, 9: 24}
    for k, t in enumerate(found.grid):
        if t >= 800:
            missing = sum(1 << j for j, bars in needed.items() if t - 800 + 1 < bars)
            assert found.missing[k] == missing
            assert math.isnan(found.readings[k, 2]) == (t - 800 < 5)
    # A jump of 50 times across the gap is no return: volatility stays what the bars on both sides say.
    assert np.nanmax(found.readings[:, 0]) < 0.02
    # And after it the windows hold nothing from before it.
    fresh = trace(after, 5)
    k = np.flatnonzero(found.grid == 1_200)[0]
    assert found.x[k, 7] == fresh.x[80, 7]


def test_bars_are_counted_from_the_gap() -> None:
    f, i = features_state(5)
    assert bars_since_gap_nb(i) == 0 and adv_quote_nb(f) == 0.0 and math.isnan(sigma_nb(f))
    for expected in (1, 2, 3):
        features_bar_nb(f, i, 1.0, 1.0, 1.0, 1.0, 2.0)
        assert bars_since_gap_nb(i) == expected
    mark_gap_nb(f, i)
    assert bars_since_gap_nb(i) == 0
    features_bar_nb(f, i, 1.0, 1.0, 1.0, 4.0, 2.0)
    assert bars_since_gap_nb(i) == 1 and adv_quote_nb(f) == (3 * 2.0 + 8.0) / 4


def test_what_cannot_be_computed_is_missing_not_a_number() -> None:
    found = trace(flat(900), 5)
    undefined = sum(1 << j for j in (1, 2, 3, 4, 5, 7, 8, 9))
    assert found.missing[-1] == undefined and found.x[-1, 6] == 0.0
    assert np.isnan(found.x[-1, 7]) and found.readings[-1, 2] == 0.0
    for columns in (flat(900), jumps(900)):
        found = trace(columns, 5)
        assert np.array_equal(np.isnan(found.x), (found.missing[:, None] >> np.arange(N_FEATURES)) & 1 == 1)
        assert np.nanmax(np.abs(found.x)) <= 3.0


@pytest.mark.parametrize("age", [math.nan, math.inf])
def test_an_unknown_age_is_missing(age: float) -> None:
    f, i = features_state(5)
    x = np.zeros(N_FEATURES)
    assert context_nb(f, i, age, x) >> 10 == 1 and math.isnan(x[10])


@pytest.mark.parametrize("horizon", [1, 5, 60, 240])
def test_features_are_complete_after_their_warm_up(horizon: int) -> None:
    n = features_warm_up(horizon)
    columns = market(n + horizon)
    found = trace(columns, horizon)
    assert np.all(found.missing[found.grid >= n - 1] == 0) and found.missing[found.grid < n - 1 - 2 * horizon].all()


def test_a_horizon_below_one_bar_is_refused() -> None:
    with pytest.raises(InvalidInput, match="HORIZON_BARS"):
        features_state(0)


def test_long_runs_do_not_drift() -> None:
    """After 400,000 bars at prices falling by 1e-6 the state still agrees with a fresh one on the last bars alone."""
    n = 400_000
    rng = np.random.default_rng(11)
    close = 1e4 * np.exp(np.linspace(0.0, -14.0, n) + np.cumsum(rng.standard_normal(n)) * 1e-4)
    columns = (close, close, close, close, np.exp(rng.standard_normal(n)))
    f, i = features_state(5)
    features_batch_nb(f, i, *columns)
    g, j = features_state(5)
    features_batch_nb(g, j, *(np.ascontiguousarray(column[-20_000:]) for column in columns))
    x, y = np.zeros(N_FEATURES), np.zeros(N_FEATURES)
    context_nb(f, i, AGE, x)
    context_nb(g, j, AGE, y)
    np.testing.assert_allclose(x, y, atol=1e-12, rtol=0)
    assert adv_quote_nb(f) == pytest.approx((columns[3] * columns[4])[-1440:].mean(), rel=1e-12)
