"""Two features are indicators by another name: they agree with the kernels that TA-Lib's answers are held against."""

from __future__ import annotations

import numpy as np
import pytest

from apps.engine.features import N_FEATURES, context_nb, features_bar_nb, features_state
from apps.engine.indicators import bollinger, rsi
from tests.engine.series import market, scaled


@pytest.mark.parametrize("unit", [1.0, 1e-6, 1e5])
def test_strength_and_band_position_are_the_indicators(unit: float) -> None:
    columns = scaled(market(700, seed=4), unit)
    close = columns[3]
    f, i = features_state(5)
    x, found = np.zeros(N_FEATURES), np.full((close.shape[0], N_FEATURES), np.nan)
    for t in range(close.shape[0]):
        features_bar_nb(f, i, *(column[t] for column in columns))
        context_nb(f, i, 100.0, x)
        found[t] = x
    bands = bollinger(close, 48, 1.0)
    position = (close - bands.middle) / (bands.upper - bands.middle) / 2.0
    np.testing.assert_allclose(found[14:, 6], (rsi(close, 14)[14:] - 50.0) / 20.0, atol=1e-11, rtol=0)
    np.testing.assert_allclose(found[47:, 7], np.clip(position[47:], -3.0, 3.0), atol=1e-10, rtol=0)
    assert np.isnan(found[:14, 6]).all() and np.isnan(found[:47, 7]).all()
