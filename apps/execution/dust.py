"""Is a holding too small to be sold? Below a lot, the exchange's minimum quantity or its minimum notional it is dust.

Fees in base leave it. It is shown and counts for equity, no order can be formed of it, and only a new epoch writes it
off; what is bought later is sold together with it as soon as both make a whole lot.
"""

from __future__ import annotations

from apps.engine.run import rules_of
from apps.engine.values import E8, Filters
from apps.execution.booking import lots_held


def is_dust(quantity_e8: int, rules: Filters, mark_e8: int | None) -> bool:
    """Whether the exchange would take none of this holding in a market order. Without a mark its size is judged."""
    if quantity_e8 == 0:
        return False
    min_lots, _, multiple, min_notional_e8, _ = rules_of(rules)
    lots = abs(lots_held(quantity_e8, rules.step_e8)) // multiple * multiple
    if lots < max(1, min_lots):
        return True
    return mark_e8 is not None and lots * rules.step_e8 * mark_e8 < min_notional_e8 * E8
