"""The draw of a decision equals numpy's Philox and depends on nothing but its key."""

from __future__ import annotations

import math

import numpy as np
import pytest

from apps.engine.rng import philox_uniform_nb, symbol_id

TOP = 2**63 - 1


def numpy_uniform(seed: int, symbol: int, bar_time_ms: int, attempt: int) -> float:
    """The same draw by numpy, whose counter is one less than the block it answers with."""
    counter = ((attempt << 64) + bar_time_ms - 1) % (1 << 256)
    words = np.array([(counter >> (64 * i)) & (2**64 - 1) for i in range(4)], np.uint64)
    generator = np.random.Philox(key=np.array([seed, symbol], np.uint64), counter=words)
    return (int(generator.random_raw()) >> 11) * 2.0**-53


def test_it_equals_the_published_vector() -> None:
    # Random123's known answer for philox4x64-10 with key and counter 0: first word 16554d9eca36314c.
    assert philox_uniform_nb(0, 0, 0, 0) == (0x16554D9ECA36314C >> 11) * 2.0**-53


@pytest.mark.parametrize("key", [(0, 0, 0, 0), (0, 0, 0, 1), (0, 0, 1, 0), (TOP, TOP, TOP, TOP), (7, 1, 1, 0)])
def test_it_equals_numpy_at_the_edges(key: tuple[int, int, int, int]) -> None:
    assert philox_uniform_nb(*key) == numpy_uniform(*key)


def test_it_equals_numpy() -> None:
    for key in np.random.default_rng(4).integers(0, TOP, size=(500, 4)).tolist():
        assert philox_uniform_nb(*key) == numpy_uniform(*key)


def test_every_part_of_the_key_matters() -> None:
    base = [11, 22, 33, 44]
    drawn = {philox_uniform_nb(*base)}
    for place in range(4):
        drawn.add(philox_uniform_nb(*[value + (index == place) for index, value in enumerate(base)]))
    assert len(drawn) == 5


def test_draws_are_spread_evenly() -> None:
    drawn = [philox_uniform_nb(7, symbol_id("BTCUSDT"), 60_000 * i, 0) for i in range(20_000)]
    counts, _ = np.histogram(drawn, bins=20, range=(0.0, 1.0))
    assert min(drawn) >= 0.0 and max(drawn) < 1.0
    assert ((counts - 1000) ** 2 / 1000).sum() < 43.8  # chi-square with 19 degrees of freedom, 0.1 %


@pytest.mark.parametrize("place", range(4))
def test_a_negative_part_has_no_draw(place: int) -> None:
    assert math.isnan(philox_uniform_nb(*[-1 if index == place else 5 for index in range(4)]))


def test_symbol_ids_never_change() -> None:
    assert symbol_id("BTCUSDT") == 924657768533564532
    assert symbol_id("ETHUSDT") != symbol_id("BTCUSDT")
    assert all(0 <= symbol_id(name) < 2**63 for name in ("", "A", "SOLUSDT", "1000PEPEUSDT"))
