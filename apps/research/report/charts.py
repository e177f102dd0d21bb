"""Curves and ribbons as SVG paths in a box of 1000 by 100, with ticks as percentages so that text never scales."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from apps.dashboard.formats import percent
from apps.web.values import iso_ms

WIDTH, HEIGHT = 1000.0, 100.0
POINTS, BUCKETS, TICKS = 500, 250, 5
DAY_MS = 86_400_000


@dataclass(frozen=True)
class Tick:
    """A label at a share of the box, in per cent from the top or the left."""

    at: str
    text: str


@dataclass(frozen=True)
class Shape:
    """One path with its class and name; `last` is what its legend says besides."""

    name: str
    tone: str
    path: str
    last: str


@dataclass(frozen=True)
class Chart:
    """What a template needs to draw and to describe a chart."""

    name: str
    title: str
    text: str
    shapes: Sequence[Shape]
    rows: Sequence[Tick]
    columns: Sequence[Tick]
    is_filled: bool = False


def thinned(values: Any, pick: Callable[[Any], Any]) -> Any:
    """At most POINTS values, each picked from a stretch of neighbors: the last, or the least."""
    if values.shape[0] <= POINTS:
        return values
    edges = np.linspace(0, values.shape[0], POINTS + 1).astype(np.int64)
    return np.array([pick(values[first:end]) for first, end in zip(edges[:-1], edges[1:], strict=True)])


def last_of(values: Any) -> Any:
    return values[-1]


def line_chart(
    name: str, title: str, text: str, curves: Sequence[tuple[str, str, Any]], label: Callable[[float], str],
    span: tuple[int, int], *, pick: Callable[[Any], Any] = last_of,
) -> Chart:  # fmt: skip
    """Curves (name, class, values at every step) on one scale."""
    drawn = [(curve, tone, thinned(values, pick), values) for curve, tone, values in curves]
    low = min(float(points.min()) for _, _, points, _ in drawn)
    high = max(float(points.max()) for _, _, points, _ in drawn)
    rows = _steps(low, high)
    low, high = min(low, rows[0]), max(high, rows[-1])
    reach = (high - low) or 1.0
    shapes = [
        Shape(curve, tone, _line(1.0 - (points - low) / reach), label(float(pick(values))))
        for curve, tone, points, values in drawn
    ]
    ticks = [Tick(f"{100 * (1 - (value - low) / reach):.2f}", label(value)) for value in rows]
    return Chart(name, title, text, shapes, ticks, time_ticks(span))


def ribbon(
    name: str, title: str, text: str, codes: Any, at: Any, names: Sequence[tuple[int, str, str]], n: int,
    span: tuple[int, int],
) -> Chart:  # fmt: skip
    """The share of each code (code, name, class) over time; `at` are the steps of the codes within `n`."""
    buckets = min(BUCKETS, max(1, n))
    place = np.minimum(at * buckets // max(1, n), buckets - 1)
    total = np.bincount(place, minlength=buckets).astype(np.float64)
    below, shapes = np.zeros(buckets), []
    for code, word, tone in names:
        mine = codes == code
        if not mine.any():
            continue
        share = np.bincount(place[mine], minlength=buckets) / np.maximum(total, 1.0)
        shapes.append(Shape(word, tone, _band(below, below + share), percent(float(np.mean(mine)), 1)))
        below = below + share
    return Chart(name, title, text, shapes, (), time_ticks(span), is_filled=True)


def time_ticks(span: tuple[int, int]) -> list[Tick]:
    """A few moments along the axis, as dates, or with the time of day where the span is short."""
    first_ms, end_ms = span
    is_short = end_ms - first_ms <= 3 * DAY_MS
    marks = [first_ms + (end_ms - first_ms) * k // (TICKS - 1) for k in range(TICKS)]
    texts = [iso_ms(ms)[5:16].replace("T", " ") if is_short else iso_ms(ms)[:10] for ms in marks]
    return [Tick(f"{100 * k / (TICKS - 1):.2f}", text) for k, text in enumerate(texts)]


def _steps(low: float, high: float) -> list[float]:
    """Round values that cover a range: 1, 2 or 5 times a power of ten apart."""
    reach = high - low
    if not reach > 0.0:
        return [low]
    raw = reach / (TICKS - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= raw)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [step * k for k in range(first, last + 1)]


def _line(heights: Any) -> str:
    n = heights.shape[0]
    step = WIDTH / max(1, n - 1)
    return "M" + " ".join(f"{k * step:.1f},{HEIGHT * h:.2f}" for k, h in enumerate(heights.tolist()))


def _band(lower: Any, upper: Any) -> str:
    """A stepped band between two heights, both as shares of the box from its bottom."""
    n = lower.shape[0]
    xs = [WIDTH * k / n for k in range(n + 1)]
    top = [f"{x:.1f},{HEIGHT * (1 - u):.2f}" for k, u in enumerate(upper.tolist()) for x in (xs[k], xs[k + 1])]
    bottom = [f"{x:.1f},{HEIGHT * (1 - u):.2f}" for k, u in enumerate(lower.tolist()) for x in (xs[k], xs[k + 1])]
    return "M" + " ".join(top + bottom[::-1]) + "Z"
