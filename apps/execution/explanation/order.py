"""The page of one order: what was asked, how it stands, and how it filled, level by level."""

from __future__ import annotations

from typing import Any

from apps.dashboard.detail import Cell, Section, Table
from apps.engine.order_types import ORDER_REASON_TEXT, OrderReason
from apps.execution.explanation import words

TONES = {"FILLED": "good", "REJECTED": "bad", "CANCELED": "warn", "EXPIRED": "warn"}
PHASES = {
    "traveling": "on its way to the market",
    "armed": "waiting for a trade at its trigger",
    "resting": "resting in the queue at its price",
}
RULES = {
    "depth": "took displayed depth",
    "queue": "the queue ahead had traded",
    "through": "a trade went through the price",
    "bar": "at the next bar",
}


def order_page(story: dict[str, Any], asset: str) -> dict[str, Any]:
    """What `detail_response` shows of an order's story."""
    size = words.quantity(story["quantity"], asset)
    return {
        "title": f"{story['side'].capitalize()} {size}, {_type(story)}",
        "subtitle": f"Order {story['order_id']} on {story['symbol']}, decided {_moment(story['decided_at'])}",
        "verdict": Cell(_verdict(story, asset), TONES.get(story["status"], "")),
        "sections": [_asked(story), _times(story), _fills(story, asset), _market(story)],
        "links": [("Why this order", f"/decisions/{story['audit_id']}")],
    }


def _type(story: dict[str, Any]) -> str:
    return f"{words.plain(story['type'].lower())}, {story['time_in_force']}"


def _verdict(story: dict[str, Any], asset: str) -> str:
    filled = f"{words.quantity(story['filled_quantity'], asset)} of {words.quantity(story['quantity'], asset)} filled"
    waiting = story["waiting"]
    if waiting is not None:
        state = f"It is {PHASES[waiting['phase']]}."
        if waiting["queue_ahead"] is not None and waiting["phase"] == "resting":
            state += f" {words.quantity(waiting['queue_ahead'], asset)} stand ahead of it."
        return f"{filled}. {state}"
    why = _why(story["reason"])
    return f"{story['status'].replace('_', ' ').capitalize()}: {filled}. {why}".strip()


def _why(reason: str | None) -> str:
    known = {str(member): text for member, text in ORDER_REASON_TEXT.items()}
    return known.get(reason or OrderReason.NONE, "")


def _asked(story: dict[str, Any]) -> Section:
    pairs: list[tuple[str, Cell | str]] = [
        ("Asked by", story["origin"]),
        ("Type", _type(story)),
        ("Limit price", words.price(story["price"]) if story["price"] else "none"),
    ]
    if story["stop_price"]:
        pairs.append(("Trigger", words.price(story["stop_price"])))
    if story["trailing_delta"]:
        pairs.append(("Trails by", f"{story['trailing_delta']} bp"))
    if story["list_id"]:
        pairs.append(("One of an OCO", Cell(story["list_id"], mono=True)))
    pairs.append(("Client order id", Cell(story["client_order_id"], mono=True)))
    return Section("The order", pairs=pairs)


def _times(story: dict[str, Any]) -> Section:
    names = (
        *(("Asked for", "prepared_at"), ("Accepted", "decided_at"), ("Met its first book", "arrived_at")),
        ("Last change", "updated_at"),
    )
    return Section("When", pairs=[(label, _moment(story[name]) if story[name] else "not yet") for label, name in names])


def _fills(story: dict[str, Any], asset: str) -> Section:
    rows = [
        (
            # First, so that no width of the screen hides the way to the proof.
            Cell(f"{fill['ts'][11:23]} record", href=f"/decisions/{fill['audit_id'] or story['audit_id']}"),
            words.price(fill["price"]),
            words.quantity(fill["quantity"], asset),
            f"{fill['fee']} {'quote' if fill['fee_asset'] == 'quote' else asset}",
            fill["liquidity"],
            RULES[fill["rule"]],
            _behind(fill["behind"], asset),
        )
        for fill in story["fills"]
    ]
    headings = ("Filled, UTC", "Price>", "Quantity>", "Fee>", "Liquidity", "Why", "Behind it")
    return Section("Fills, level by level", table=Table(headings, rows, empty="Nothing has filled."))


def _behind(behind: dict[str, Any] | None, asset: str) -> str:
    if behind is None:
        return "not recorded"
    if behind["kind"] == "book":
        return f"the book of {_moment(behind['ts'])}"
    ahead = behind["queue_ahead"]
    queue = f", {words.quantity(ahead, asset)} ahead" if ahead is not None else ", queue unknown"
    return (
        f"trade {behind['trade_id']} of {words.quantity(behind['quantity'], asset)} at {words.price(behind['price'])}"
        f"{queue}"
    )


def _market(story: dict[str, Any]) -> Section:
    """The book of the first fill that walked one."""
    books = [fill["behind"] for fill in story["fills"] if fill["behind"] and fill["behind"]["kind"] == "book"]
    if not books:
        return Section("The book it met", note="No fill of this order walked the book.")
    columns = ("quantity", "taken", "filled")
    rows = [(words.price(level["price"]), *(level[name] for name in columns)) for level in books[0]["levels"]]
    note = f"As displayed {_moment(books[0]['ts'])}; what our orders had taken of it before was not offered again."
    return Section(
        "The book it met", note=note, table=Table(("Price>", "Displayed>", "Taken before>", "Filled>"), rows)
    )


def _moment(text: str) -> str:
    return f"{text[:10]} {text[11:23]} UTC"
