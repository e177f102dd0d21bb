"""Writes of the strategy room: one view per symbol and bar, and what its fold met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.db import transaction

from apps.audit import selectors as audit_log
from apps.audit import services as audit
from apps.engine.conformal import Coverage
from apps.engine.embedding import EmbeddingModel, embedding_bytes
from apps.engine.errors import IntegrityBreach, InvalidInput, StaleState
from apps.engine.policies import POLICIES
from apps.engine.regime import RegimeSummary
from apps.engine.view import View, snapshot_bytes
from apps.marketdata import selectors as market
from apps.strategy.facts import POLICIES_KEY, disabled_of
from apps.strategy.models import FoldControl
from apps.strategy.models import View as ViewRow
from apps.strategy.selectors import fold_lock
from apps.strategy.situations import NOT_EMBEDDED, Situation, model_key, situation_values


@transaction.atomic
def view_write(
    *,
    view: View,
    regime: dict[str, Any],
    ts_ms: int,
    situation: Situation = NOT_EMBEDDED,
    coverage: Sequence[dict[str, Any]] = (),
    may_exist: bool = False,
) -> str:
    """Keep the view of a bar and its snapshot; the hash of the snapshot. The coverage is kept with grid bars only.

    A view that exists already, as after a restart, must be the same: a different state on the same engine means that
    bars or control rows were changed, and raises IntegrityBreach.
    """
    if may_exist:
        row = ViewRow.objects.filter(**_key(view)).first()
        if row is not None:
            return _met(row, view)
    digest = audit.snapshot_put(body=snapshot_bytes(view))
    ViewRow.objects.create(
        **_key(view),
        is_grid=view.is_grid,
        snapshot_hash=digest,
        state_hash=view.state_hash,
        engine_hash=settings.ENGINE_HASH,
        regime=regime,
        situation=situation_values(situation),
        coverage=list(coverage) if view.is_grid else [],
        written_ts_ms=ts_ms,
    )
    return digest


def view_meet(view: View) -> None:
    """Compare a rebuilt view with the stored one of its bar. Raises IntegrityBreach when this engine gave another."""
    row = ViewRow.objects.filter(**_key(view)).first()
    if row is not None:
        _met(row, view)


def _key(view: View) -> dict[str, Any]:
    return {"symbol": view.symbol, "interval": settings.INTERVAL, "bar_open_ms": view.record.bar_open_ms}


def _met(row: ViewRow, view: View) -> str:
    """The hash of the snapshot of a view that was stored before; another engine's view keeps its own beside it."""
    if row.engine_hash != settings.ENGINE_HASH:
        return audit.snapshot_put(body=snapshot_bytes(view))
    if row.state_hash != view.state_hash:
        raise IntegrityBreach(
            f"{view.symbol}: the view of the bar opening at {view.record.bar_open_ms} was {row.state_hash[:12]} "
            f"when it was stored and is {view.state_hash[:12]} when rebuilt"
        )
    return row.snapshot_hash


@transaction.atomic
def fold_control_note(*, symbol: str, bar_open_ms: int, kind: str, value: int, policy: str = "") -> bool:
    """Keep a fact that the fold depends on from a bar on; False when it is known already."""
    key = {"symbol": symbol, "interval": settings.INTERVAL, "bar_open_ms": bar_open_ms, "kind": kind, "policy": policy}
    _, is_new = FoldControl.objects.get_or_create(**key, defaults={"value": value})
    if is_new:
        body = {"symbol": symbol, "interval": settings.INTERVAL, "barOpenMs": bar_open_ms, "value": value}
        body |= {"policyId": policy} if policy else {}
        audit.audit_append(kind=f"strategy.fold_{kind}", actor="system", ts_ms=bar_open_ms, body=body)
    return is_new


