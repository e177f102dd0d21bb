"""Who may halt the desk and let it go again, and in which order do file, fence and row follow each other?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import DEFAULT_DB_ALIAS, connections, transaction

from apps.audit.services import audit_append
from apps.engine.errors import Conflict, InvalidInput
from apps.engine.reasons import TradingState
from apps.marketdata.selectors import filters_current
from apps.risk import fence
from apps.risk.latches import Latch, latches_to_release
from apps.risk.models import TradingStateRevision
from apps.risk.selectors import row_state, trading_states
from apps.risk.sentinel import sentinel_clear, sentinel_set
from apps.risk.states import DESK, KILL_KEY, RELEASE_WORD, CurrentState, control_key, parse_state, released_key
from apps.web.roles import Role

MAX_REASON = 500
KILL_SWITCH = "the kill switch"


def kill_engage(
    *, actor: str, reason: str, ts_ms: int, symbol: str | None = None, using: str = DEFAULT_DB_ALIAS
) -> CurrentState:
    """HALT the desk, or one symbol. After this call returned no order and no fill commits, in any process.

    Engaging again keeps the first actor and reason, and waits for writers all the same.
    """
    require_reason(reason)
    scope = _scope(symbol)
    if scope == DESK and connections[using].vendor == "postgresql":
        fence.require_outside_transaction(using)
        with transaction.atomic(using=using):
            state = _halt(scope, actor=actor, reason=reason, ts_ms=ts_ms, using=using)
        fence.drain(using=using)
        return state
    if scope == DESK:
        sentinel_set(f"{actor}: {reason}")
    with fence.exclusive(using=using):
        if scope == DESK:
            sentinel_set(f"{actor}: {reason}")  # a release may have come between
        return _halt(scope, actor=actor, reason=reason, ts_ms=ts_ms, using=using)


def kill_release(
    *,
    actor: str,
    reason: str,
    confirmation: str | None,
    ts_ms: int,
    symbol: str | None = None,
    role: Role = Role.OPERATOR,
    using: str = DEFAULT_DB_ALIAS,
) -> CurrentState:
    """Go back to the state from before the kill. Takes the owner and the typed word RELEASE."""
    _require_release(role, confirmation, KILL_SWITCH)
    return _leave(_scope(symbol), None, actor=actor, reason=reason, ts_ms=ts_ms, using=using)


def trading_state_set(
    *,
    state: str | TradingState,
    actor: str,
    reason: str,
    ts_ms: int,
    symbol: str | None = None,
    confirmation: str | None = None,
    role: Role = Role.OPERATOR,
    using: str = DEFAULT_DB_ALIAS,
) -> CurrentState:
    """Set the state of the desk or of one symbol. HALTED is the kill switch; leaving it is its release.

    ACTIVE by an owner who types RELEASE also lets go of every latch of the scope, whatever the state was before.
    """
    wanted = parse_state(state)
    scope = _scope(symbol)
    if wanted is TradingState.HALTED:
        return kill_engage(actor=actor, reason=reason, ts_ms=ts_ms, symbol=symbol, using=using)
    if _own_state(scope, using).is_halted:
        _require_release(role, confirmation, KILL_SWITCH)
        return _leave(scope, wanted, actor=actor, reason=reason, ts_ms=ts_ms, using=using)
    require_reason(reason)
    with fence.exclusive(using=using):
        current = _own_state(scope, using)
        if current.is_halted:
            raise Conflict("the kill switch was engaged meanwhile")
        if wanted < current.state and role is not Role.OWNER:
            raise PermissionDenied(f"only an owner may go from {current.state.name} to {wanted.name}")
        latches = latches_to_release(scope, ts_ms=ts_ms, using=using) if wanted is TradingState.ACTIVE else []
        if latches:
            _require_release(role, confirmation, ", ".join(latch.name for latch in latches))
        elif wanted is current.state:
            return current
        return state_write(
            current,
            wanted,
            kind="risk.trading_state",
            actor=actor,
            reason=reason,
            ts_ms=ts_ms,
            using=using,
            latches=latches,
        )


def state_write(
    current: CurrentState,
    wanted: TradingState,
    *,
    kind: str,
    actor: str,
    reason: str,
    ts_ms: int,
    using: str,
    latches: Sequence[Latch] = (),
) -> CurrentState:
    """The row and the record of one change of state, inside the caller's fence, with the latches that it lets go."""
    scope = current.scope
    revision = TradingStateRevision.objects.using(using).create(
        scope=scope, state=wanted.name, previous=current.state.name, actor=actor, reason=reason, ts_ms=ts_ms
    )
    controls: dict[str, Any] = {control_key(scope): wanted.name}
    if scope == DESK:
        is_halted = wanted is TradingState.HALTED
        controls[KILL_KEY] = {"engaged": is_halted, "actor": actor, "reason": reason, "tsMs": ts_ms}
    if latches:
        controls[released_key(scope)] = {"actor": actor, "reason": reason, "tsMs": ts_ms}
    audit_append(
        kind=kind,
        actor=actor,
        ts_ms=ts_ms,
        body={
            **({"symbol": scope} if scope else {}),
            "before": current.state.name,
            "after": wanted.name,
            "reason": reason,
            "revision": revision.pk,
            **({"released": [{"name": latch.name, "symbol": latch.symbol} for latch in latches]} if latches else {}),
        },
        controls=controls,
        using=using,
    )
    return CurrentState(scope, wanted, actor, reason, ts_ms)


