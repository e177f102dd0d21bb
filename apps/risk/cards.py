"""The guards card and the trading pill: what may be traded, how much of each limit is used, what was stopped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.audit.selectors import controls_current
from apps.dashboard import cards, formats, header
from apps.engine.reasons import TradingState
from apps.risk.latches import Latch, latches_of, trips_newest
from apps.risk.limits import MINUTE_MS
from apps.risk.selectors import (
    Breaker,
    SymbolUse,
    blocked_since,
    breaker_of,
    limits_of,
    trading_states,
    usage_current,
)
from apps.risk.states import DESK, CurrentState
from apps.web.clock import market_ms

TONES = {TradingState.ACTIVE: "good", TradingState.REDUCING: "warn", TradingState.HALTED: "bad"}
MEANINGS = {
    TradingState.ACTIVE: "Orders may open risk.",
    TradingState.REDUCING: "Only orders that lower risk pass.",
    TradingState.HALTED: "Nothing passes but a confirmed flatten.",
}


def guards_context() -> dict[str, Any]:
    """Trading states, limits with their use, breaker, and what was blocked in the last minute of market time."""
    ts_ms = market_ms()
    controls, trips = controls_current(), trips_newest()
    limits, states, uses = limits_of(controls), trading_states(), usage_current(ts_ms=ts_ms)
    desk = states[DESK]
    return {
        "state": desk.state.name,
        "tone": TONES[desk.state],
        "meaning": MEANINGS[desk.state],
        "why": _why(desk),
        "symbols": [_symbol_state(own) for scope, own in sorted(states.items()) if scope != DESK],
        "rows": _usage_rows(limits, uses),
        "as_of_ms": max((use.ts_ms for use in uses), default=None),
        "max_drawdown_bps": limits["max_drawdown_bps"],
        "window_trades": limits["drawdown_window_trades"],
        "breaker": _breaker(breaker_of(trips), ts_ms),
        "latches": [_latch(latch) for latch in latches_of(trips, controls, ts_ms=ts_ms)],
        "blocked": blocked_since(ts_ms - MINUTE_MS),
    }


def _why(current: CurrentState) -> str:
    return "" if current.state is TradingState.ACTIVE else f"{current.reason} ({current.actor or 'unknown'})"


def _symbol_state(own: CurrentState) -> dict[str, Any]:
    return {"symbol": own.scope, "state": own.state.name, "tone": TONES[own.state], "why": _why(own)}


def _usage_rows(limits: Mapping[str, int], uses: list[SymbolUse]) -> list[dict[str, Any]]:
    gross = _money_row("All symbols", sum(use.notional_e8 for use in uses), limits["max_notional_e8"])
    caps = [_money_row(use.symbol, use.notional_e8, limits["symbol_notional_cap_e8"]) for use in uses]
    orders, most = max((use.orders_last_minute for use in uses), default=0), limits["orders_per_minute"]
    rate = {"name": "Orders a minute", "used": str(orders), "limit": str(most), "share": orders / most}
    return [gross, *caps, rate]


def _money_row(name: str, used_e8: int, limit_e8: int) -> dict[str, Any]:
    used, limit = formats.decimal_e8(used_e8, 0), formats.decimal_e8(limit_e8, 0)
    return {"name": name, "used": used, "limit": limit, "share": used_e8 / limit_e8}


def _latch(latch: Latch) -> dict[str, Any]:
    return {
        "name": latch.name.replace("_", " "),
        "symbol": latch.symbol,
        "reason": latch.reason,
        "since_ms": latch.since_ms,
        "until_ms": latch.until_ms,
    }


def _breaker(breaker: Breaker | None, ts_ms: int) -> dict[str, Any] | None:
    if breaker is None:
        return None
    return {
        "is_tripped": breaker.is_tripped(ts_ms),
        "tripped_at_ms": breaker.tripped_at_ms,
        "until_ms": breaker.until_ms,
        "drawdown_bps": breaker.drawdown_bps,
    }


def trading_pill() -> header.PillState:
    """The worst that holds anywhere: the desk's state, a latch, the breaker's pause, what holds for one symbol."""
    states, address = trading_states(), "/api/guards/state"
    desk = states[DESK]
    if desk.state is not TradingState.ACTIVE:
        return header.PillState(desk.state.name, TONES[desk.state], _why(desk), address)
    trips = trips_newest()
    latches = latches_of(trips, controls_current(), ts_ms=market_ms())
    desk_wide = [latch for latch in latches if latch.symbol == DESK]
    if desk_wide:
        return header.PillState(
            "REDUCING", "warn", f"{desk_wide[0].reason}. Only orders that lower risk pass.", address
        )
    breaker = breaker_of(trips)
    if breaker is not None and breaker.is_tripped(market_ms()):
        until = f"The drawdown breaker pauses new risk until {formats.time_short(breaker.until_ms)} UTC."
        return header.PillState("PAUSED", "warn", until, address)
    own = [state for scope, state in sorted(states.items()) if scope != DESK and state.state is not TradingState.ACTIVE]
    if latches:
        names = ", ".join(latch.symbol for latch in latches)
        return header.PillState(f"ACTIVE, router stopped on {names}", "warn", latches[0].reason, address)
    if own:
        text = ", ".join(f"{state.scope} {state.state.name}" for state in own)
        return header.PillState(f"ACTIVE, {text}", "warn", _why(own[0]), address)
    return header.PillState(desk.state.name, "good", "All symbols may trade.", address)


header.register_pill(header.Pill("trading", "Trading", trading_pill))
cards.register(
    cards.Card("guards", "Guards", "risk/cards/guards.html", guards_context, order=60, span=4, query_budget=5)
)
