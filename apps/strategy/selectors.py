"""Reads of the strategy room."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Max, QuerySet

from apps.audit import selectors as audit
from apps.audit import statements
from apps.engine.policies import arms
from apps.engine.view import View, view_from_snapshot
from apps.strategy.facts import disabled_of
from apps.strategy.models import FoldControl
from apps.strategy.models import View as ViewRow
from apps.strategy.situations import NOT_EMBEDDED, Situation, situation_of

_CACHE_SIZE = 64
# Every decision of the router reads it: its text is ready, where the ORM would compose it anew.
_LATEST = (
    'SELECT snapshot_hash, regime, situation FROM strategy_view WHERE symbol = %s AND "interval" = %s '
    "ORDER BY bar_open_ms DESC LIMIT 1"
)
_views: OrderedDict[str, View] = OrderedDict()
_lock = Lock()


@dataclass(frozen=True)
class ViewRef:
    """A stored view with the hash of its snapshot, the regime at it, and what it resembles."""

    view: View
    snapshot_hash: str
    regime: dict[str, Any]
    situation: Situation = NOT_EMBEDDED


def view_latest(symbol: str) -> ViewRef | None:
    """The newest stored view of a symbol; None before the first."""
    row = statements.first(_LATEST, (symbol, settings.INTERVAL), using=DEFAULT_DB_ALIAS)
    if row is None:
        return None
    return ViewRef(view_of(row[0]), row[0], json.loads(row[1]), situation_of(json.loads(row[2])))


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


def situation_current(symbol: str) -> Situation:
    """What the newest view of a symbol resembles."""
    rows = ViewRow.objects.filter(symbol=symbol, interval=settings.INTERVAL).order_by("-bar_open_ms")
    return situation_of(rows.values_list("situation", flat=True).first() or {})


def coverage_current(symbol: str) -> list[dict[str, Any]]:
    """How the reward forecasts of each arm have done, as of the newest grid bar; empty before the first."""
    rows = ViewRow.objects.filter(symbol=symbol, interval=settings.INTERVAL, is_grid=True).order_by("-bar_open_ms")
    found: list[dict[str, Any]] = rows.values_list("coverage", flat=True).first() or []
    return found


def policies_current() -> list[dict[str, Any]]:
    """Every arm, whether it may be chosen."""
    disabled = disabled_of(audit.controls_current())
    return [
        {"policy_id": policy.policy_id, "summary": policy.summary, "active": policy.policy_id not in disabled}
        for policy in arms()
    ]


def fold_watermark_ms(symbol: str) -> int | None:
    """Open time up to which bars of a symbol are folded or given up: what opens at or before it comes too late.

    Inside a transaction that holds `fold_lock` the answer is true until COMMIT.
    """
    folded, gap = view_newest_ms(symbol), _controls(symbol, FoldControl.GAP).aggregate(newest=Max("bar_open_ms"))
    given_up = [gap["newest"] - settings.INTERVAL_MS] if gap["newest"] is not None else []
    return max([*([folded] if folded is not None else []), *given_up], default=None)


def view_newest_ms(symbol: str) -> int | None:
    """Open time of the newest bar of a symbol that has a view."""
    row = ViewRow.objects.filter(symbol=symbol, interval=settings.INTERVAL).order_by("-bar_open_ms").first()
    return None if row is None else row.bar_open_ms


def fold_start_ms(symbol: str) -> int | None:
    """Open time of the bar that a symbol's fold begins with; None before the first."""
    start = _controls(symbol, FoldControl.START).order_by("bar_open_ms").first()
    return None if start is None else start.bar_open_ms


def fact_rows(symbol: str) -> Iterable[tuple[int, str, str, int]]:
    """(bar, kind, policy, value) of the control rows that change how a bar is folded, oldest first."""
    rows = FoldControl.objects.filter(
        symbol=symbol, interval=settings.INTERVAL, kind__in=(FoldControl.BOCPD, FoldControl.ACTIVE)
    )
    return rows.order_by("bar_open_ms", "id").values_list("bar_open_ms", "kind", "policy", "value")


def fold_lock(symbol: str) -> None:
    """Until COMMIT no bar of a symbol is stored and no hole in them is stepped over by anybody else."""
    # SQLite's transactions are IMMEDIATE and exclude each other already.
    _controls(symbol, FoldControl.START).select_for_update().first()


def _controls(symbol: str, kind: str) -> QuerySet[FoldControl]:
    return FoldControl.objects.filter(symbol=symbol, interval=settings.INTERVAL, kind=kind)


def views_count() -> int:
    """How many bars were folded while the desk ran."""
    return ViewRow.objects.count()
