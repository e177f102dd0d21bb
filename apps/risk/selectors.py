"""Reading risk: the limits and trading states that hold, and what the desk uses of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Max

from apps.audit.selectors import ControlValue, controls_current
from apps.engine.reasons import TradingState
from apps.risk.latches import ROLLING, Latch, latches_of, trips_newest
from apps.risk.limits import LIMITS, MINUTE_MS, limits_from_settings
from apps.risk.models import BreakerTrip, GuardEvent, SymbolUsage, TradingStateRevision
from apps.risk.sentinel import sentinel_reason
from apps.risk.states import DESK, CurrentState, safest
from apps.web.casing import DataMap
from apps.web.values import decimal_text, iso_ms

NEVER_SEEDED = CurrentState(DESK, TradingState.HALTED, "", "the controls were never seeded", 0)


class Breaker(NamedTuple):
    """The latest trip; it pauses new risk until `until_ms`, and the window starts anew at `window_start_fill`."""

    tripped_at_ms: int
    until_ms: int
    drawdown_bps: int
    reason: str
    window_start_fill: int

    def is_tripped(self, ts_ms: int) -> bool:
        return ts_ms < self.until_ms


class SymbolUse(NamedTuple):
    """What a symbol uses of its limits, as of the last decision on it; its orders count for one minute."""

    symbol: str
    notional_e8: int
    orders_last_minute: int
    ts_ms: int


def usage_current(*, ts_ms: int, using: str = DEFAULT_DB_ALIAS) -> list[SymbolUse]:
    """The use of every symbol that was ever decided on, by name."""
    rows = SymbolUsage.objects.using(using).order_by("symbol")
    return [SymbolUse(row.symbol, row.notional_e8, _recent_orders(row, ts_ms), row.ts_ms) for row in rows]


def limits_current(*, using: str = DEFAULT_DB_ALIAS) -> dict[str, int]:
    """Every limit. Before the first start has seeded them: what the settings say."""
    return limits_of(controls_current(using=using))


def limits_of(controls: Mapping[str, ControlValue]) -> dict[str, int]:
    """Every limit out of controls that were read already."""
    seeded = {name: controls[f"limit.{name}"].value for name in LIMITS if f"limit.{name}" in controls}
    return seeded if len(seeded) == len(LIMITS) else {**limits_from_settings(), **seeded}


def trading_state_current(symbol: str | None = None, *, using: str = DEFAULT_DB_ALIAS) -> CurrentState:
    """The state that holds for the desk, or for a symbol: the safer of its own and the desk's."""
    states = trading_states(using=using)
    desk = states[DESK]
    return safest(desk, states[symbol]) if symbol is not None and symbol in states else desk


def trading_states(*, using: str = DEFAULT_DB_ALIAS) -> dict[str, CurrentState]:
    """The own state of the desk ("") and of every symbol that had one. A sentinel on this machine halts the desk."""
    newest = TradingStateRevision.objects.using(using).order_by().values("scope").annotate(newest=Max("id"))
    rows = TradingStateRevision.objects.using(using).filter(id__in=newest.values("newest"))
    states = {row.scope: _state_of(row) for row in rows}
    desk = states.get(DESK, NEVER_SEEDED)
    killed = None if connections[using].vendor == "postgresql" else sentinel_reason()
    if killed is not None and not desk.is_halted:
        desk = CurrentState(DESK, TradingState.HALTED, "sentinel", killed, desk.ts_ms)
    return {**states, DESK: desk}


def row_state(scope: str, *, using: str = DEFAULT_DB_ALIAS) -> CurrentState:
    """What the newest row says of one scope, whatever the sentinel says. A symbol starts ACTIVE, the desk HALTED."""
    row = TradingStateRevision.objects.using(using).filter(scope=scope).first()
    if row is not None:
        return _state_of(row)
    return NEVER_SEEDED if scope == DESK else CurrentState(scope, TradingState.ACTIVE, "", "", 0)


