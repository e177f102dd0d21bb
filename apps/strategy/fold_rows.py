"""The control rows of a symbol's fold as plain values: what besides the bars its state depends on."""

from __future__ import annotations

from typing import NamedTuple

from django.conf import settings

from apps.strategy.models import FoldControl


class FoldRows(NamedTuple):
    """Where the fold starts (None before its first bar), the bars the BOCPD flag changed at, the bars behind gaps."""

    start_ms: int | None
    toggles: tuple[tuple[int, bool], ...]
    gaps: tuple[int, ...]


def fold_rows(symbol: str) -> FoldRows:
    """All control rows of a symbol at the desk's interval."""
    rows = FoldControl.objects.filter(symbol=symbol, interval=settings.INTERVAL).order_by("bar_open_ms")
    found: dict[str, list[tuple[int, int]]] = {FoldControl.START: [], FoldControl.BOCPD: [], FoldControl.GAP: []}
    for kind, opened, value in rows.values_list("kind", "bar_open_ms", "value"):
        found.setdefault(kind, []).append((opened, value))
    starts = found[FoldControl.START]
    return FoldRows(
        starts[0][0] if starts else None,
        tuple((opened, bool(value)) for opened, value in found[FoldControl.BOCPD]),
        tuple(opened for opened, _ in found[FoldControl.GAP]),
    )
