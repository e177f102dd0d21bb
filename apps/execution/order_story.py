"""How was this order filled? Each fill with what was behind it: the book or the trade, and the queue ahead of us."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apps.audit.selectors import audit_many
from apps.engine.decimals import e8_text
from apps.engine.errors import UnknownName
from apps.engine.record import MATCH_KIND
from apps.engine.values import Filters
from apps.execution.models import Order
from apps.execution.order_documents import order_document
from apps.marketdata import selectors as market
from apps.web.values import iso_ms

SHOWN_LEVELS = 5


def order_story(order_id: str) -> dict[str, Any]:
    """The order's document; each fill has `behind` besides. Raises UnknownName."""
    row = Order.objects.filter(order_id=order_id).select_related("execution").prefetch_related("fills").first()
    if row is None:
        raise UnknownName("there is no such order", field="order_id")
    document = order_document(row)
    if document["fills"]:
        _tell(document, row)
    return document


def _tell(document: dict[str, Any], row: Order) -> None:
    """Put what was behind it to each fill; null where the record is not there."""
    rules = market.filters_at(row.symbol, row.filter_revision)
    fills = list(row.fills.all())
    ids = [fill.audit_id or document["audit_id"] for fill in fills]
    records = audit_many(sorted(set(ids)))
    for audit_id, fill in zip(ids, document["fills"], strict=True):
        record = records.get(audit_id)
        ours = {other.price_e8: other.quantity_e8 for other, own in zip(fills, ids, strict=True) if own == audit_id}
        fill["behind"] = (
            _behind(record.kind, record.content["inputs"], row, rules, ours) if record is not None else None
        )


def _behind(kind: str, inputs: dict[str, Any], row: Order, rules: Filters, ours: Mapping[int, int]) -> dict[str, Any]:
    """The event of the market that filled."""
    if kind != MATCH_KIND:
        placing = inputs.get("placing")
        book = placing["depth"] if placing else inputs["book_arrival"]
        return _book(book, _taken(inputs, placing), row, rules, ours)
    event = inputs["event"]
    if event["kind"] == "book":
        return _book(event, inputs["ledger"]["levels"], row, rules, ours)
    state = next(order for order in inputs["orders"] if order["order_id"] == row.order_id)
    queue = state["queue_ahead_lots"]
    return {
        "kind": "trade",
        "trade_id": int(event["trade_id"]),
        "price": _price(event["price_ticks"], rules),
        "quantity": _quantity(event["lots"], rules),
        "aggressor": "SELL" if event["is_buyer_maker"] else "BUY",
        "queue_ahead": _quantity(queue, rules) if queue is not None else None,
        "ts": iso_ms(event["ts_ms"]),
    }


def _taken(inputs: dict[str, Any], placing: dict[str, Any] | None) -> list[list[Any]]:
    ledger = placing["ledger"] if placing else inputs.get("taken")
    return ledger["levels"] if ledger else []


def _book(
    book: dict[str, Any], taken: list[list[Any]], row: Order, rules: Filters, ours: Mapping[int, int]
) -> dict[str, Any]:
    """The side that was walked, best first and down to our deepest fill at least: what of each level our orders had
    taken before, and what this order took then. `ours` are the quantities of its fills by price."""
    side, name = (-1, "asks") if row.side == "BUY" else (1, "bids")
    before = {int(ticks): int(lots) for book_side, ticks, _, lots in taken if int(book_side) == side}
    levels = [
        {
            "price": _price(ticks, rules),
            "quantity": _quantity(lots, rules),
            "taken": _quantity(before.get(int(ticks), 0), rules),
            "filled": e8_text(ours.get(int(ticks) * rules.tick_e8, 0)),
        }
        for ticks, lots in book[name][: max(SHOWN_LEVELS, _depth_of(book[name], ours, rules))]
    ]
    return {"kind": "book", "levels": levels, "ts": iso_ms(book["ts_ms"])}


def _depth_of(levels: Sequence[Sequence[Any]], ours: Mapping[int, int], rules: Filters) -> int:
    """How many levels the fills reach into."""
    return max((n for n, (ticks, _) in enumerate(levels, 1) if int(ticks) * rules.tick_e8 in ours), default=0)


def _price(ticks: int | str, rules: Filters) -> str:
    return e8_text(int(ticks) * rules.tick_e8)


def _quantity(lots: int | str, rules: Filters) -> str:
    return e8_text(int(lots) * rules.step_e8)
