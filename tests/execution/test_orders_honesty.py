"""The card that says whether fills may be believed."""

from __future__ import annotations

import pytest

from apps.execution.honesty import honesty_context
from tests.dashboard.contract import plain_breaches, query_budget
from tests.execution.orders_desk import OrdersDesk, desk
from tests.support.live_desk import set_limits

__all__ = ["desk"]


def test_figures_by_hand(desk: OrdersDesk) -> None:
    """A buy of 7 at the market takes 5 at +1 and 2 at +2 of 100 displayed; 0.5 resting at -2 fills by one through."""
    set_limits(symbol_notional_cap_e8=10**14, max_notional_e8=10**14, order_cap_e8=10**14)
    desk.place("MARKET", quantity="7")
    desk.place(price=-2)
    desk.trade(-3, 9)
    desk.place(quantity="0.5", price=-3, timeInForce="IOC")
    with query_budget(5):
        figures = honesty_context()
    assert plain_breaches(figures) == []
    assert {rule["name"]: rule["n"] for rule in figures["rules"]} == {"depth": 2, "queue": 0, "through": 1}
    assert (figures["closed"], figures["missed"]) == (3, 1)
    assert (figures["large"], figures["n_sized"]) == (1, 3)  # 7 of 100; the others are 0.5 of what 7 left
    paid = 7 * desk.mid_e8 + (5 + 4) * 10**8 + (desk.mid_e8 - 2 * 10**8) // 2
    assert figures["shortfall_bps"] == pytest.approx((9 - 1) * 10**8 / paid * 1e4)


def test_an_idle_desk_counts_nothing(desk: OrdersDesk) -> None:
    figures = honesty_context()
    assert figures["n_fills"] == 0 and figures["shortfall_bps"] is None and figures["missed_share"] is None
