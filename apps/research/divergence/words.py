"""One sentence on a cause: what was live, and what the backtest has instead."""

from __future__ import annotations

from typing import Any

from apps.engine.decimals import e8_text
from apps.engine.decision import DecisionInputs
from apps.engine.reasons import Reason, Status, TradingState
from apps.research.divergence.ladder import RISK_FIELDS, moved_ticks
from apps.research.divergence.live import LiveDecision
from apps.research.divergence.outcome import Filled, Outcome

SHOWN = 3
# Terms that follow from the account or from the kind of fill, and are no setting.
NO_SETTINGS = {"source", "lots", "remainder_e8", "limit_ticks", "fill_kind", "last_signal", "slippage_scale"}
# A backtest has no ladder of its own and no fallback while the router is on; neither changes what is decided.
WITHOUT_EFFECT = {"rehearsal_bps", "fallback_arm"}


def configuration_words(backtest: DecisionInputs, live: DecisionInputs, own: LiveDecision, engine: str) -> str:
    """The settings that were others when the decision was taken; else the version."""
    found = []
    for mine, theirs in (
        (backtest.limits, live.limits),
        (backtest.terms, live.terms),
        (backtest.params, live.params),
        (backtest.filters, live.filters),
    ):
        found += _changed(mine, theirs, NO_SETTINGS | WITHOUT_EFFECT)
    if backtest.draw.seed != live.draw.seed:
        found.append(f"seed was {live.draw.seed} and is {backtest.draw.seed}")
    if backtest.arms.shape != live.arms.shape:
        found.append(f"{live.arms.shape[1]} policies were registered, {backtest.arms.shape[1]} are")
    if own.engine != engine:
        found.append(f"the engine was {own.engine} and is {engine}")
    more = f", and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return "; ".join(found[:SHOWN]) + more if found else "the record does not replay to the fills that are booked"


def _changed(mine: Any, theirs: Any, without: set[str]) -> list[str]:
    return [
        f"{name} was {getattr(theirs, name)} and is {getattr(mine, name)}"
        for name in mine._fields
        if name not in without and getattr(mine, name) != getattr(theirs, name)
    ]


def risk_words(backtest: DecisionInputs, live: DecisionInputs, happened: Outcome) -> str:
    """The guard that spoke, and what it remembered."""
    state = TradingState(live.desk.trading_state).name
    memory = [f"the desk was {state}"] if live.desk.trading_state != backtest.desk.trading_state else []
    memory += [
        f"{name} was {getattr(live.desk, name)}, in the backtest {getattr(backtest.desk, name)}"
        for name in RISK_FIELDS
        if name not in {"trading_state", "day_start_e8", "peak_e8", "since_exit_ms", "since_stop_ms"}
        and getattr(live.desk, name) != getattr(backtest.desk, name)
    ]
    ended = f"{Status(happened.status).name.lower()} ({Reason(happened.reason).code})" if happened.reason else ""
    return "; ".join([*([ended] if ended else []), *memory[:SHOWN]]) or "a guard remembered otherwise"


def latency_words(backtest: DecisionInputs, live: DecisionInputs) -> str:
    """How long the order traveled, and what the price did from the bar's close on."""
    tick = live.filters.tick_e8
    since_close = live.desk.ts_ms - backtest.desk.ts_ms
    drift = live.desk.mark_ticks * tick - backtest.desk.mark_ticks * backtest.filters.tick_e8
    return (
        f"decided {since_close} ms after the close, {e8_text(drift)} from it; "
        f"the book moved by {e8_text(moved_ticks(live) * tick)} while the order traveled"
    )


def fill_words(backtest: Outcome, live: Outcome) -> str:
    """What filled at which price on either side."""
    return f"the book gave {filled_words(live.fills)}, the bar model {filled_words(backtest.fills)}"


def filled_words(fills: tuple[Filled, ...]) -> str:
    """Quantity and average price, rounded down to 1e-8."""
    quantity = sum(fill.quantity_e8 for fill in fills)
    if not quantity:
        return "nothing"
    average = sum(fill.notional_e8 for fill in fills) * 10**8 // quantity
    return f"{e8_text(quantity)} at {e8_text(average)}"


def outcome_words(outcome: Outcome, names: tuple[str, ...]) -> str:
    """How a decision ended, in a few words; `names` are the arms'."""
    who = names[outcome.arm] if 0 <= outcome.arm < len(names) else ""
    did = {1: "buy", -1: "sell"}.get(outcome.side, "")
    if outcome.fills:
        return " ".join(filter(None, (who, did, filled_words(outcome.fills))))
    ended = Reason(outcome.reason).code if outcome.reason else Status(outcome.status).name.lower()
    return " ".join(filter(None, (who, did, ended)))
