"""What did an order pay beyond the mid it was decided at? Move of the market, spread and depth, fee: each by itself."""

from __future__ import annotations

from typing import Any, NamedTuple

from apps.engine.decimals import e8_text
from apps.execution.explanation.words import e8_of

BPS = 10_000


class FillCosts(NamedTuple):
    """Positive where it cost; None where there is no fill or no mid to compare with."""

    n_fills: int
    quantity_text: str
    price_e8: int | None
    fee_text: str
    seen_mid_e8: float | None
    arrival_mid_e8: float | None
    slippage_bps: float | None
    drift_bps: float | None
    depth_bps: float | None


def fill_costs(document: dict[str, Any]) -> FillCosts:
    """The costs of all fills of a decision together."""
    fills = document["fills"] or []
    quantities = [e8_of(fill["quantity"]) or 0 for fill in fills]
    prices = [e8_of(fill["price"]) or 0 for fill in fills]
    total = sum(quantities)
    average = sum(p * q for p, q in zip(prices, quantities, strict=True)) // total if total else None
    seen, arrival = _mid(document, "book_seen"), _mid(document, "book_arrival")
    return FillCosts(
        n_fills=len(fills),
        quantity_text=e8_text(total),
        price_e8=average,
        fee_text=e8_text(sum(e8_of(fill["fee"]) or 0 for fill in fills)),
        seen_mid_e8=seen,
        arrival_mid_e8=arrival,
        slippage_bps=cost_bps(document, average, seen),
        drift_bps=cost_bps(document, arrival, seen) if total else None,
        depth_bps=cost_bps(document, average, arrival),
    )


def cost_bps(document: dict[str, Any], price_e8: float | None, reference_e8: float | None) -> float | None:
    """How much worse than the reference a price is for this order's side, in basis points."""
    if price_e8 is None or not reference_e8 or document["order"] is None:
        return None
    sign = 1 if document["order"]["side"] == "BUY" else -1
    return sign * (price_e8 - reference_e8) / reference_e8 * BPS


def _mid(document: dict[str, Any], name: str) -> float | None:
    inputs = document["inputs"]
    book, tick = inputs[name], int(inputs["filters"]["tick_e8"])
    if not book["bids"] or not book["asks"]:
        return None
    return float((book["bids"][0][0] + book["asks"][0][0]) * tick / 2)


def best_e8(document: dict[str, Any], name: str, side: str) -> int | None:
    """The best price of one side of a recorded book."""
    inputs = document["inputs"]
    rows = inputs[name][side]
    return int(rows[0][0]) * int(inputs["filters"]["tick_e8"]) if rows else None
