"""Writes of the execution room; everything that trades goes through `decide_and_record`, the decision transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, transaction

from apps.audit import services as audit
from apps.engine.decide import decide
from apps.engine.decision import SOURCE_FLATTEN, SOURCE_ROUTER
from apps.engine.errors import Conflict, InvalidInput, Unavailable
from apps.engine.reasons import TradingState
from apps.engine.values import E8, Filters
from apps.execution import ready_sql
from apps.execution.account import account_state, next_attempt
from apps.execution.assembling import bar_open_ms, decision_inputs
from apps.execution.controls import Controls, controls_read
from apps.execution.facts import MarketFacts
from apps.execution.lease import require_lease
from apps.execution.lifecycle import cancel_for_flatten, epoch_close, reduce_only_off_list
from apps.execution.models import Account, IdempotencyKey, Order, Position
from apps.execution.protective import protective_follow
from apps.execution.recording import decision_record
from apps.execution.requests import Answer, Idempotency, Prepared
from apps.execution.selectors import marks_current
from apps.marketdata import selectors as market
from apps.risk import fence

_DECIDED = "SELECT answer FROM execution_execution WHERE symbol = %s AND bar_open_ms = %s AND attempt = 0"
RESET_WORD = "RESET"
MAX_REASON = 200


class KeyReused(InvalidInput):
    """The idempotency key was used before with another request."""


def decide_and_record(
    *, prepared: Prepared, read_facts: Callable[[], MarketFacts], using: str = DEFAULT_DB_ALIAS
) -> Answer:
    """Commit one decision: read under the locks, decide, write, audit.

    A key that was answered before gives the same bytes and decides nothing. When the kill switch is engaged the
    decision is recorded as refused; only a confirmed flatten passes, and one that nobody confirmed raises Conflict.
    Raises Unavailable when there are no filters, no limits or no market time. Nothing is written when it raises.
    """
    with fence.shared(using=using, allow_halted=True) as passage:
        # The account's lock comes first: whoever asked with the same key has committed by then, and no fact grows old.
        state = account_state(using=using)
        stored = answer_stored(prepared, using=using)
        if stored is not None:
            return stored
        facts = read_facts()
        if prepared.request.is_autopilot:
            require_lease(using=using)
        symbol = prepared.request.symbol
        controls = reduce_only_off_list(symbol, controls_read(symbol=symbol, halted=passage.halted, using=using))
        refuse_unconfirmed(prepared, controls)
        refuse_taken_name(prepared, using=using)
        filters, facts = rules_read(symbol, state.positions, facts)
        canceled = cancel_for_flatten(prepared.request, state.account, filters[symbol], ts_ms=facts.ts_ms, using=using)
        attempt = 0
        if not prepared.request.is_autopilot:
            opened = bar_open_ms(prepared, facts)
            attempt = next_attempt(symbol=symbol, bar_open_ms=opened, using=using)
        inputs = decision_inputs(
            prepared=prepared,
            facts=facts,
            state=state,
            controls=controls,
            filters=filters,
            attempt=attempt,
            using=using,
        )
        decision = decide(inputs)
        answer = decision_record(
            prepared=prepared,
            inputs=inputs,
            decision=decision,
            state=state,
            canceled=canceled,
            sequence=controls.sequence,
            using=using,
        )
        if decision.fills:
            protective_follow(symbol=symbol, state=state, rules=filters[symbol], ts_ms=facts.ts_ms, using=using)
        return answer


def refuse_unconfirmed(prepared: Prepared, controls: Controls) -> None:
    """A flatten passes a HALTED desk, so it takes a confirmation given on the HALTED desk: the kill may have come
    after the request was made. A state that cannot be read counts as HALTED."""
    request = prepared.request
    is_halted = controls.trading_state is None or controls.trading_state >= TradingState.HALTED
    if request.source == SOURCE_FLATTEN and is_halted and not request.is_confirmed:
        raise Conflict("the desk was HALTED meanwhile: confirm the flatten")


def refuse_taken_name(prepared: Prepared, *, using: str) -> None:
    """A client's own order id names one order, ever."""
    name = prepared.request.client_order_id
    if name and Order.objects.using(using).filter(client_order_id=name).exists():
        raise InvalidInput("names another order already", field="client_order_id")


