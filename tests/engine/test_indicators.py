"""Indicators against TA-Lib's stored answers, a published table, their definitions, and what every series must obey."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from apps.engine.errors import InvalidInput
from apps.engine.indicators import atr, bollinger, donchian, ema, macd, rsi, sma, true_range
from tests.engine.series import digest, market

# Made by tests/engine/references/make_talib.py.
TALIB = json.loads((Path(__file__).parent / "references" / "talib.json").read_text())


def talib(name: str) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in TALIB[name]])


HIGH, LOW, CLOSE = talib("high"), talib("low"), talib("close")


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("sma_20", lambda: sma(CLOSE, 20)),
        ("ema_20", lambda: ema(CLOSE, 20)),
        ("rsi_14", lambda: rsi(CLOSE, 14)),
        ("rsi_5", lambda: rsi(CLOSE, 5)),
        ("true_range", lambda: true_range(HIGH, LOW, CLOSE)),
        ("atr_14", lambda: atr(HIGH, LOW, CLOSE, 14)),
        ("bollinger_lower", lambda: bollinger(CLOSE, 20, 2.0).lower),
        ("bollinger_middle", lambda: bollinger(CLOSE, 20, 2.0).middle),
        ("bollinger_upper", lambda: bollinger(CLOSE, 20, 2.0).upper),
        ("macd_signal", lambda: macd(CLOSE).signal),
        ("macd_histogram", lambda: macd(CLOSE).histogram),
    ],
)
def test_it_equals_talib(name: str, own: Callable[[], np.ndarray]) -> None:
    """TA-Lib's Bollinger deviation comes from E[x^2] - E[x]^2, which costs it digits; nothing else does."""
    tolerance = 5e-11 if name in {"bollinger_lower", "bollinger_upper"} else 5e-13
    np.testing.assert_allclose(own(), talib(name), atol=tolerance, rtol=0)
    assert np.isfinite(own()).sum() > 100


def test_the_line_of_the_macd_equals_talib_and_begins_where_both_averages_do() -> None:
    line, expected = macd(CLOSE).line, talib("macd_line")
    assert np.flatnonzero(np.isfinite(line))[0] == 25 and np.flatnonzero(np.isfinite(expected))[0] == 33
    np.testing.assert_allclose(line[33:], expected[33:], atol=5e-13, rtol=0)
    # Both start at the mean of their own last values up to bar 25.
    assert line[25] == pytest.approx(CLOSE[14:26].mean() - CLOSE[:26].mean(), abs=1e-12)


def test_the_channel_is_talibs_extremes_one_bar_later() -> None:
    wide, narrow = donchian(HIGH, LOW, 20), donchian(HIGH, LOW, 10)
    np.testing.assert_array_equal(wide.upper[1:], talib("max_20")[:-1])
    np.testing.assert_array_equal(narrow.lower[1:], talib("min_10")[:-1])
    np.testing.assert_array_equal(wide.middle, (wide.upper + wide.lower) / 2)
    # With the present bar in it, no close could ever leave the channel.
    assert np.any(CLOSE[20:] > wide.upper[20:]) and np.any(CLOSE[10:] < narrow.lower[10:])


@pytest.mark.parametrize("bars", [1, 2, 7, 30, 199])
def test_the_channel_is_its_definition(bars: int) -> None:
    rng = np.random.default_rng(bars)
    high = rng.integers(0, 12, 200).astype(float)  # many ties
    bands = donchian(high, -high, bars)
    for t in range(200):
        expected = high[t - bars : t].max() if t >= bars else np.nan
        assert bands.upper[t] == expected or (np.isnan(expected) and np.isnan(bands.upper[t]))
    np.testing.assert_array_equal(bands.lower, -bands.upper)


# StockCharts ChartSchool, "Relative Strength Index", the worked table of its calculation (closes of QQQQ, RSI of 14).
PUBLISHED_CLOSE = """
44.3389 44.0902 44.1497 43.6124 44.3278 44.8264 45.0955 45.4245 45.8433 46.0826 45.8931 46.0328 45.6140 46.2820 46.2820
46.0028 46.0328 46.4116 46.2222 45.6439 46.2122
"""
PUBLISHED_RSI = [70.53, 66.32, 66.55, 69.41, 66.36, 57.97, 62.93]


