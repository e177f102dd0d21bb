"""Each rule against its definition, recomputed plainly, and against cases worked by hand or published."""

from __future__ import annotations

import math

import numpy as np
import pytest

from apps.engine.policies import POLICIES
from apps.engine.policies.rsi_revert import RSI_FLOATS, rsi_nb
from tests.engine.policy_runs import of_closes, signals
from tests.engine.series import market

N = 700


def ema(close: np.ndarray, period: int) -> np.ndarray:
    """TA-Lib's EMA: seeded with the mean of the first `period` values."""
    out = np.full(close.shape[0], np.nan)
    out[period - 1] = close[:period].mean()
    for t in range(period, close.shape[0]):
        out[t] = out[t - 1] + 2.0 / (period + 1.0) * (close[t] - out[t - 1])
    return out


def ewma_sd(close: np.ndarray, span: int) -> np.ndarray:
    """Root of the weighted mean of squared log returns, weights (1 - a)^age normalized."""
    squares = np.log(close[1:] / close[:-1]) ** 2
    alpha = 2.0 / (span + 1.0)
    out = np.full(close.shape[0], np.nan)
    for t in range(1, close.shape[0]):
        weights = (1.0 - alpha) ** np.arange(t)[::-1]
        out[t] = math.sqrt(np.sum(weights * squares[:t]) / np.sum(weights))
    return out


@pytest.mark.parametrize("band", [0.0, 0.7])
def test_ema_cross_is_its_definition(band: float) -> None:
    columns = market(N)
    close = columns[3]
    expected = np.where(ema(close, 10) > ema(close, 50) + band * close * ewma_sd(close, 48), 1.0, 0.0)
    assert np.array_equal(signals(POLICIES.get("ema_cross"), columns, {"fast": 10, "slow": 50, "band": band}), expected)
    assert 0.1 < expected.mean() < 0.9


@pytest.mark.parametrize(("width", "stop"), [(2.0, 6.0), (1.0, 2.0)])
def test_boll_revert_is_its_definition(width: float, stop: float) -> None:
    columns = market(3_000, seed=3)
    close = columns[3]
    stance, level, expected, stops = "flat", 0.0, np.zeros(close.shape[0]), 0
    for t in range(29, close.shape[0]):
        window = close[t - 29 : t + 1]
        is_cheap = close[t] < window.mean() - width * window.std()
        if stance == "long" and close[t] >= window.mean():
            stance = "flat"
        elif stance == "long" and close[t] <= level:
            stance, stops = "stopped", stops + 1
        elif stance != "long" and not is_cheap:
            stance = "flat"
        elif stance == "flat":
            stance, level = "long", close[t] - stop * window.std()
        expected[t] = 1.0 if stance == "long" else 0.0
    found = signals(POLICIES.get("boll_revert"), columns, {"window": 30, "width": width, "stop": stop})
    assert np.array_equal(found, expected)
    assert expected.any() and (stops > 3 or stop == 6.0)


def test_vol_target_is_its_definition() -> None:
    columns = market(N)
    with np.errstate(invalid="ignore"):
        expected = np.minimum(1.0, np.floor(np.minimum(1.0, 0.005 / ewma_sd(columns[3], 48)) / 0.25 + 0.5) * 0.25)
    expected[:48] = 0.0
    assert np.array_equal(signals(POLICIES.get("vol_target"), columns), expected)
    assert len(set(expected)) >= 4


def test_donchian_by_hand() -> None:
    """24 bars between 9 and 10, a close at 10, one above, a fall to the low of 12 bars and one below it."""
    high = np.array([10.0] * 24 + [10.0, 10.5, 10.4] + [10.3] * 12 + [9.5, 9.0])
    low = np.array([9.0] * 24 + [9.5, 9.8, 9.7] + [9.6] * 12 + [9.2, 8.9])
    close = np.array([9.5] * 24 + [10.0, 10.25, 10.1] + [10.0] * 12 + [9.6, 9.1])
    columns = (close, high, low, close, np.ones(close.shape[0]))
    # 10.0 does not exceed 10.0; 10.25 does, though below its own high; 9.6 is not below 9.6; 9.1 is below 9.2.
    expected = [0.0] * 25 + [1.0] * 15 + [0.0]
    assert signals(POLICIES.get("donchian"), columns, {"entry": 24, "exit": 12}).tolist() == expected