def _state_of(row: TradingStateRevision) -> CurrentState:
    return CurrentState(row.scope, TradingState[row.state], row.actor, row.reason, row.ts_ms)


def breaker_current(*, using: str = DEFAULT_DB_ALIAS) -> Breaker | None:
    """The newest trip of the rolling breaker; None when it never tripped."""
    return breaker_of(trips_newest(using=using))


def breaker_of(trips: Iterable[BreakerTrip]) -> Breaker | None:
    """The rolling breaker out of trips that were read already."""
    for row in trips:
        if row.kind == ROLLING:
            return Breaker(row.tripped_at_ms, row.until_ms, row.observed, row.reason, row.window_start_fill)
    return None


def blocked_since(ts_ms: int, *, using: str = DEFAULT_DB_ALIAS) -> int:
    """How many decisions a guard has stopped since then; one that several guards stopped counts once."""
    events = GuardEvent.objects.using(using).filter(ts_ms__gt=ts_ms).exclude(verdict="ALLOW")
    return events.values("audit_sequence").distinct().count()


def guards_state(*, ts_ms: int, using: str = DEFAULT_DB_ALIAS) -> dict[str, Any]:
    """Kill switch, limits, usage, breaker, latches and throttle, as of market time `ts_ms`."""
    controls, trips = controls_current(using=using), trips_newest(using=using)
    limits = limits_of(controls)
    states = trading_states(using=using)
    usage = list(SymbolUsage.objects.using(using).order_by("symbol"))
    return {
        "kill_switch": _kill_switch(states),
        "trading_state": states[DESK].state.name,
        "limits": {limit.member: limit.told(limits[name]) for name, limit in LIMITS.items()},
        "usage": {
            "notional": decimal_text(sum(row.notional_e8 for row in usage)),
            "by_symbol": DataMap((row.symbol, decimal_text(row.notional_e8)) for row in usage),
        },
        "breaker": _breaker(breaker_of(trips), ts_ms),
        "latches": [_latch(latch) for latch in latches_of(trips, controls, ts_ms=ts_ms)],
        "throttle": {
            "by_symbol": DataMap(
                (row.symbol, {"orders_last_min": _recent_orders(row, ts_ms), "limit": limits["orders_per_minute"]})
                for row in usage
            )
        },
        "blocked_last_min": blocked_since(ts_ms - MINUTE_MS, using=using),
    }


def _recent_orders(row: SymbolUsage, ts_ms: int) -> int:
    return row.orders_last_minute if ts_ms - row.ts_ms < MINUTE_MS else 0


def _kill_switch(states: dict[str, CurrentState]) -> dict[str, Any]:
    desk = states[DESK]
    return {
        "engaged": desk.is_halted,
        "actor": desk.actor if desk.is_halted else None,
        "reason": desk.reason if desk.is_halted else None,
        "since": iso_ms(desk.ts_ms) if desk.is_halted and desk.ts_ms else None,
        "by_symbol": DataMap(
            (scope, {"state": own.state.name, "actor": own.actor, "reason": own.reason, "since": iso_ms(own.ts_ms)})
            for scope, own in sorted(states.items())
            if scope != DESK and own.state is not TradingState.ACTIVE
        ),
    }


def _latch(latch: Latch) -> dict[str, Any]:
    return {
        "name": latch.name,
        "symbol": latch.symbol or None,
        "since": iso_ms(latch.since_ms),
        "until": iso_ms(latch.until_ms) if latch.until_ms else None,
        "reason": latch.reason,
    }


def _breaker(breaker: Breaker | None, ts_ms: int) -> dict[str, Any]:
    if breaker is None:
        return {"tripped": False, "tripped_at": None, "until": None, "drawdown": None, "reason": None}
    return {
        "tripped": breaker.is_tripped(ts_ms),
        "tripped_at": iso_ms(breaker.tripped_at_ms),
        "until": iso_ms(breaker.until_ms),
        "drawdown": breaker.drawdown_bps / 10_000,
        "reason": breaker.reason,
    }
