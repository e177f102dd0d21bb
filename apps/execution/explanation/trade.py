"""What did the guards say, how was the order filled, and what did it do to the account?"""

from __future__ import annotations

from typing import Any

from apps.dashboard import formats
from apps.dashboard.detail import Cell, Section, Table
from apps.engine.guards import GUARDS
from apps.execution.explanation import words
from apps.execution.explanation.costs import cost_bps, fill_costs

TONES = {"ALLOW": "good", "REDUCE": "warn", "DENY": "bad", "HALT": "bad"}
REHEARSALS = {
    "below_lot": "The canary's share of this order is less than one lot: a live venue would have got nothing.",
    "filled": "A live venue would have filled it.",
    "partial": "A live venue would have filled a part.",
    "expired": "A live venue would not have filled it.",
    "open": "The order had not filled when it was accepted.",
    "no_order": "No order was sent, so there is nothing to rehearse.",
}


def guards_section(document: dict[str, Any], asset: str) -> Section:
    """Every guard with what it observed and its limit."""
    guards = document["guards"] or []
    if not guards:
        return Section("Guards", note="No order was formed, so no guard was asked.")
    step = int(document["inputs"]["filters"]["step_e8"])
    summaries = {guard.name: guard.summary for guard in GUARDS}
    rows = [
        (
            words.plain(guard["name"]),
            Cell(guard["verdict"], TONES.get(guard["verdict"], "")),
            Cell("unknown", "warn") if guard.get("isUnknown") else _in_unit(guard, "observed", step, asset),
            _in_unit(guard, "limit", step, asset),
            summaries.get(guard["name"], ""),
        )
        for guard in guards
    ]
    note = "All guards judge the whole order; the worst verdict wins. REDUCE passes only what lowers risk."
    return Section(
        "Guards", note=note, table=Table(("Guard", "Verdict", "Observed>", "Limit>", "What it watches"), rows)
    )


def _in_unit(guard: dict[str, Any], name: str, step_e8: int, asset: str) -> str:
    return words.in_unit(guard[name], words.unit_of(guard), step_e8=step_e8, asset=asset)


def order_section(document: dict[str, Any], asset: str) -> Section | None:
    """The order, and its fills level by level; None where none was formed."""
    order = document["order"]
    if order is None:
        return None
    costs = fill_costs(document)
    pairs: list[tuple[str, Cell | str]] = [
        ("Order", f"{order['side'].capitalize()} {words.quantity(order['quantity'], asset)}"),
        ("Type", f"{order['type'].capitalize()}, {order['timeInForce']}"),
        ("Judged at", words.price(order["judgedPrice"])),
        ("Sent to the paper book", "yes" if order["isSent"] else Cell("no", "warn")),
    ]
    if costs.n_fills:
        pairs += [
            ("Filled", words.quantity(costs.quantity_text, asset)),
            ("Average price", words.price_e8(costs.price_e8)),
            ("Slippage", formats.bps(costs.slippage_bps, signed=True)),
            ("of it: market moved", formats.bps(costs.drift_bps, signed=True)),
            ("of it: spread and depth", formats.bps(costs.depth_bps, signed=True)),
            ("Fee", words.money(costs.fee_text)),
        ]
    return Section("Order and fills", note=_fill_note(document), pairs=pairs, table=_fills(document, costs.seen_mid_e8))


def _fill_note(document: dict[str, Any]) -> str:
    if document["inputs"]["terms"]["fill_kind"] == 0:
        return "Filled at the open of the next bar, half the spread and the impact of its size added."
    if not document["fills"]:
        return ""
    return (
        "Filled against the book displayed when the order arrived. Slippage counts from the mid seen when deciding; "
        "positive is a cost."
    )


def _fills(document: dict[str, Any], seen_mid_e8: float | None) -> Table | None:
    fills = document["fills"] or []
    if not fills:
        return None
    rows = [
        (
            f"{level}",
            formats.price(words.e8_of(fill["price"])),
            formats.decimal_e8(words.e8_of(fill["quantity"])),
            formats.money((words.e8_of(fill["price"]) or 0) * (words.e8_of(fill["quantity"]) or 0) // 10**8),
            formats.bps(cost_bps(document, words.e8_of(fill["price"]), seen_mid_e8), signed=True),
            words.money(fill["fee"]),
        )
        for level, fill in enumerate(fills, start=1)
    ]
    return Table(("Level", "Price>", "Quantity>", "Notional>", "Slippage>", "Fee>"), rows)


def position_section(document: dict[str, Any], asset: str) -> Section:
    """Position, cash and equity before and after, at the same mark."""
    position = document["position"]
    before, after = position["before"], position["after"]
    rows = [
        (
            "Position",
            words.quantity(before["quantity"], asset),
            words.quantity(after["quantity"], asset),
            _change(before, after, "quantity", asset),
        ),
        ("Cash", words.money(before["cash"]), words.money(after["cash"]), _change(before, after, "cash", "USDT")),
        (
            "Equity",
            words.money(before["equity"]),
            words.money(after["equity"]),
            _change(before, after, "equity", "USDT"),
        ),
    ]
    pairs: list[tuple[str, Cell | str]] = [
        ("Mark", words.price(position["markPrice"])),
        ("High-water mark", words.money(position["highWater"])),
    ]
    if position["isTripped"]:
        pairs.append(("Breaker", Cell("tripped by this decision", "bad")))
    if position["isRearmed"]:
        pairs.append(("Breaker", "re-armed by this decision"))
    return Section("Account", pairs=pairs, table=Table(("", "Before>", "After>", "Change>"), rows))


def _change(before: dict[str, str], after: dict[str, str], name: str, asset: str) -> Cell | str:
    change = (words.e8_of(after[name]) or 0) - (words.e8_of(before[name]) or 0)
    if change == 0:
        return "unchanged"
    text = formats.decimal_e8(change) if name == "quantity" else formats.decimal_e8(change, 2)
    return f"{'' if change < 0 else '+'}{text} {asset}".rstrip()


def rehearsal_section(document: dict[str, Any], asset: str) -> Section | None:
    """What a live venue would have got: the canary's share, never sent. None where there was nothing to rehearse."""
    rehearsal = document["rehearsal"]
    if rehearsal["status"] in ("disabled", "no_order"):
        return None
    pairs: list[tuple[str, Cell | str]] = [
        ("Canary weight", formats.percent(rehearsal["weight"], 0)),
        ("Size", words.quantity(rehearsal["size"], asset)),
        ("Fill price", words.price(rehearsal["fillPrice"])),
    ]
    return Section("Rehearsal", note=REHEARSALS.get(rehearsal["status"], ""), pairs=pairs)