@pytest.mark.parametrize(("entry", "exit_"), [(48, 24), (24, 12), (60, 60), (240, 120)])
def test_donchian_is_its_definition(entry: int, exit_: int) -> None:
    columns = market(3_000, seed=4)
    _, high, low, close, _ = columns
    expected, signal = np.zeros(close.shape[0]), 0.0
    for t in range(entry, close.shape[0]):
        if close[t] > high[t - entry : t].max():
            signal = 1.0
        elif close[t] < low[t - exit_ : t].min():
            signal = 0.0
        expected[t] = signal
    assert np.array_equal(signals(POLICIES.get("donchian"), columns, {"entry": entry, "exit": exit_}), expected)
    assert 0.1 < expected.mean() < 0.9


def test_a_donchian_channel_that_holds_its_own_bar_would_never_be_left() -> None:
    """Why the channel is shifted by one bar: the close never exceeds the high of the same bar."""
    _, high, _, close, _ = market(3_000, seed=4)
    assert not any(close[t] > high[t - 47 : t + 1].max() for t in range(47, 3_000))


@pytest.mark.parametrize(("window", "threshold"), [(96, 0.0), (24, 0.0), (48, 0.8), (300, 0.3)])
def test_tsmom_is_its_definition(window: int, threshold: float) -> None:
    columns = market(2_000, seed=6)
    close, sigma = columns[3], ewma_sd(columns[3], 48)
    expected = np.zeros(close.shape[0])
    for t in range(max(window, 48), close.shape[0]):
        rise = math.log(close[t] / close[t - window])
        if rise > 0.0 and rise > threshold * sigma[t] * math.sqrt(window):
            expected[t] = min(1.0, 0.005 / sigma[t])
    found = signals(POLICIES.get("tsmom"), columns, {"window": window, "threshold": threshold})
    assert np.array_equal(found > 0.0, expected > 0.0) and np.allclose(found, expected, rtol=1e-12, atol=0.0)
    assert 0.05 < (expected > 0.0).mean() < 0.95 and (expected == 1.0).any() and (found % 1.0 > 0.0).any()


def test_tsmom_by_hand() -> None:
    """Every bar up by 1 %: sigma is ln 1.01, so half of a target half as large; at an even price nothing is held."""
    rising = 100.0 * 1.01 ** np.arange(60)
    found = signals(POLICIES.get("tsmom"), of_closes(rising), {"window": 24, "sigma_target": math.log(1.01) / 2.0})
    assert not found[:48].any() and np.allclose(found[48:], 0.5, rtol=1e-12, atol=0.0)
    swinging = 100.0 * np.where(np.arange(60) % 2 == 0, 1.0, 1.01)
    assert not signals(POLICIES.get("tsmom"), of_closes(swinging), {"window": 24}).any()


# The 14-bar example of StockCharts' "ChartSchool: Relative Strength Index", its closes as printed and its RSI.
PUBLISHED_CLOSES = (
    *(44.3389, 44.0902, 44.1497, 43.6124, 44.3278, 44.8264, 45.0955, 45.4245, 45.8433, 46.0826, 45.8931),
    *(46.0328, 45.6140, 46.2820, 46.2820, 46.0028, 46.0328, 46.4116, 46.2222, 45.6439, 46.2122, 46.2521),
    *(45.7137, 46.4515, 45.7835, 45.3548, 44.0288, 44.1783, 44.2181, 44.5672, 43.4205, 42.6628, 43.1314),
)
PUBLISHED_RSI = (
    *(70.53, 66.32, 66.55, 69.41, 66.36, 57.97, 62.93, 63.26, 56.06, 62.38, 54.71, 50.42, 39.99, 41.46, 41.87),
    *(45.46, 37.30, 33.08, 37.77),
)


def rsi_of(closes: np.ndarray, window: int) -> np.ndarray:
    state = np.zeros(RSI_FLOATS)
    return np.array([rsi_nb(state, 0, float(window), float(close)) for close in closes])


