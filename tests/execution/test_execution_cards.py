"""What the cards of execution say of a desk that has traded, and of one that has not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apps.audit.rendering import record_document
from apps.audit.selectors import audit_get
from apps.engine.policies import POLICIES
from apps.execution import cards, selectors
from apps.execution.models import EquityPoint
from apps.marketdata.market import MarketView, Quote
from tests.dashboard.contract import plain_breaches, query_budget
from tests.support.bars import walk_bars
from tests.support.desk import seed_desk, store

E8 = 10**8


@pytest.fixture
def market(monkeypatch: pytest.MonkeyPatch) -> MarketView:
    """A market of this test alone; nothing is known of it yet."""
    fresh = MarketView(symbols=["BTCUSDT"])
    for module in (cards, selectors):
        monkeypatch.setattr(module, "market_view", lambda: fresh)
    return fresh


def quote(market: MarketView, price: int, *, age_ms: int = 0) -> None:
    if not market.clock.is_set:
        market.clock.observe(1_800_000_000_000)
    market.put_quote(Quote("BTCUSDT", (price - 1) * E8, (price + 1) * E8, price * E8, market.now_ms() - age_ms))


def hold(quantity_e8: int, cost_e8: int) -> None:
    account = selectors.account_current()
    selectors.Position.objects.update_or_create(
        account=account, symbol="BTCUSDT", defaults={"quantity_e8": quantity_e8, "cost_e8": cost_e8}
    )


def test_the_cards_of_a_traded_desk_are_plain_and_cheap(traded: Any, market: MarketView) -> None:
    quote(market, 70_000)
    for name, budget in (("equity", 7), ("positions", 3), ("router", 2), ("decisions", 1)):
        selector = getattr(cards, f"{name}_context")
        with query_budget(budget):
            assert plain_breaches(selector()) == []


def test_equity_is_cash_and_marked_positions(desk_db: Path, market: MarketView) -> None:
    seed_desk(("BTCUSDT",))
    hold(E8 // 2, 30_000 * E8)
    quote(market, 70_000, age_ms=900)
    context = cards.equity_context()
    assert context["equity_e8"] == 10**14 + 35_000 * E8
    assert context["exposure_e8"] == 35_000 * E8
    assert context["pnl_share"] == 0.035
    assert context["exposure_share"] == pytest.approx(35_000 / 1_035_000)
    assert 900 <= context["data_age_ms"] < 1_500


def test_what_cannot_be_marked_is_not_guessed(desk_db: Path, market: MarketView) -> None:
    seed_desk(("BTCUSDT",))
    hold(E8 // 2, 30_000 * E8)
    context = cards.equity_context()
    assert context["equity_e8"] is None and context["drawdown"] is None and context["data_age_ms"] is None
    row = cards.positions_context()["rows"][0]
    assert (row["mark"], row["unrealized_e8"], row["notional_e8"]) == ("—", None, None)
    assert cards.positions_context()["sums"]["unrealized_e8"] is None


def test_unrealized_profit_is_against_the_cost_and_counts_for_shorts_too(desk_db: Path, market: MarketView) -> None:
    seed_desk(("BTCUSDT",))
    quote(market, 70_000)
    hold(E8 // 2, 30_000 * E8)
    assert cards.positions_context()["rows"][0]["unrealized_e8"] == 5_000 * E8
    hold(-E8 // 2, 30_000 * E8)
    assert cards.positions_context()["rows"][0]["unrealized_e8"] == -5_000 * E8


def test_the_curve_is_thinned_evenly_and_keeps_both_ends(traded: Any) -> None:
    stored = list(EquityPoint.objects.order_by("ts_ms").values_list("ts_ms", flat=True))
    with query_budget(4):
        curve = selectors.equity_curve(limit=100)
    shown = [row["ts_ms"] for row in curve]
    assert len(stored) == 700 and 90 <= len(shown) <= 102
    assert (shown[0], shown[-1]) == (stored[0], stored[-1])
    steps = {late - early for early, late in zip(shown[:-2], shown[1:-1], strict=True)}
    assert steps == {7 * 60_000}
    assert len(selectors.equity_curve(limit=1_000)) == 700


def test_decisions_tell_what_happened_and_why(traded: Any) -> None:
    flatten, looked, refused, bought = cards.decisions_context()["rows"][:4]
    assert (flatten["policy"], flatten["status"], flatten["side"]) == ("flatten", "Sold", "SELL")
    assert looked["policy"] in {*POLICIES.names(), "cash"}
    assert (refused["status"], refused["tone"], refused["is_sent"]) == ("Blocked", "warn", False)
    assert refused["size_e8"] == 9 * E8 and refused["why"].startswith("The gross notional of all positions")
    assert (bought["policy"], bought["status"], bought["size_e8"]) == ("a person", "Bought", E8)
    times = [row["ts_ms"] for row in cards.decisions_context()["rows"]]
    assert times == sorted(times, reverse=True) and len(times) == cards.SHOWN_DECISIONS


def test_the_router_card_repeats_its_newest_record(traded: Any) -> None:
    context = cards.router_context()
    (head,) = context["symbols"]
    record = record_document(audit_get(head["audit_id"]))
    assert record["outcome"]["source"] == "router"
    shown = {arm["name"]: arm["cells"][0] for arm in context["arms"]}
    assert {name: cell["probability"] for name, cell in shown.items()} == {
        arm["policyId"]: arm["probBest"] for arm in record["policy"]["posterior"]
    }
    assert [name for name, cell in shown.items() if cell["is_chosen"]] == [record["policy"]["choice"]["policyId"]]
    assert sum(cell["probability"] for cell in shown.values()) == pytest.approx(1.0)
    assert head["regime"] == record["context"]["regime"]["label"].replace("_", " ")


def test_a_desk_without_an_account_shows_nothing_rather_than_failing(desk_db: Path, market: MarketView) -> None:
    assert cards.equity_context()["rows"] == []
    assert cards.decisions_context() == {"rows": [], "places": 0}
    assert cards.router_context()["arms"] == []


def test_what_left_the_watch_list_says_so_at_its_last_price(desk_db: Path, market: MarketView, settings: Any) -> None:
    """It is held and no price comes any more: the close of its last bar stands, marked as reduce only."""
    seed_desk(("BTCUSDT",))
    hold(E8 // 2, 30_000 * E8)
    bars = walk_bars(3, seed=4)
    store("BTCUSDT", bars)
    settings.SYMBOLS = ("ETHUSDT",)
    rows = {row["symbol"]: row for row in cards.positions_context()["rows"]}
    assert rows["BTCUSDT"]["is_reduce_only"] and not rows["ETHUSDT"]["is_reduce_only"]
    assert rows["BTCUSDT"]["notional_e8"] == int(bars.close_e8[-1]) // 2
