"""What a decision tells risk in its own transaction: use of limits, what guards said, and breakers that tripped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from apps.engine.breakers import DAY_MS
from apps.engine.decision import Decision, DecisionInputs
from apps.engine.desk import LimitRecord
from apps.engine.gate import GATE_GUARDS
from apps.engine.guards.rolling_drawdown import drawdown_bps_nb
from apps.engine.marked import MarkInputs
from apps.engine.reasons import Verdict
from apps.risk import services as risk


class Seen(NamedTuple):
    """The equity that a decision's breakers judged, and their limits."""

    equity_e8: int
    limits: LimitRecord


def push_down(
    inputs: DecisionInputs, decision: Decision, *, window_start_order: int, sequence: int, using: str
) -> None:
    """Everything risk shows without looking up. `sequence` is the decision's audit record."""
    ints = decision.ints
    sent = 1 if ints.sent_lots > 0 else 0
    risk.usage_record(
        symbol=inputs.symbol,
        notional_e8=abs(ints.position_after_lots) * ints.mark_ticks * inputs.filters.unit_e8,
        ts_ms=ints.ts_ms,
        orders_last_minute=inputs.desk.orders_last_minute + sent,
        using=using,
    )
    _push_findings(inputs, decision, sequence, using)
    for trip in trips_of(inputs, decision):
        risk.breaker_record(
            **trip,
            tripped_at_ms=ints.ts_ms,
            window_start_fill=window_start_order,
            audit_sequence=sequence,
            using=using,
        )


def _push_findings(inputs: DecisionInputs, decision: Decision, sequence: int, using: str) -> None:
    for guard, (verdict, observed, limit, is_unknown) in zip(GATE_GUARDS, decision.findings, strict=False):
        if verdict != Verdict.ALLOW:
            risk.guard_event_record(
                symbol=inputs.symbol,
                guard=guard.name,
                reason=guard.reason if verdict != Verdict.REDUCE else guard.reduce_reason,
                verdict=Verdict(verdict),
                observed=None if is_unknown else observed,
                limit=limit,
                audit_sequence=sequence,
                ts_ms=decision.ints.ts_ms,
                using=using,
            )


def trips_of(inputs: DecisionInputs, decision: Decision) -> Iterator[dict[str, Any]]:
    """The breakers and latches that this decision set, with what they saw, in words."""
    ints = decision.ints
    seen = Seen(ints.equity_before_e8, inputs.limits)
    yield from breaker_trips(ints, seen)
    if ints.is_repeat_tripped:
        side, count = ("BUY", inputs.desk.same_buys) if ints.side > 0 else ("SELL", inputs.desk.same_sells)
        reason = f"the router sent {side} {count} times in 60 seconds, limit {inputs.limits.repeat_orders}"
        yield {"kind": "repeated_orders", "symbol": inputs.symbol, "observed": count, "reason": reason}


def breaker_trips(moved: Any, seen: MarkInputs | Seen) -> Iterator[dict[str, Any]]:
    """The breakers that tripped, at a decision or at a mark: `moved` says which, `seen` what they looked at."""
    limits = seen.limits if isinstance(seen, Seen) else seen

    def fallen(kind: str, from_e8: int, limit_bps: int, words: str, until_ms: int = 0) -> dict[str, Any]:
        observed = int(drawdown_bps_nb(seen.equity_e8, from_e8))
        reason = f"{words.format(_percent(observed))}, limit {_percent(limit_bps)}"
        return {"kind": kind, "observed": observed, "until_ms": until_ms, "reason": reason}

    if moved.is_tripped:
        words = "equity is {} below its highest of the last trades"
        yield fallen("rolling_drawdown", moved.high_water_e8, limits.max_drawdown_bps, words, moved.breaker_until_ms)
    if moved.is_day_tripped:
        midnight = (moved.day_index + 1) * DAY_MS
        yield fallen("daily_loss", moved.day_start_e8, limits.daily_loss_bps, "the day has lost {}", midnight)
    if moved.is_hard_tripped:
        yield fallen("hard_drawdown", moved.peak_e8, limits.hard_drawdown_bps, "equity is {} below its peak")


def _percent(bps: int) -> str:
    return f"{bps / 100:.2f} %"
