"""Prices and feed as the page shows them: a dead feed looks dead, whatever its connection says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.template.loader import render_to_string

from apps.dashboard.cards import CARDS
from apps.marketdata import cards, services
from apps.marketdata.market import MarketView, Quote
from tests.marketdata.builders import START, bars_at
from tests.marketdata.test_bars import FILTERS

E8 = 10**8
NOW_MS = START + 20 * 60_000 + 1_500


@pytest.fixture
def view(desk_db: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> MarketView:
    settings.SYMBOLS = ("BTCUSDT",)
    fresh = MarketView(symbols=settings.SYMBOLS)
    monkeypatch.setattr(cards, "market_view", lambda: fresh)
    return fresh


def live(view: MarketView, *, age_ms: int = 0) -> None:
    view.clock.observe(NOW_MS)
    view.feed.connected, view.feed.source = True, "simulated"
    ts_ms = NOW_MS - age_ms
    view.put_quote(Quote("BTCUSDT", 9_999 * E8, 10_001 * E8, 10_000 * E8, ts_ms, NOW_MS))


def html() -> str:
    card = CARDS.get("feed")
    return render_to_string(card.template_name, {**cards.feed_context(), "card": card, "rendered_ms": 0})


def test_prices_carry_the_spread(view: MarketView) -> None:
    live(view)
    (row,) = cards.prices_context()["rows"]
    assert (row["bid_e8"], row["ask_e8"], row["spread_bps"]) == (9_999 * E8, 10_001 * E8, 2.0)


def test_a_live_feed_says_so_and_how_old_its_data_is(view: MarketView) -> None:
    services.filters_record(symbol="BTCUSDT", filters=FILTERS, ts_ms=1)
    services.bars_store(symbol="BTCUSDT", interval="1m", bars=bars_at(range(20)), source="test", ts_ms=NOW_MS)
    live(view, age_ms=400)
    context = cards.feed_context()
    assert (context["state"], context["trouble"]) == ("live", "")
    assert context["rows"][0]["quote_age"] == "0.4 s"
    assert context["rows"][0]["bar_age"] == "1.5 s"
    assert "unavailable" not in html()


def test_old_prices_are_stale_though_the_connection_is_open(view: MarketView) -> None:
    live(view, age_ms=6_000)
    assert cards.feed_context()["state"] == "stale"
    shown = html()
    assert "<strong>Stale</strong>" in shown and "6.0 s stale" in shown


def test_a_lost_connection_is_said_even_while_prices_are_young(view: MarketView) -> None:
    live(view)
    view.feed.connected = False
    assert cards.feed_context()["state"] == "disconnected"
    assert '<span class="bad">disconnected</span>' in html() and "not connected" in html()


def test_nothing_yet_is_not_zero(view: MarketView) -> None:
    context = cards.feed_context()
    assert context["trouble"] == "Nothing has arrived from the exchange yet."
    assert context["rows"][0]["quote_age"] == "—" and context["rows"][0]["is_stale"] is True
    assert cards.prices_context()["rows"][0]["bid_e8"] is None


def test_the_clock_is_unknown_until_the_market_told_its_time(view: MarketView) -> None:
    assert cards.clock_state() is None
    live(view)
    state = cards.clock_state()
    assert state is not None and state.now_ms >= NOW_MS and state.speed == 1.0