def test_it_equals_the_published_table_of_relative_strength() -> None:
    found = rsi(np.array(PUBLISHED_CLOSE.split(), float), 14)
    assert np.isnan(found[:14]).all()
    np.testing.assert_allclose(found[14:], PUBLISHED_RSI, atol=0.006, rtol=0)


def test_relative_strength_at_its_ends() -> None:
    assert set(rsi(np.full(30, 0.1), 14)[14:]) == {50.0}
    assert set(talib("rsi_flat")[14:]) == {0.0}  # the one place where the convention is not TA-Lib's
    assert set(rsi(np.arange(30.0), 14)[14:]) == {100.0}
    assert set(rsi(np.arange(30.0)[::-1].copy(), 14)[14:]) == {0.0}


def test_bands_of_a_steep_price_keep_their_digits() -> None:
    """Deviations of 1e-5 at a price of 1e6, where the difference of two squares would keep none."""
    rng = np.random.default_rng(3)
    x = 1e6 + 1e-5 * rng.standard_normal(200)
    bands = bollinger(x, 20, 2.0)
    window = x[180:] - 1e6
    assert bands.upper[-1] - bands.lower[-1] == pytest.approx(4.0 * window.std(), rel=1e-3)


def test_a_long_mean_does_not_drift() -> None:
    x = np.concatenate([np.full(5, 1e12), np.random.default_rng(1).random(100_000)])
    found = sma(x, 50)
    assert found[-1] == pytest.approx(x[-50:].mean(), abs=1e-14)
    np.testing.assert_allclose(found[200:], np.convolve(x, np.full(50, 0.02), "valid")[151:], atol=1e-12, rtol=0)


SERIES: dict[str, Callable[..., tuple[np.ndarray, ...]]] = {
    "sma": lambda high, low, close: (sma(close, 20),),
    "ema": lambda high, low, close: (ema(close, 20),),
    "rsi": lambda high, low, close: (rsi(close, 14),),
    "true_range": lambda high, low, close: (true_range(high, low, close),),
    "atr": lambda high, low, close: (atr(high, low, close, 14),),
    "bollinger": lambda high, low, close: tuple(bollinger(close, 20, 2.0)),
    "macd": lambda high, low, close: tuple(macd(close)),
    "donchian": lambda high, low, close: tuple(donchian(high, low, 20)),
}


@pytest.mark.parametrize("name", SERIES)
def test_a_value_knows_only_its_past(name: str) -> None:
    _, high, low, close, _ = market(300)
    whole = SERIES[name](high, low, close)
    for n in (0, 1, 13, 14, 20, 26, 34, 35, 150, 299):
        part = SERIES[name](high[:n], low[:n], close[:n])
        assert digest(*part) == digest(*(column[:n] for column in whole))


@pytest.mark.parametrize("name", SERIES)
@pytest.mark.parametrize("power", [-20, 7])
def test_the_unit_of_price_does_not_matter(name: str, power: int) -> None:
    _, high, low, close, _ = market(300)
    unit = 2.0**power
    factor = 1.0 if name == "rsi" else unit
    scaled = SERIES[name](high * unit, low * unit, close * unit)
    assert digest(*scaled) == digest(*(column * factor for column in SERIES[name](high, low, close)))


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("bars", lambda: sma(CLOSE, 0)),
        ("bars", lambda: rsi(CLOSE, 1)),
        ("fast", lambda: macd(CLOSE, 26, 26)),
        ("x", lambda: ema(np.array([1.0, np.nan]), 1)),
        ("low", lambda: donchian(CLOSE, np.full(CLOSE.shape[0], np.inf))),
        ("high", lambda: donchian(CLOSE, CLOSE[1:])),
        ("deviations", lambda: bollinger(CLOSE, 20, -1.0)),
    ],
)
def test_what_cannot_be_used_is_named(field: str, call: Callable[[], object]) -> None:
    with pytest.raises(InvalidInput) as caught:
        call()
    assert caught.value.field == field