def rsi(close: np.ndarray, window: int) -> np.ndarray:
    """Wilder's RSI by its definition: averages of gains and losses, seeded with their mean over `window` moves."""
    moves = np.diff(close)
    out = np.full(close.shape[0], 50.0)
    for t in range(window, close.shape[0]):
        weights = np.array([(1.0 - 1.0 / window) ** (t - window)] * window)
        weights = np.append(weights / window, (1.0 - 1.0 / window) ** np.arange(t - window)[::-1] / window)
        gain = np.sum(weights * np.maximum(moves[:t], 0.0))
        loss = np.sum(weights * np.maximum(-moves[:t], 0.0))
        out[t] = 50.0 if gain + loss == 0.0 else 100.0 - 100.0 / (1.0 + gain / loss) if loss > 0.0 else 100.0
    return out


def test_the_rsi_is_the_published_one() -> None:
    found = rsi_of(np.array(PUBLISHED_CLOSES), 14)
    assert found[:14].tolist() == [50.0] * 14
    assert np.allclose(found[14:], PUBLISHED_RSI, rtol=0.0, atol=0.006)


def test_the_rsi_by_hand() -> None:
    """Seeded with 3 gains of 1 and 2 losses of 1 in 5 moves; then one gain of 2: gain (.6 * 4 + 2) / 5, loss .32."""
    found = rsi_of(np.array([10.0, 11.0, 12.0, 11.0, 12.0, 11.0, 13.0]), 5)
    assert np.allclose(found[5:], [60.0, 100.0 * 0.88 / 1.20], rtol=1e-14, atol=0.0)
    assert rsi_of(np.full(9, 0.3), 5).tolist() == [50.0] * 9
    assert rsi_of(np.arange(9.0) + 1.0, 5)[5:].tolist() == [100.0] * 4
    assert rsi_of(9.0 - np.arange(9.0), 5)[5:].tolist() == [0.0] * 4


@pytest.mark.parametrize(("window", "enter", "exit_"), [(14, 30.0, 50.0), (5, 15.0, 65.0), (30, 40.0, 45.0)])
def test_rsi_revert_is_its_definition(window: int, enter: float, exit_: float) -> None:
    columns = market(1_500, seed=9)
    level = rsi(columns[3], window)
    assert np.allclose(rsi_of(columns[3], window), level, rtol=0.0, atol=1e-9)
    expected, signal = np.zeros(level.shape[0]), 0.0
    for t in range(window, level.shape[0]):
        signal = 1.0 if level[t] < enter else 0.0 if level[t] > exit_ else signal
        expected[t] = signal
    values = {"window": window, "enter": enter, "exit": exit_}
    assert np.array_equal(signals(POLICIES.get("rsi_revert"), columns, values), expected)
    assert 0.01 < expected.mean() < 0.9


@pytest.mark.parametrize(("width", "hold"), [(1.5, 24), (0.5, 6), (1.0, 72)])
def test_breakout_vol_is_its_definition(width: float, hold: int) -> None:
    columns = market(3_000, seed=2)
    close, sigma = columns[3], ewma_sd(columns[3], 48)
    rise = np.full(close.shape[0], np.nan)
    rise[24:] = np.log(close[24:] / close[:-24])
    is_breakout = np.zeros(close.shape[0], bool)
    is_breakout[48:] = (np.abs(rise) > width * sigma * math.sqrt(24.0))[48:] & (rise > 0.0)[48:]
    expected = [1.0 if is_breakout[max(t - hold + 1, 0) : t + 1].any() else 0.0 for t in range(close.shape[0])]
    assert signals(POLICIES.get("breakout_vol"), columns, {"width": width, "hold": hold}).tolist() == expected
    assert 0.02 < np.mean(expected) < 0.98


def test_breakout_vol_by_hand() -> None:
    """A price that barely swings jumps by 5 %: a breakout for the 24 bars that see the jump, held 6 from the last."""
    close = 100.0 * np.where(np.arange(140) % 2 == 0, 1.0, 1.0001)
    close[60:] *= 1.05
    # The jump is a share of 2/49 of sigma squared: 5 % > .5 * sqrt(24 * 2/49 * (48/49)^...) * 5 % for all 24 bars.
    found = signals(POLICIES.get("breakout_vol"), of_closes(close), {"width": 0.5, "hold": 6})
    assert np.flatnonzero(found).tolist() == list(range(60, 60 + 24 + 5))
    fallen = signals(POLICIES.get("breakout_vol"), of_closes(1.0 / close), {"width": 0.5, "hold": 6})
    assert not fallen[60:84].any()
