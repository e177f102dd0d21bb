"""The open orders of one symbol as rows hold them, and what an event of the market makes of these rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings

from apps.audit import services as audit
from apps.engine.consumption import Consumption
from apps.engine.order_record import MatchInputs, match_inputs_out, match_outputs
from apps.engine.order_step import Step
from apps.engine.order_types import OrderReason, OrderStatus
from apps.engine.order_values import Depth, OpenOrder, OrderTerms, Trade, locked_total
from apps.engine.record import MATCH_KIND
from apps.engine.values import E8, Filters
from apps.execution.account import AccountState, orders_since
from apps.execution.booking import lots_held, trip_settle
from apps.execution.changed_rules import split_by_units
from apps.execution.models import Account, Fill, MatchState, Order
from apps.execution.open_orders import order_of, order_terms
from apps.execution.order_rows import fill_rows, state_put
from apps.execution.recording import ENGINE_VERSIONS, position_settle
from apps.execution.taken import ledger_read, ledger_write
from apps.marketdata import selectors as market
from apps.risk import services as risk

MATCHER = "matcher"


@dataclass(frozen=True)
class OpenBook:
    """The open orders of one symbol with all they are matched under.

    `cash_e8` is what orders of other symbols have not locked; `last_trade_id` is the last trade that was matched,
    `seen_ms` the time of the last book.
    """

    symbol: str
    rows: dict[str, Order]
    orders: tuple[OpenOrder, ...]
    ledger: Consumption
    terms: OrderTerms
    rules: Filters
    cash_e8: int
    last_trade_id: int
    seen_ms: int

    def inputs(self, event: Depth | Trade) -> MatchInputs:
        return MatchInputs(self.orders, event, self.ledger, self.terms, self.cash_e8)

    def after(self, step: Step, ledger: Consumption, event: Depth | Trade) -> OpenBook:
        """The same once an event has been met. Cash is what it was: a step with fills is written, then read anew."""
        trade_id = max(self.last_trade_id, event.trade_id) if isinstance(event, Trade) else self.last_trade_id
        seen_ms = max(self.seen_ms, event.ts_ms) if isinstance(event, Depth) else self.seen_ms
        return replace(self, orders=step.orders, ledger=ledger, last_trade_id=trade_id, seen_ms=seen_ms)


def open_symbols(*, using: str) -> list[str]:
    """Symbols with open orders."""
    rows = Order.objects.using(using).filter(is_open=True).order_by("symbol")
    return list(rows.values_list("symbol", flat=True).distinct())


def trades_known(symbol: str, *, using: str) -> int:
    """The id up to which every open order of a symbol has met the trades; -1 where none is known."""
    rows = Order.objects.using(using).filter(symbol=symbol, is_open=True)
    known = [order_of(row).last_trade_id for row in rows]
    return min((trade_id for trade_id in known if trade_id >= 0), default=-1)


def open_book(*, symbol: str, account: Account, stale_after_ms: int, using: str) -> OpenBook:
    """What is open of a symbol now. Orders in units of older rules meet nothing until they are converted."""
    # Read once: without a lock another process may place an order of one more symbol between two readings.
    rows = list(Order.objects.using(using).filter(account=account, is_open=True).order_by("number"))
    filters = {name: market.filters_current(name) for name in {symbol, *(row.symbol for row in rows)}}
    current, _ = split_by_units((row for row in rows if row.symbol == symbol), filters[symbol])
    own = {row.order_id: row for row in current}
    others: dict[str, list[OpenOrder]] = {}
    for row in rows:
        if row.symbol != symbol:
            others.setdefault(row.symbol, []).append(order_of(row))
    locked = sum(
        locked_total(waiting, order_terms(filters[name], stale_after_ms=stale_after_ms)).quote_e8
        for name, waiting in others.items()
    )
    rules = filters[symbol]
    known = MatchState.objects.using(using).filter(symbol=symbol).first()
    return OpenBook(
        symbol=symbol,
        rows=own,
        orders=tuple(order_of(row) for row in own.values()),
        ledger=ledger_read(symbol, rules, using=using),
        terms=order_terms(rules, stale_after_ms=stale_after_ms),
        rules=rules,
        cash_e8=account.cash_e8 - locked,
        last_trade_id=known.last_trade_id if known is not None else -1,
        seen_ms=known.ts_ms if known is not None else 0,
    )


def quiet_write(book: OpenBook, *, ts_ms: int, using: str) -> None:
    """Keep queues, extremes, arrivals and the ledger as they are now: nothing that a record is due for."""
    for order in book.orders:
        row = book.rows[order.order_id]
        if row.state != order.to_json():
            state_put(row, order, book.rules, ts_ms=ts_ms, arrived_ms=book.seen_ms)
            row.save(using=using)
    ledger_write(book.ledger, book.rules, last_trade_id=book.last_trade_id, using=using)


def step_write(
    *, before: OpenBook, event: Depth | Trade, step: Step, ledger: Consumption, state: AccountState, using: str
) -> str:
    """Write a step that is not quiet: orders, fills, position, account, ledger, and its record. Returns the audit id.

    The caller holds fence and transaction.
    """
    after, rules = before.after(step, ledger, event), before.rules
    draft = audit.audit_draft(
        kind=MATCH_KIND, actor=MATCHER, ts_ms=event.ts_ms, body=_match_body(before, event, step, ledger), using=using
    )
    for order in (*step.orders, *step.closed):
        row = before.rows[order.order_id]
        state_put(row, order, rules, ts_ms=event.ts_ms, arrived_ms=event.ts_ms)
        row.save(using=using)
    fills = fill_rows(step.fills, before.rows, rules, audit_id=draft.entry.audit_id, ts_ms=event.ts_ms)
    Fill.objects.using(using).bulk_create(fills)
    if fills:
        _account_settle(fills, after, state, event.ts_ms, using)
    ledger_write(ledger, rules, last_trade_id=after.last_trade_id, using=using)
    audit.audit_write(draft)
    return draft.entry.audit_id


def orders_cancel(
    rows: Iterable[Order], *, reason: OrderReason, rules: Mapping[str, Filters], ts_ms: int, using: str
) -> list[str]:
    """End open orders here and now, as a halted desk, a flatten or a reset does; returns their ids.

    The caller holds fence and transaction and writes the record that says why.
    """
    ended = []
    for row in rows:
        order = order_of(row)._replace(status=OrderStatus.CANCELED, reason=reason)
        state_put(row, order, rules[row.symbol], ts_ms=ts_ms, arrived_ms=0)
        row.save(using=using)
        ended.append(row.order_id)
    return ended


def _match_body(before: OpenBook, event: Depth | Trade, step: Step, ledger: Consumption) -> dict[str, Any]:
    return {
        "symbol": before.symbol,
        "orderIds": sorted({fill.order_id for fill in step.fills} | {order.order_id for order in step.closed}),
        **match_outputs(step, ledger),
        "versions": versions(),
        "inputs": match_inputs_out(before.inputs(event)),
    }


def versions() -> dict[str, str]:
    """What computed a record, by name and version."""
    return {"code": settings.VERSION, "engine": settings.ENGINE_HASH, **ENGINE_VERSIONS}


def _account_settle(fills: list[Fill], book: OpenBook, state: AccountState, ts_ms: int, using: str) -> None:
    """Carry fills into the position with its round trip, and into the account, order by order."""
    position, account, rules = state.position(book.symbol), state.account, book.rules
    for order_id in dict.fromkeys(fill.order_id for fill in fills):
        own = [fill for fill in fills if fill.order_id == order_id]
        before_lots = lots_held(position.quantity_e8, rules.step_e8)
        account.fees_e8 += sum(position_settle(position, fill) for fill in own)
        flow_e8 = sum(cash_flow_e8(fill) for fill in own)
        account.cash_e8 += flow_e8
        trip_settle(
            position,
            before_lots=before_lots,
            after_lots=lots_held(position.quantity_e8, rules.step_e8),
            flow_e8=flow_e8,
            notional_e8=sum(fill.notional_e8 for fill in own),
            is_stop=order_of(book.rows[order_id]).type.is_loss_stop,
            ts_ms=ts_ms,
            using=using,
        )
    position.updated_ts_ms = ts_ms
    position.save(using=using)
    account.save(using=using)
    risk.usage_record(
        symbol=book.symbol,
        notional_e8=abs(position.quantity_e8) * fills[-1].price_e8 // E8,
        ts_ms=ts_ms,
        orders_last_minute=orders_since(symbol=book.symbol, ts_ms=ts_ms, using=using).n,
        using=using,
    )


def cash_flow_e8(fill: Fill) -> int:
    """What a fill adds to cash."""
    signed = fill.notional_e8 if fill.side == "SELL" else -fill.notional_e8
    return signed - (fill.fee_e8 if fill.fee_asset == "quote" else 0)
