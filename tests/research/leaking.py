"""Policies that look ahead, each by another way: material of the tests of lookahead_check."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from apps.engine.policies import POLICIES, Bar, Parameter, python_policy
from apps.engine.values import Array1d

SPARE = Parameter("spare", "float", 0.5, 0.0, 1.0, "linear", "Not used.")
SEEN: list[float] = []
CLOSES = Path(__file__).parent / "closes.txt"
WIDTH = 5


def closes_at_hand() -> Array1d | None:
    """The close column of whoever runs this policy over a whole series, found by walking up its frames."""
    frame = sys._getframe(1)
    while frame is not None:
        columns = frame.f_locals.get("columns")
        if isinstance(columns, tuple) and len(columns) == 5:
            return np.asarray(columns[3])
        frame = frame.f_back  # type: ignore[assignment]
    return None


def global_peek(state: Array1d, bar: Bar) -> float:
    """Keeps every close in a global list, and knows what came next when the same bars come again."""
    state[0] += 1.0
    at = int(state[0])
    if len(SEEN) > at:
        return 1.0 if SEEN[at] > bar.close else 0.0
    SEEN[at - 1 :] = [bar.close]
    return 0.0


def centred_window(state: Array1d, bar: Bar) -> float:
    """Above the mean of the five bars before and the five bars after."""
    state[0] += 1.0
    at, closes = int(state[0]) - 1, closes_at_hand()
    window = closes[max(0, at - WIDTH) : at + WIDTH + 1] if closes is not None else np.array([bar.close])
    return 1.0 if bar.close > window.mean() else 0.0


def full_series_mean(state: Array1d, bar: Bar) -> float:
    """Below the mean of the whole series: a normalization that was fitted on the future."""
    closes = closes_at_hand()
    return 1.0 if bar.close < (bar.close if closes is None else closes.mean()) else 0.0


def file_of_closes(state: Array1d, bar: Bar) -> float:
    """The close of t + 1, read from a file."""
    state[0] += 1.0
    closes = [float(line) for line in CLOSES.read_text().split()]
    at = int(state[0])
    return 1.0 if at < len(closes) and closes[at] > bar.close else 0.0


def draws(state: Array1d, bar: Bar) -> float:
    """Looks at nothing and is no function of the bars either."""
    return random.random()


def honest(state: Array1d, bar: Bar) -> float:
    """Long while the close is above its slow average."""
    state[0] += 0.05 * (bar.close - state[0]) if state[0] else bar.close
    return 1.0 if bar.close > state[0] else 0.0


def plain(policy_id: str, update: Callable[[Array1d, Bar], float]) -> None:
    POLICIES.register(
        python_policy(
            policy_id=policy_id,
            summary="Planted.",
            parameters=(SPARE,),
            init=lambda values: np.zeros(2),
            update=update,
            warm_up=lambda values: 1,
        )
    )


for planted in (global_peek, centred_window, full_series_mean, file_of_closes, draws, honest):
    plain(planted.__name__, planted)