def _halt(scope: str, *, actor: str, reason: str, ts_ms: int, using: str) -> CurrentState:
    current = row_state(scope, using=using)
    if current.is_halted and current.ts_ms:
        return current
    return state_write(
        current, TradingState.HALTED, kind="risk.kill", actor=actor, reason=reason, ts_ms=ts_ms, using=using
    )


def _leave(scope: str, wanted: TradingState | None, *, actor: str, reason: str, ts_ms: int, using: str) -> CurrentState:
    """Out of HALTED. The sentinel goes last, after the row is committed and before any writer may pass."""
    require_reason(reason)
    is_file_kept = scope == DESK and connections[using].vendor != "postgresql"
    with fence.exclusive(using=using, after_commit=sentinel_clear if is_file_kept else None):
        current = _own_state(scope, using)
        if not current.is_halted:
            raise Conflict("the kill switch is not engaged")
        target = _state_before(scope, using) if wanted is None else wanted
        # Going back to the state before the kill lets nothing else go; asking for ACTIVE does.
        is_asked = wanted is TradingState.ACTIVE
        latches = latches_to_release(scope, ts_ms=ts_ms, using=using) if is_asked else []
        return state_write(
            current, target, kind="risk.release", actor=actor, reason=reason, ts_ms=ts_ms, using=using, latches=latches
        )


def _state_before(scope: str, using: str) -> TradingState:
    """The state that the kill interrupted: REDUCING stays REDUCING."""
    newest = TradingStateRevision.objects.using(using).filter(scope=scope).first()
    if newest is None:
        return TradingState.REDUCING
    name = newest.previous if newest.state == TradingState.HALTED.name else newest.state
    return TradingState.REDUCING if name == TradingState.HALTED.name else TradingState[name]


def _own_state(scope: str, using: str) -> CurrentState:
    """The scope's own state, the sentinel included."""
    return trading_states(using=using).get(scope) or row_state(scope, using=using)


def require_reason(reason: str) -> None:
    if not isinstance(reason, str) or not reason.strip():
        raise InvalidInput("say why", field="reason")
    if len(reason) > MAX_REASON:
        raise InvalidInput(f"must be at most {MAX_REASON} characters", field="reason")


def _require_release(role: Role, confirmation: str | None, what: str) -> None:
    if role is not Role.OWNER:
        raise PermissionDenied(f"only an owner may release {what}")
    if confirmation != RELEASE_WORD:
        raise InvalidInput(f"type {RELEASE_WORD} to release {what}", field="confirmation")


def _scope(symbol: str | None) -> str:
    """The scope of a symbol that the desk knows. Raises UnknownName."""
    if symbol is not None and symbol not in settings.SYMBOLS:
        filters_current(symbol)
    return DESK if symbol is None else symbol
