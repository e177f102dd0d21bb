"""What does a flatten close? One decision per symbol, each with the confirmation that its state asks for."""

from __future__ import annotations

from collections.abc import Callable

from apps.engine.decision import SOURCE_FLATTEN
from apps.engine.errors import InvalidInput
from apps.execution import selectors, services
from apps.execution.lifecycle import tradable_symbol
from apps.execution.requests import DecisionRequest, Idempotency
from apps.risk.selectors import trading_state_current
from apps.web import request_ids

FLATTEN_WORD = "FLATTEN"
KeyOf = Callable[[str], Idempotency | None]


def flatten_decisions(
    *, symbol: str | None, actor: str, reason: str, confirmation: str | None, key_of: KeyOf
) -> list[DecisionRequest]:
    """The decisions that close one symbol, or everything held or open. `key_of` gives the caller's key of a symbol.

    Raises InvalidInput where a HALTED symbol was not confirmed by the typed word; a repeat needs no new confirmation.
    """
    names = [tradable_symbol(symbol)] if symbol else _held_or_answered(key_of)
    return [_decision(name, actor, reason, confirmation == FLATTEN_WORD, key_of(name)) for name in names]


def _decision(symbol: str, actor: str, reason: str, is_typed: bool, idempotency: Idempotency | None) -> DecisionRequest:
    is_halted = trading_state_current(symbol).is_halted
    if is_halted and not is_typed and not _is_answered(idempotency):
        raise InvalidInput(f"{symbol} is HALTED: type {FLATTEN_WORD} to confirm", field="confirmation")
    return DecisionRequest(
        symbol=symbol,
        source=SOURCE_FLATTEN,
        actor=actor,
        reason=reason,
        is_confirmed=is_halted and is_typed,
        request_id=request_ids.current(),
        idempotency=idempotency,
    )


def _held_or_answered(key_of: KeyOf) -> list[str]:
    """What there is to close, and what this very request has closed before: a repeat gives the same records."""
    names = []
    for row in selectors.positions():
        if row["quantity"] != "0" or row["open_orders"] or _is_answered(key_of(row["symbol"])):
            names.append(row["symbol"])
    return names


def _is_answered(idempotency: Idempotency | None) -> bool:
    return idempotency is not None and services.answer_of_key(idempotency) is not None
