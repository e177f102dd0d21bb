"""May the fills be believed? By which rule they came, what they cost against the mid, what was missed, how big we are.

Shares by rule and missed fills are over the whole epoch; shortfall and size over the newest orders, whose records hold
the books they were decided on and met.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db.models import Count, F, Q, Sum

from apps.audit.selectors import audit_many
from apps.execution.models import Account, Fill, Order
from apps.execution.selectors import account_current

NEWEST_ORDERS = 50
LARGE_SHARE = 0.05
RULES = ("depth", "queue", "through", "bar")


class Sampled(NamedTuple):
    """One order against the books of its record; None what they do not tell."""

    notional_e8: int
    shortfall_e8: float | None
    depth_share: float | None


def honesty_context() -> dict[str, Any]:
    """The card's figures; None where there is nothing to count yet."""
    account = account_current()
    by_rule = _by_rule(account)
    n_fills = sum(by_rule.values())
    closed, missed = _missed(account)
    sampled = _sampled(account)
    costs = [order for order in sampled if order.shortfall_e8 is not None]
    sized = [order.depth_share for order in sampled if order.depth_share is not None]
    return {
        "rules": [{"name": name, "n": by_rule.get(name, 0), "share": _share(by_rule.get(name, 0), n_fills)}
                  for name in RULES if name != "bar" or by_rule.get(name)],
        "n_fills": n_fills,
        "closed": closed,
        "missed": missed,
        "missed_share": _share(missed, closed),
        "shortfall_bps": _shortfall_bps(costs),
        "n_costs": len(costs),
        "large": sum(share > LARGE_SHARE for share in sized),
        "large_share": _share(sum(share > LARGE_SHARE for share in sized), len(sized)),
        "n_sized": len(sized),
    }  # fmt: skip


def _by_rule(account: Account | None) -> dict[str, int]:
    rows = Fill.objects.filter(account=account).values_list("rule").annotate(n=Count("pk"))
    return dict(rows.order_by("rule"))


def _missed(account: Account | None) -> tuple[int, int]:
    """(closed orders, those of them that ended with lots nobody filled). A leg its list ended missed nothing."""
    closed = Order.objects.filter(account=account, is_open=False).exclude(reason="list_canceled")
    counts = closed.aggregate(n=Count("pk"), missed=Count("pk", filter=Q(filled_e8__lt=F("quantity_e8"))))
    return counts["n"], counts["missed"]


def _sampled(account: Account | None) -> list[Sampled]:
    rows = Order.objects.filter(account=account).order_by("-number").annotate(
        filled=Sum("fills__quantity_e8"), paid=Sum("fills__notional_e8")
    )  # fmt: skip
    found = list(rows.values_list("execution__audit_id", "side", "quantity_e8", "filled", "paid")[:NEWEST_ORDERS])
    records = audit_many(sorted({audit_id for audit_id, *_ in found}))
    inputs = {audit_id: record.content.get("inputs") for audit_id, record in records.items()}
    return [_sample(inputs.get(audit_id), *order) for audit_id, *order in found]


def _sample(
    inputs: dict[str, Any] | None, side: str, quantity_e8: int, filled_e8: int | None, paid_e8: int | None
) -> Sampled:
    """Shortfall is what was paid beyond the mid seen when deciding; depth is the whole side the order arrived at."""
    if inputs is None or "book_seen" not in inputs:
        return Sampled(paid_e8 or 0, None, None)
    unit_e8, step_e8 = (int(inputs["terms"][name]) for name in ("unit_e8", "step_e8"))
    bids, asks = inputs["book_seen"]["bids"], inputs["book_seen"]["asks"]
    shortfall = None
    if filled_e8 and paid_e8 and bids and asks:
        at_mid = (int(bids[0][0]) + int(asks[0][0])) * filled_e8 * unit_e8 / (2 * step_e8)
        shortfall = (paid_e8 - at_mid) * (1 if side == "BUY" else -1)
    book = inputs.get("placing", {}).get("depth") or inputs["book_arrival"]
    depth = sum(int(lots) for _, lots in book["asks" if side == "BUY" else "bids"])
    return Sampled(paid_e8 or 0, shortfall, quantity_e8 / (depth * step_e8) if depth else None)


def _shortfall_bps(costs: list[Sampled]) -> float | None:
    """Of all that was traded, weighted by notional; positive is a cost."""
    paid = sum(order.notional_e8 for order in costs)
    return sum(order.shortfall_e8 or 0.0 for order in costs) / paid * 1e4 if paid else None


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