def answer_stored(prepared: Prepared, *, using: str) -> Answer | None:
    """The answer this request got before: by its key, or for the autopilot by symbol and bar."""
    request = prepared.request
    if request.is_autopilot and request.source == SOURCE_ROUTER and prepared.view is not None:
        opened = prepared.view.view.record.bar_open_ms
        rows = ready_sql.values(_DECIDED, request.symbol, opened, using=using)
        return Answer(200, bytes(rows[0][0]), is_repeat=True) if rows else None
    if request.idempotency is None:
        return None
    return answer_of_key(request.idempotency, using=using)


def answer_of_key(idempotency: Idempotency, *, using: str = DEFAULT_DB_ALIAS) -> Answer | None:
    """The stored answer of a key. Raises KeyReused when it belongs to another request."""
    row = IdempotencyKey.objects.using(using).filter(scope=idempotency.scope, key=idempotency.key).first()
    if row is None:
        return None
    if row.fingerprint != idempotency.fingerprint:
        raise KeyReused("this key was used before with another body", field="Idempotency-Key")
    return Answer(row.status, bytes(row.answer), is_repeat=True)


def rules_read(
    symbol: str, positions: Mapping[str, Position], facts: MarketFacts
) -> tuple[dict[str, Filters], MarketFacts]:
    """The rules in force for the symbol and for everything held, and the facts with the age of the symbol's own.

    That is -1 where the exchange never stated them. Raises Unavailable when the symbol has no rules.
    """
    watched = {info.symbol: info for info in market.watch_list()}
    rules = {name: info.filters for name, info in watched.items()}
    for name, row in positions.items():
        if name not in rules and row.quantity_e8:
            rules[name] = market.filters_current(name)
    if symbol not in rules:
        raise Unavailable(f"the exchange's rules for {symbol} are not known yet")
    if facts.filters_age_ms >= 0:
        return rules, facts
    checked_ms = watched[symbol].checked_ts_ms if symbol in watched else market.filters_checked_ms(symbol)
    return rules, replace(facts, filters_age_ms=max(0, facts.ts_ms - checked_ms) if checked_ms else -1)


@transaction.atomic
def account_open(*, ts_ms: int, actor: str = "system", reason: str = "first start") -> Account | None:
    """Open the first epoch; None when there is one already."""
    if Account.objects.exists():
        return None
    return _epoch_start(epoch=1, ts_ms=ts_ms, actor=actor, reason=reason)


def account_reset(*, actor: str, reason: str, confirmation: str | None, ts_ms: int) -> Account:
    """Start a new epoch with fresh cash; the old one stays on record, its open orders canceled.

    Positions must be flattened first. What cannot be sold, dust and a symbol without a market, is written off by name.
    """
    if confirmation != RESET_WORD:
        raise InvalidInput(f"type {RESET_WORD} to confirm", field="confirmation")
    if len(reason) > MAX_REASON:
        raise InvalidInput(f"must be at most {MAX_REASON} characters", field="reason")
    with fence.exclusive():
        state = account_state(using=DEFAULT_DB_ALIAS)
        canceled, written_off = epoch_close(state, marks_current(), ts_ms=ts_ms, using=DEFAULT_DB_ALIAS)
        body = {
            "canceledOrders": canceled,
            "writtenOff": [
                {"symbol": name, "quantityE8": str(quantity), "costE8": str(cost)}
                for name, quantity, cost in written_off
            ],
        }
        return _epoch_start(epoch=state.account.epoch + 1, ts_ms=ts_ms, actor=actor, reason=reason, closed=body)


def _epoch_start(
    *, epoch: int, ts_ms: int, actor: str, reason: str, closed: Mapping[str, Any] | None = None
) -> Account:
    """Open an epoch; `closed` says how the one before it ended."""
    cash_e8 = int(Decimal(settings.INITIAL_CASH) * E8)
    account = Account.objects.create(
        epoch=epoch, started_ts_ms=ts_ms, reason=reason, initial_cash_e8=cash_e8, cash_e8=cash_e8
    )
    audit.audit_append(
        kind="execution.epoch",
        actor=actor,
        ts_ms=ts_ms,
        body={"epoch": epoch, "reason": reason, "initialCashE8": str(cash_e8), **(closed or {})},
        controls={"account.epoch": epoch},
    )
    return account
