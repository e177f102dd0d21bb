"""What the engine saw at one closed bar: the value, its snapshot bytes and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from apps.engine.codec import canonical_bytes, float_from, float_text, parse_canonical
from apps.engine.decision import N_ARM_ROWS, ViewRecord
from apps.engine.features import FEATURE_VERSION
from apps.engine.values import Array1d, Array2d, IntArray1d

SNAPSHOT_SCHEMA = 1


@dataclass(frozen=True)
class View:
    """One symbol at one closed bar. `arms` has rows signal, loc, h, a, b, n (decision.ARM_*), one column per policy.

    `coefficients` (11, K) is the posterior mean of each arm's weights, `precision` (66, K) the lower triangle of
    P = lam I + Sxx, `context` the 11 features; `last_applied_grid_bar` is the newest bar whose reward was learned.
    """

    symbol: str
    interval_ms: int
    record: ViewRecord
    is_grid: bool
    arms: Array2d
    gates: IntArray1d
    context: Array1d
    coefficients: Array2d
    precision: Array2d
    last_applied_grid_bar: int
    state_hash: str
    policies: tuple[str, ...]

    @property
    def close_ms(self) -> int:
        """The instant the bar closed: the open of the next one."""
        return self.record.bar_open_ms + self.interval_ms


def _floats(values: Array1d) -> list[str]:
    return [float_text(float(value)) for value in values]


def snapshot_bytes(view: View) -> bytes:
    """Canonical JSON of the whole view. Equal design matrices of all arms (full feedback) are written once."""
    bits = np.ascontiguousarray(view.precision).view(np.int64)
    is_shared = bool((bits == bits[:, :1]).all()) if bits.shape[1] else False
    precision = view.precision[:, :1] if is_shared else view.precision
    record = {
        name: float_text(value) if isinstance(value, float) else int(value)
        for name, value in view.record._asdict().items()
    }
    return canonical_bytes(
        {
            "schema": SNAPSHOT_SCHEMA,
            "feature_version": FEATURE_VERSION,
            "symbol": view.symbol,
            "interval_ms": view.interval_ms,
            "record": record,
            "is_grid": view.is_grid,
            "policies": list(view.policies),
            "arms": [_floats(row) for row in view.arms],
            "gates": [int(gate) for gate in view.gates],
            "context": _floats(view.context),
            "coefficients": [_floats(row) for row in view.coefficients.T],
            "precision": [_floats(row) for row in precision.T],
            "last_applied_grid_bar": view.last_applied_grid_bar,
            "state_hash": view.state_hash,
        }
    )


def _matrix(rows: list[list[str]], n_columns: int) -> Array2d:
    flat = [float_from(text) for row in rows for text in row]
    return np.array(flat, np.float64).reshape(len(rows), -1 if rows else n_columns)


def view_from_snapshot(body: bytes) -> View:
    """The view behind `snapshot_bytes`, bit for bit."""
    fields: dict[str, Any] = parse_canonical(body)
    policies = tuple(fields["policies"])
    kinds = ViewRecord.__annotations__
    record: dict[str, Any] = {
        name: float_from(value) if isinstance(value, str) else value for name, value in fields["record"].items()
    }
    precision = _matrix(fields["precision"], 66).T
    if precision.shape[1] == 1 and len(policies) > 1:
        precision = np.repeat(precision, len(policies), axis=1)
    arms = _matrix(fields["arms"], len(policies))
    return View(
        symbol=fields["symbol"],
        interval_ms=fields["interval_ms"],
        record=ViewRecord(**{name: record[name] for name in kinds}),
        is_grid=fields["is_grid"],
        arms=np.ascontiguousarray(arms.reshape(N_ARM_ROWS, len(policies))),
        gates=np.array(fields["gates"], np.int64),
        context=np.array([float_from(text) for text in fields["context"]]),
        coefficients=np.ascontiguousarray(_matrix(fields["coefficients"], 11).T),
        precision=np.ascontiguousarray(precision),
        last_applied_grid_bar=fields["last_applied_grid_bar"],
        state_hash=fields["state_hash"],
        policies=policies,
    )
