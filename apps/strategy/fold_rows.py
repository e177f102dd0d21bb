"""The control rows of a symbol's fold as plain values: what besides the bars its state depends on."""

from __future__ import annotations

from typing import NamedTuple

from django.conf import settings

from apps.strategy.models import FoldControl


class FoldRows(NamedTuple):
    """Where the fold starts (None before its first bar), the bars that the BOCPD flag changed at."""

    start_ms: int | None
    toggles: tuple[tuple[int, bool], ...]


def fold_rows(symbol: str) -> FoldRows:
    """The control rows of a symbol at the desk's interval."""
    rows = FoldControl.objects.filter(symbol=symbol, interval=settings.INTERVAL).order_by("bar_open_ms")
    toggles = rows.filter(kind=FoldControl.BOCPD).values_list("bar_open_ms", "value")
    return FoldRows(
        rows.filter(kind=FoldControl.START).values_list("bar_open_ms", flat=True).first(),
        tuple((opened, bool(value)) for opened, value in toggles),
    )
