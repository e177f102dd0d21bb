"""Reads of the strategy room."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Any

from django.conf import settings

from apps.audit import selectors as audit
from apps.engine.view import View, view_from_snapshot
from apps.strategy.models import View as ViewRow

_CACHE_SIZE = 64
_views: OrderedDict[str, View] = OrderedDict()
_lock = Lock()


@dataclass(frozen=True)
class ViewRef:
    """A stored view with the hash of its snapshot and the regime at it."""

    view: View
    snapshot_hash: str
    regime: dict[str, Any]


def view_latest(symbol: str) -> ViewRef | None:
    """The newest stored view of a symbol; None before the first."""
    row = ViewRow.objects.filter(symbol=symbol, interval=settings.INTERVAL).order_by("-bar_open_ms").first()
    if row is None:
        return None
    return ViewRef(view_of(row.snapshot_hash), row.snapshot_hash, row.regime)


def view_of(snapshot_hash: str) -> View:
    """The view behind a snapshot's hash; the last few are kept in memory."""
    with _lock:
        if snapshot_hash in _views:
            return _views[snapshot_hash]
    view = view_from_snapshot(audit.snapshot_get(snapshot_hash))
    with _lock:
        _views[snapshot_hash] = view
        while len(_views) > _CACHE_SIZE:
            _views.popitem(last=False)
    return view


def regime_current(symbol: str) -> dict[str, Any] | None:
    """The regime at the newest view of a symbol, as plain values; None before the first view."""
    row = ViewRow.objects.filter(symbol=symbol, interval=settings.INTERVAL).order_by("-bar_open_ms").first()
    return None if row is None else {**row.regime, "bar_open_ms": row.bar_open_ms}


def fold_watermark_ms(symbol: str) -> int | None:
    """Open time of the newest folded bar of a symbol."""
    row = ViewRow.objects.filter(symbol=symbol, interval=settings.INTERVAL).order_by("-bar_open_ms").first()
    return None if row is None else row.bar_open_ms


def views_count() -> int:
    """How many bars were folded while the desk ran."""
    return ViewRow.objects.count()
