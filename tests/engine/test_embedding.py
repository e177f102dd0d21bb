"""The embedding against numpy's eigenvectors, its algebra, its reasons, and its bytes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from apps.engine.codec import canonical_bytes, parse_canonical, sha256_hex
from apps.engine.embedding import (
    MAX_SITUATIONS,
    N_COMPONENTS,
    N_INPUTS,
    EmbeddingModel,
    embed,
    embedding_bytes,
    embedding_from,
    fit_embedding,
    lag_rows,
    nearest_situations,
)
from apps.engine.errors import InvalidInput
from apps.engine.features import N_FEATURES
from apps.engine.projection import jacobi_nb
from tests.engine.series import digest

MINUTE = 60_000


def contexts(n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Contexts that move slowly and together, one a minute."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, N_FEATURES))
    for t in range(1, n):
        x[t] = 0.9 * x[t - 1] + 0.4 * x[t]
    x = np.clip(x @ (np.eye(N_FEATURES) + 0.3 * rng.standard_normal((N_FEATURES, N_FEATURES))), -3.0, 3.0)
    x[:, 0] = 1.0
    return x, np.arange(n, dtype=np.int64) * MINUTE


def fitted(n: int = 900, **options: object) -> tuple[EmbeddingModel, np.ndarray]:
    x, times = contexts(n)
    return fit_embedding(x, times, step_bars=1, step_ms=MINUTE, **options), x


def stacks(x: np.ndarray) -> np.ndarray:
    return np.array([np.concatenate([x[t, 1:], x[t - 12, 1:], x[t - 24, 1:]]) for t in range(24, x.shape[0])])


def test_it_is_the_principal_components_by_numpy() -> None:
    model, x = fitted()
    stacked = stacks(x)
    values, vectors = np.linalg.eigh(np.cov(stacked, rowvar=False))
    components = vectors[:, ::-1][:, :N_COMPONENTS].T
    largest = np.take_along_axis(components, np.abs(components).argmax(1)[:, None], 1)
    expected = np.sign(largest) * components / np.sqrt(values[::-1][:N_COMPONENTS, None])
    np.testing.assert_allclose(model.weights, expected, atol=1e-11, rtol=0)
    np.testing.assert_allclose(model.situations, (stacked - stacked.mean(0)) @ expected.T, atol=1e-10, rtol=0)


def test_the_fit_window_is_white_and_every_largest_loading_positive() -> None:
    model, _ = fitted()
    np.testing.assert_allclose(np.cov(model.situations, rowvar=False), np.eye(N_COMPONENTS), atol=1e-12)
    np.testing.assert_allclose(model.situations.mean(0), 0.0, atol=1e-12)
    rows = np.arange(N_COMPONENTS)
    assert np.all(model.weights[rows, np.abs(model.weights).argmax(1)] > 0.0)


def test_rotations_diagonalize_any_symmetric_matrix() -> None:
    rng = np.random.default_rng(2)
    for matrix in (
        rng.standard_normal((30, 30)),
        np.outer(np.arange(30.0), np.ones(30)),
        np.eye(30),
        np.zeros((30, 30)),
    ):
        symmetric = matrix + matrix.T
        turned, vectors = symmetric.copy(), np.eye(30)
        assert jacobi_nb(turned, vectors) < 20
        np.testing.assert_allclose(np.sort(np.diag(turned)), np.linalg.eigvalsh(symmetric), atol=1e-11)
        np.testing.assert_allclose(vectors @ np.diag(np.diag(turned)) @ vectors.T, symmetric, atol=1e-11)
        np.testing.assert_allclose(vectors.T @ vectors, np.eye(30), atol=1e-13)


def test_the_newest_context_is_embedded_as_it_was_fitted() -> None:
    model, x = fitted()
    for t in (24, 300, 899):
        found = embed(model, x[: t + 1])
        assert found.values == tuple(model.situations[t - 24])
        assert found == embed(model, x[t - 24 : t + 1]), "only the last 25 rows matter"


def test_novelty_is_the_tenth_neighbor_in_units_of_the_radius() -> None:
    model, x = fitted()
    apart = np.linalg.norm(model.situations[:, None] - model.situations[None], axis=2)
    tenth = np.sort(apart, axis=1)[:, 10]  # place 0 is the situation itself
    assert model.radius == pytest.approx(np.sort(tenth)[math.ceil(0.99 * tenth.shape[0]) - 1], rel=1e-12)
    assert np.mean(tenth > model.radius) <= 0.01
    other = contexts(60, seed=5)[0]
    found = embed(model, other)
    distances = np.sort(np.linalg.norm(model.situations - np.array(found.values), axis=1))
    assert found.novelty == pytest.approx(distances[9] / model.radius, rel=1e-12)
    strange = other.copy()
    strange[-1, 1:] *= np.where(np.arange(N_FEATURES - 1) % 2, 12.0, -12.0)
    assert embed(model, strange).novelty > 1.0 > found.novelty


def test_the_nearest_situations_are_named_by_their_time() -> None:
    model, x = fitted()
    found = nearest_situations(model, embed(model, x[:500]).values, 3)
    assert found[0].time_ms == 499 * MINUTE and found[0].distance == 0.0
    assert [neighbor.distance for neighbor in found] == sorted(neighbor.distance for neighbor in found)
    assert len(nearest_situations(model, (0.0,) * N_COMPONENTS)) == 10


def test_a_situation_across_a_gap_or_with_a_hole_is_left_out_of_the_fit() -> None:
    x, times = contexts(900)
    x[400, 3] = np.nan
    times[600:] += MINUTE
    model = fit_embedding(x, times, step_bars=1, step_ms=MINUTE)
    lost = {400, 412, 424} | set(range(600, 624))
    assert model.times_ms.tolist() == [int(times[t]) for t in range(24, 900) if t not in lost]


@pytest.mark.parametrize(
    ("step_bars", "rows"), [(1, (0, 12, 24)), (5, (0, 2, 5)), (12, (0, 1, 2)), (15, (0, 1, 2)), (60, (0, 1, 2))]
)
def test_lags_are_the_nearest_rows(step_bars: int, rows: tuple[int, ...]) -> None:
    assert lag_rows(step_bars) == rows


def test_nothing_is_embedded_without_a_reason() -> None:
    model, x = fitted()
    assert embed(None, x).values is None and embed(None, x).reason == "its projection has not been fitted"
    short = embed(model, x[:24])
    assert short.values is None and short.reason == "it needs 25 contexts without a gap, and there are 24"
    for back, words in ((0, "a feature is missing"), (12, "a feature is missing 12 bars ago")):
        holed = x.copy()
        holed[899 - back, 4] = np.nan
        assert embed(model, holed) == (None, words, None)
    other = embed(model._replace(feature_version=99), x)
    assert other.values is None and "version 99" in other.reason


def test_a_model_comes_back_from_its_bytes_to_the_bit() -> None:
    model, x = fitted()
    body = embedding_bytes(model)
    again = embedding_from(body)
    assert again.version == model.version == sha256_hex(body)
    assert embedding_bytes(again) == body
    assert digest(again.mean, again.weights, again.situations, again.times_ms) == digest(
        model.mean, model.weights, model.situations, model.times_ms
    )
    assert embed(again, x) == embed(model, x)


def test_a_damaged_model_is_refused() -> None:
    fields = parse_canonical(embedding_bytes(fitted()[0]))
    for change in ({"schema": 2}, {"times_ms": fields["times_ms"][1:]}, {"mean": fields["mean"][1:]}, {"weights": []}):
        with pytest.raises(InvalidInput):
            embedding_from(canonical_bytes({**fields, **change}))
    del fields["radius"]
    with pytest.raises(InvalidInput):
        embedding_from(canonical_bytes(fields))


def test_another_window_is_another_version_and_the_same_one_is_not() -> None:
    x, times = contexts(900)
    whole = fit_embedding(x, times, step_bars=1, step_ms=MINUTE)
    assert fit_embedding(x.copy(), times.copy(), step_bars=1, step_ms=MINUTE).version == whole.version
    assert fit_embedding(x[:-1], times[:-1], step_bars=1, step_ms=MINUTE).version != whole.version


def test_a_long_window_is_thinned_evenly() -> None:
    model, _ = fitted(MAX_SITUATIONS + 500)
    assert model.situations.shape[0] == (MAX_SITUATIONS + 500 - 24 + 1) // 2
    assert set(np.diff(model.times_ms)) == {2 * MINUTE}


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("contexts", lambda x, t: fit_embedding(x[:300], t[:300], step_bars=1, step_ms=MINUTE)),
        ("contexts", lambda x, t: fit_embedding(x[:, :5], t, step_bars=1, step_ms=MINUTE)),
        ("contexts", lambda x, t: fit_embedding(x, t[1:], step_bars=1, step_ms=MINUTE)),
        ("contexts", lambda x, t: fit_embedding(np.ones_like(x), t, step_bars=1, step_ms=MINUTE)),
        ("step_bars", lambda x, t: fit_embedding(x, t, step_bars=0, step_ms=MINUTE)),
    ],
)
def test_what_cannot_be_fitted_is_named(field: str, call: Callable[..., object]) -> None:
    with pytest.raises(InvalidInput) as caught:
        call(*contexts(900))
    assert caught.value.field == field
    assert N_INPUTS == 30