@transaction.atomic
def fold_gap_note(*, symbol: str, last_open_ms: int, bar_open_ms: int) -> None:
    """Give up the bars between the last folded one and this; from here on they come too late.

    Raises StaleState when one of them has come meanwhile.
    """
    fold_lock(symbol)
    first_ms = last_open_ms + settings.INTERVAL_MS
    if market.bars_load(symbol, settings.INTERVAL, start_ms=first_ms, end_ms=bar_open_ms, limit=1).n:
        raise StaleState(f"{symbol}: a bar that was missing has come")
    missing = (bar_open_ms - first_ms) // settings.INTERVAL_MS
    fold_control_note(symbol=symbol, bar_open_ms=bar_open_ms, kind=FoldControl.GAP, value=missing)


@transaction.atomic
def policies_set(*, changes: Mapping[str, bool], actor: str, reason: str, ts_ms: int) -> dict[str, bool]:
    """Enable or disable arms; what changed. Every fold obeys from the next bar that closes, and notes that bar.

    A disabled arm goes on learning, and cannot be chosen. Raises UnknownName or InvalidInput before anything is
    written, StaleState when somebody else was faster.
    """
    if not changes:
        raise InvalidInput("names no policy")
    for name, is_active in changes.items():
        POLICIES.get(name)
        if not isinstance(is_active, bool):
            raise InvalidInput("must be true or false", field=name)
    if not reason.strip():
        raise InvalidInput("must say why", field="reason")
    current = audit_log.control_value(POLICIES_KEY)
    disabled = disabled_of({POLICIES_KEY: current} if current else {})
    changed = {name: is_active for name, is_active in changes.items() if is_active == (name in disabled)}
    if not changed:
        return {}
    draft = audit.audit_draft(
        kind="strategy.policies",
        actor=actor,
        ts_ms=ts_ms,
        body={"reason": reason, "before": {name: name not in disabled for name in changed}, "after": changed},
        controls={POLICIES_KEY: {**(current.value if current else {}), **changed}},
    )
    # The head of the log is locked by now: whoever else changes controls comes before this or after its COMMIT.
    if audit_log.control_value(POLICIES_KEY) != current:
        raise StaleState("somebody else changed the policies at the same time; read them and try again")
    audit.audit_write(draft)
    return changed


@transaction.atomic
def embedding_set(
    *, symbol: str, model: EmbeddingModel, window_ms: tuple[int, int], actor: str, reason: str, ts_ms: int
) -> bool:
    """Put a fitted projection in force, on record and kept for good; False when it is in force already."""
    key = model_key(symbol)
    current = audit_log.control_value(key)
    if current is not None and current.value == model.version:
        return False
    version = audit.snapshot_put(body=embedding_bytes(model))
    audit.audit_append(
        kind="strategy.embedding",
        actor=actor,
        ts_ms=ts_ms,
        body={
            "symbol": symbol,
            "interval": settings.INTERVAL,
            "fromMs": window_ms[0],
            "toMs": window_ms[1],
            "situations": int(model.situations.shape[0]),
            "featureVersion": model.feature_version,
            "version": version,
            "replaces": current.value if current else None,
            "reason": reason,
        },
        controls={key: version},
    )
    return True


def coverage_values(policies: Sequence[str], reports: Sequence[Coverage]) -> list[dict[str, Any]]:
    """The coverage of every arm's forecasts as plain JSON values; what is null says why."""
    return [
        {
            "policy_id": policy,
            "coverage": report.coverage.value,
            "half_width": report.half_width.value,
            "reason": report.coverage.reason or report.half_width.reason or None,
            "alpha": report.alpha,
            "judged": report.judged,
            "alert": report.is_alert,
        }
        for policy, report in zip(policies, reports, strict=True)
    ]


def regime_values(summary: RegimeSummary, *, is_enabled: bool) -> dict[str, Any]:
    """A regime summary as plain JSON values; what is undefined is null."""
    values = {name: _plain(value) for name, value in summary._asdict().items()}
    return {**values, "enabled": is_enabled}


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and value - value != 0.0:
        return None
    return value
