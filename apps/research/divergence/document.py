"""A comparison as JSON values and as lines: exact money as decimal text, names instead of numbers."""

from __future__ import annotations

from typing import Any

from apps.dashboard.formats import decimal_e8
from apps.engine.policies import arms
from apps.engine.reasons import Reason, Status
from apps.research.divergence.ladder import CAUSES
from apps.research.divergence.outcome import Outcome
from apps.research.divergence.result import Difference, Divergence
from apps.research.divergence.words import outcome_words
from apps.web.values import iso_ms

E16_DIGITS = 16
CENT_E16 = 10**14
LINES = 20


def e16_text(count: int) -> str:
    """Decimal text of a count of 1e-16, exact and without trailing zeros."""
    whole, part = divmod(abs(count), 10**E16_DIGITS)
    fraction = f".{part:0{E16_DIGITS}d}".rstrip("0") if part else ""
    return f"{'-' if count < 0 else ''}{whole}{fraction}"


def arm_names() -> tuple[str, ...]:
    return (*(policy.policy_id for policy in arms()), "cash")


def document(found: Divergence, symbol: str = "") -> dict[str, Any]:
    """Everything that was found, of one symbol or of all."""
    kept = [one for one in found.differences if symbol in {"", one.symbol}]
    by_cause, names = found.by_cause(symbol), arm_names()
    total = sum(money for _, money in by_cause.values())
    return {
        "from": iso_ms(found.span.first_ms),
        "to": iso_ms(found.span.end_ms),
        "symbols": [symbol] if symbol else [one.symbol for one in found.span.series],
        "decisions": {"live": found.n_live, "backtest": found.n_backtest, "same": found.n_same},
        "differences": len(kept),
        "equity": {
            "start": e16_text(found.start_e16),
            "live": e16_text(found.live_e16),
            "backtest": e16_text(found.backtest_e16),
        },
        "total": e16_text(total),
        "causes": {
            cause: {"first": by_cause.get(cause, (0, 0))[0], "money": e16_text(by_cause.get(cause, (0, 0))[1])}
            for cause in CAUSES
        },
        "data": [
            {"symbol": name, "open_time": iso_ms(event.open_time_ms), "kind": event.kind, "detail": event.text}
            for name, events in found.facts.events.items()
            for event in events
            if symbol in {"", name}
        ],
        "list": [_difference(one, names) for one in kept],
    }


def _difference(one: Difference, names: tuple[str, ...]) -> dict[str, Any]:
    return {
        "symbol": one.symbol,
        "ts": iso_ms(one.ts_ms),
        "side": one.side,
        "cause": one.cause,
        "detail": one.detail,
        "follows": one.follows or None,
        "audit_id": one.audit_id or None,
        "live": _outcome(one.live, names) if one.side != "backtest" else None,
        "backtest": _outcome(one.backtest, names) if one.side != "live" else None,
        "money": {cause: e16_text(money) for cause, money in one.money_e16.items()},
    }


def _outcome(outcome: Outcome, names: tuple[str, ...]) -> dict[str, Any]:
    return {
        "status": Status(outcome.status).name.lower(),
        "reason": Reason(outcome.reason).code if outcome.reason else None,
        "policy": names[outcome.arm] if 0 <= outcome.arm < len(names) else None,
        "sent": decimal_e8(outcome.side * outcome.sent_e8),
        "filled": decimal_e8(sum(fill.side * fill.quantity_e8 for fill in outcome.fills)),
        "notional": decimal_e8(sum(fill.notional_e8 for fill in outcome.fills)),
        "fee": decimal_e8(sum(fill.fee_e8 for fill in outcome.fills)),
    }


def cents_of(count_e16: int) -> int:
    """The nearest whole hundredth."""
    return (2 * count_e16 + CENT_E16) // (2 * CENT_E16)


def money_text(count_e16: int) -> str:
    """Money for eyes: two places; the exact figure stands in the JSON."""
    cents = cents_of(abs(count_e16))
    return ("-" if count_e16 < 0 and cents else "") + f"{cents // 100:,}.{cents % 100:02d}"


def summary_lines(found: Divergence, symbol: str = "") -> list[str]:
    """What a terminal shows: the verdict, a line per cause, the first differences."""
    kept = [one for one in found.differences if symbol in {"", one.symbol}]
    by_cause, names = found.by_cause(symbol), arm_names()
    lines = [
        f"span         {iso_ms(found.span.first_ms)} to {iso_ms(found.span.end_ms)}",
        f"decisions    {found.n_live} live, {found.n_backtest} in the backtest, {found.n_same} the same",
        f"equity       live {money_text(found.live_e16)}, backtest {money_text(found.backtest_e16)}",
        f"difference   {money_text(sum(money for _, money in by_cause.values()))} in {len(kept)} decisions and orders",
    ]
    if not kept:
        return [*lines, "no difference"]
    lines += ["", f"{'cause':<15}{'first of':>9}{'money':>18}"]
    lines += [f"{cause:<15}{n:>9}{money_text(money):>18}" for cause, (n, money) in _ordered(by_cause)]
    lines.append("")
    for one in kept[:LINES]:
        live = outcome_words(one.live, names) if one.side != "backtest" else "no decision"
        backtest = outcome_words(one.backtest, names) if one.side != "live" else "none"
        lines += [
            f"{iso_ms(one.ts_ms)} {one.symbol} {one.cause}: {one.detail}",
            f"    live {live}; backtest {backtest}",
        ]
    if len(kept) > LINES:
        lines.append(f"and {len(kept) - LINES} more; --json and --report list all")
    return lines


def _ordered(by_cause: dict[str, tuple[int, int]]) -> list[tuple[str, tuple[int, int]]]:
    return [(cause, by_cause[cause]) for cause in CAUSES if cause in by_cause]
