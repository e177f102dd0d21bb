"""How much of a symbol's displayed book have our orders taken? The ledger that all of them share, kept as a row."""

from __future__ import annotations

import numpy as np
import orjson

from apps.audit import statements
from apps.engine.consumption import (
    Consumption,
    available,
    consumption_from_json,
    empty_consumption,
    refresh,
    take,
    taken_at,
)
from apps.engine.decision import Decision, DecisionInputs
from apps.engine.order_types import BUY, SELL
from apps.engine.order_values import Depth
from apps.engine.values import Book, Filters, IntArray2d
from apps.execution import ready_sql
from apps.execution.models import MatchState
from apps.marketdata import selectors as market

NO_TRADE = -1
_KEEP = (
    "INSERT INTO execution_matchstate (symbol, taken, filter_revision, last_trade_id, ts_ms) "
    "VALUES (%s, %s, %s, %s, %s) ON CONFLICT (symbol) DO UPDATE SET taken = excluded.taken, "
    "filter_revision = excluded.filter_revision, ts_ms = excluded.ts_ms"
)
_KEEP_WITH_TRADE = _KEEP + ", last_trade_id = excluded.last_trade_id"


def ledger_read(symbol: str, rules: Filters, *, using: str) -> Consumption:
    """What we have taken, in ticks and lots of these rules; nothing where the units have changed since."""
    rows = ready_sql.found(MatchState, "WHERE symbol = %s", symbol, using=using)
    if not rows:
        return empty_consumption(symbol)
    row = rows[0]
    if row.filter_revision != rules.revision:
        before = market.filters_at(symbol, row.filter_revision)
        if (before.tick_e8, before.step_e8) != (rules.tick_e8, rules.step_e8):
            return empty_consumption(symbol)
    return consumption_from_json(row.taken)


def ledger_write(ledger: Consumption, rules: Filters, *, last_trade_id: int | None = None, using: str) -> None:
    """Keep the ledger; the last trade that was matched is kept as it is where none is given."""
    taken = orjson.dumps(ledger.to_json()).decode()
    trade_id = NO_TRADE if last_trade_id is None else last_trade_id
    given = (ledger.symbol, taken, rules.revision, trade_id, ledger.ts_ms)
    statements.run(_KEEP if last_trade_id is None else _KEEP_WITH_TRADE, given, using=using)


def met_ledger(symbol: str, depth: Depth | None, rules: Filters, *, using: str) -> Consumption | None:
    """The ledger as it stands once a book has been seen; None where there is no book to take from."""
    if depth is None:
        return None
    return refresh(ledger_read(symbol, rules, using=using), depth)


def book_rows(book: Book | None, rules: Filters, levels: int) -> tuple[IntArray2d, IntArray2d]:
    """Both sides as (ticks, lots) rows, best first; empty where there is no book."""
    if book is None:
        return np.zeros((0, 2), np.int64), np.zeros((0, 2), np.int64)
    return _side(book.bids, rules, levels), _side(book.asks, rules, levels)


def _side(side: tuple[tuple[int, int], ...], rules: Filters, levels: int) -> IntArray2d:
    rows = [(price // rules.tick_e8, quantity // rules.step_e8) for price, quantity in side[:levels]]
    return np.array(rows, np.int64).reshape(len(rows), 2)


def left_of(depth: Depth, ledger: Consumption | None) -> tuple[IntArray2d, IntArray2d]:
    """(bids, asks) as (ticks, lots) rows, less what we have taken of them."""
    taken = ledger or empty_consumption(depth.symbol)
    bids, asks = (available(taken, depth, side) for side in (BUY, SELL))
    return np.array(bids, np.int64).reshape(len(bids), 2), np.array(asks, np.int64).reshape(len(asks), 2)


def ledger_after(inputs: DecisionInputs, decision: Decision) -> Consumption | None:
    """The ledger after a decision; None where nothing was taken from a book. A placed order notes the book it met."""
    if inputs.placing is not None:
        return decision.ledger
    if inputs.ledger is None or not decision.fills:
        return None
    side = -decision.ints.side
    fills = [(ticks, lots) for ticks, lots, _ in decision.fills]
    return take(inputs.ledger, _displayed(inputs, inputs.ledger, side), side, fills)


def _displayed(inputs: DecisionInputs, ledger: Consumption, side: int) -> Depth:
    """One side of the arrival book as it was displayed: what was offered to the order and what we had taken before."""
    rows = inputs.bids if side == BUY else inputs.asks
    whole = tuple((ticks, lots + taken_at(ledger, side, ticks)) for ticks, lots in rows.tolist())
    bids, asks = (whole, ()) if side == BUY else ((), whole)
    return Depth(inputs.symbol, inputs.arrival_ts_ms, 0, bids, asks, 0, -1)
