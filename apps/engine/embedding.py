"""Which past situations resemble this one, and is it new? Contexts of three moments, projected to eight numbers.

The context without its constant, now and 12 and 24 bars ago, is 30 numbers; a principal component analysis of a frozen
window reduces them to 8, whitened, each component's largest loading positive. For people and alerts, never for trading.
A model is a value: its version is the hash of its content, and it stays what it is until another one is fitted.

Sums run in the open and the eigenvectors come from Jacobi's rotations: a library's bits would differ between machines.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from apps.engine.codec import canonical_bytes, float_from, float_text, parse_canonical, sha256_hex
from apps.engine.errors import InvalidInput
from apps.engine.features import FEATURE_VERSION, N_FEATURES
from apps.engine.projection import distances_nb, jacobi_nb, moments_nb, project_nb
from apps.engine.values import Array1d, Array2d, IntArray1d

LAG_BARS = (0, 12, 24)
N_INPUTS = (N_FEATURES - 1) * len(LAG_BARS)
N_COMPONENTS = 8
NEIGHBOR = 10
MIN_SITUATIONS, MAX_SITUATIONS = 300, 5_000
NOVELTY_LEVEL = 0.99
SCHEMA = 1
NOT_FITTED = "its projection has not been fitted"


class EmbeddingModel(NamedTuple):
    """A fitted projection. `situations` are the fit window's own embeddings, at `times_ms`; `radius` is the distance
    to the tenth nearest that 99 % of them stay within. Contexts come one per `step_bars` bars."""

    version: str
    feature_version: int
    step_bars: int
    mean: Array1d
    weights: Array2d
    situations: Array2d
    times_ms: IntArray1d
    radius: float


class Embedding(NamedTuple):
    """Eight numbers, or None and the reason. `novelty` above 1 is further out than 99 % of the fit window."""

    values: tuple[float, ...] | None
    reason: str = ""
    novelty: float | None = None


UNFITTED = Embedding(None, NOT_FITTED)


class Neighbor(NamedTuple):
    """A past situation and how far away it is."""

    time_ms: int
    distance: float


def lag_rows(step_bars: int) -> tuple[int, ...]:
    """The lags in rows of one per `step_bars` bars: the nearest row, and never the same one twice."""
    if step_bars < 1:
        raise InvalidInput(f"step_bars must be at least 1, not {step_bars}", field="step_bars")
    return tuple(max(order, (2 * bars + step_bars) // (2 * step_bars)) for order, bars in enumerate(LAG_BARS))


def fit_embedding(contexts: Array2d, times_ms: IntArray1d, *, step_bars: int, step_ms: int) -> EmbeddingModel:
    """Fit on a frozen window: one context per row, `step_ms` apart; rows with a NaN or across a gap are left out."""
    stacked, times = _situations(contexts, times_ms, lag_rows(step_bars), step_ms)
    if stacked.shape[0] < MIN_SITUATIONS:
        raise InvalidInput(
            f"the window holds {stacked.shape[0]} whole situations, fewer than {MIN_SITUATIONS}", field="contexts"
        )
    mean, weights = _whitening(stacked)
    embedded = np.empty((stacked.shape[0], N_COMPONENTS))
    for row in range(stacked.shape[0]):
        project_nb(weights, mean, stacked[row], embedded[row])
    # Evenly thinned, so that looking for neighbors stays cheap however long the window was.
    stride = -(-stacked.shape[0] // MAX_SITUATIONS)
    kept, kept_times = np.ascontiguousarray(embedded[::stride]), np.ascontiguousarray(times[::stride])
    model = EmbeddingModel("", FEATURE_VERSION, step_bars, mean, weights, kept, kept_times, _radius(kept))
    return model._replace(version=sha256_hex(_body(model)))


def embed(model: EmbeddingModel | None, ring: Array2d) -> Embedding:
    """Embed the newest of the contexts in `ring`: one row per `step_bars` bars without a gap, oldest first."""
    if model is None:
        return Embedding(None, NOT_FITTED)
    if model.feature_version != FEATURE_VERSION:
        return Embedding(
            None, f"its projection belongs to features of version {model.feature_version}, not {FEATURE_VERSION}"
        )
    rows = lag_rows(model.step_bars)
    if ring.shape[0] <= rows[-1]:
        return Embedding(None, f"it needs {rows[-1] + 1} contexts without a gap, and there are {ring.shape[0]}")
    stacked = np.concatenate([ring[ring.shape[0] - 1 - back, 1:] for back in rows])
    for lag, part in zip(LAG_BARS, np.split(stacked, len(LAG_BARS)), strict=True):
        if not np.isfinite(part).all():
            return Embedding(None, f"a feature is missing {lag} bars ago" if lag else "a feature is missing")
    values = np.empty(N_COMPONENTS)
    project_nb(model.weights, model.mean, stacked, values)
    return Embedding(tuple(values.tolist()), "", _neighbor_distance(model.situations, values) / model.radius)


def nearest_situations(model: EmbeddingModel, values: tuple[float, ...], count: int = NEIGHBOR) -> tuple[Neighbor, ...]:
    """The situations of the fit window most like this one, nearest first (the older of equals first)."""
    distances = np.empty(model.situations.shape[0])
    distances_nb(model.situations, np.array(values), distances)
    order = np.argsort(distances, kind="stable")[:count]
    return tuple(Neighbor(int(model.times_ms[row]), float(distances[row])) for row in order)


def embedding_bytes(model: EmbeddingModel) -> bytes:
    """The model as canonical bytes, whose SHA-256 is its version."""
    return _body(model)


def embedding_from(body: bytes) -> EmbeddingModel:
    """The model behind `embedding_bytes`."""
    fields = parse_canonical(body)
    missing = {"schema", *EmbeddingModel._fields} - {"version"} - set(fields)
    if missing or fields["schema"] != SCHEMA:
        raise InvalidInput(f"not an embedding of schema {SCHEMA}; missing: {sorted(missing)}", field="schema")
    mean, weights, situations = (_floats(fields[name]) for name in ("mean", "weights", "situations"))
    times_ms = np.array(fields["times_ms"], np.int64)
    sizes = (mean.shape[0], weights.shape[0], situations.shape[0])
    if sizes != (N_INPUTS, N_COMPONENTS * N_INPUTS, N_COMPONENTS * times_ms.shape[0]):
        raise InvalidInput(f"an embedding's parts have lengths {sizes}", field="situations")
    return EmbeddingModel(
        sha256_hex(body),
        fields["feature_version"],
        fields["step_bars"],
        mean,
        weights.reshape(N_COMPONENTS, N_INPUTS),
        situations.reshape(-1, N_COMPONENTS),
        times_ms,
        float_from(fields["radius"]),
    )


def _situations(
    contexts: Array2d, times_ms: IntArray1d, rows: tuple[int, ...], step_ms: int
) -> tuple[Array2d, IntArray1d]:
    """Every stack of contexts that is whole, and its time."""
    if contexts.ndim != 2 or contexts.shape[1] != N_FEATURES or contexts.shape[0] != times_ms.shape[0]:
        raise InvalidInput(f"contexts must be rows of {N_FEATURES}, one per time", field="contexts")
    last = rows[-1]
    at = np.arange(last, contexts.shape[0])
    stacked = np.concatenate([contexts[at - back, 1:] for back in rows], axis=1)
    is_whole = np.isfinite(stacked).all(axis=1) & (times_ms[at] - times_ms[at - last] == last * step_ms)
    return np.ascontiguousarray(stacked[is_whole]), times_ms[at][is_whole]


def _whitening(stacked: Array2d) -> tuple[Array1d, Array2d]:
    """(mean, weights) that turn stacks into components of variance 1, the largest original variance first."""
    mean, covariance = np.zeros(N_INPUTS), np.zeros((N_INPUTS, N_INPUTS))
    moments_nb(stacked, mean, covariance)
    vectors = np.eye(N_INPUTS)
    jacobi_nb(covariance, vectors)
    variances = np.diag(covariance)
    order = np.argsort(-variances, kind="stable")[:N_COMPONENTS]
    if not variances[order[-1]] > 1e-12 * variances[order[0]]:
        raise InvalidInput(f"the window varies in fewer than {N_COMPONENTS} directions", field="contexts")
    weights = np.empty((N_COMPONENTS, N_INPUTS))
    for row, component in enumerate(order):
        loadings = vectors[:, component]
        sign = math.copysign(1.0, loadings[int(np.argmax(np.abs(loadings)))])
        weights[row] = sign * loadings / math.sqrt(variances[component])
    return mean, weights


def _radius(situations: Array2d) -> float:
    """The 99th percentile (an order statistic) of the distance to the tenth nearest other situation."""
    # Each is its own nearest, hence the eleventh.
    reach = sorted(_neighbor_distance(situations, situations[row], NEIGHBOR + 1) for row in range(len(situations)))
    radius = reach[math.ceil(NOVELTY_LEVEL * len(reach) - 1e-9) - 1]
    if not radius > 0.0:
        raise InvalidInput("the window's situations are the same", field="contexts")
    return radius


def _neighbor_distance(situations: Array2d, values: Array1d, neighbor: int = NEIGHBOR) -> float:
    distances = np.empty(situations.shape[0])
    distances_nb(situations, values, distances)
    return float(np.partition(distances, neighbor - 1)[neighbor - 1])


def _body(model: EmbeddingModel) -> bytes:
    fields = model._asdict()
    del fields["version"]
    for name in ("mean", "weights", "situations"):
        fields[name] = [float_text(value) for value in fields[name].ravel().tolist()]
    fields["times_ms"] = model.times_ms.tolist()
    return canonical_bytes({**fields, "radius": float_text(model.radius), "schema": SCHEMA})


def _floats(texts: list[str]) -> Array1d:
    return np.array([float_from(text) for text in texts])
