"""The exchange's rules: read exactly, kept as revisions, shown; what nobody enforces is named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from apps.engine.errors import InvalidInput
from apps.engine.order_filters import OrderRules
from apps.engine.values import E8
from apps.marketdata import selectors, services
from apps.marketdata.exchange.rules import rules_of
from apps.marketdata.exchange.simulated.symbols import KNOWN, exchange_info_entry
from apps.marketdata.models import FilterRevision

PRICE = {"filterType": "PRICE_FILTER", "minPrice": "0.01000000", "maxPrice": "1000000.00000000", "tickSize": "0.01"}
LOT = {"filterType": "LOT_SIZE", "minQty": "0.00001000", "maxQty": "9000.00000000", "stepSize": "0.00001000"}
SIDES = {
    **{"filterType": "PERCENT_PRICE_BY_SIDE", "avgPriceMins": 5},
    **{"bidMultiplierUp": "1.5", "bidMultiplierDown": "0.2", "askMultiplierUp": "5", "askMultiplierDown": "0.8"},
}
ALIKE = {"filterType": "PERCENT_PRICE", "multiplierUp": "2", "multiplierDown": "0.5", "avgPriceMins": 3}
NOTIONAL = {
    **{"filterType": "NOTIONAL", "minNotional": "5", "applyMinToMarket": True, "avgPriceMins": 5},
    **{"maxNotional": "9000000", "applyMaxToMarket": False},
}
OLD_NOTIONAL = {"filterType": "MIN_NOTIONAL", "minNotional": "10", "applyToMarket": False, "avgPriceMins": 5}
TRAIL = {
    **{"filterType": "TRAILING_DELTA", "minTrailingAboveDelta": 10, "maxTrailingAboveDelta": 2000},
    **{"minTrailingBelowDelta": 20, "maxTrailingBelowDelta": 500},
}
ORDERS = {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200}
ALGOS = {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5}
POSITION = {"filterType": "MAX_POSITION", "maxPosition": "43.00000000"}


def entry(*filters: dict[str, Any]) -> dict[str, Any]:
    names = {"symbol": "BTCUSDT", "baseAsset": "BTC", "quoteAsset": "USDT", "status": "TRADING"}
    return {**names, "filters": [PRICE, LOT, *filters]}


def stored(*filters: dict[str, Any], ts_ms: int = 1) -> list[str]:
    return services.symbols_store(rules=[rules_of(entry(*filters))], ts_ms=ts_ms)


def test_every_rule_is_read_exactly() -> None:
    rules = rules_of(entry(SIDES, NOTIONAL, TRAIL, ORDERS, ALGOS))
    assert rules.orders == OrderRules(
        min_price_e8=1_000_000,
        max_price_e8=10**6 * E8,
        bid_up_e8=150_000_000,
        bid_down_e8=20_000_000,
        ask_up_e8=500_000_000,
        ask_down_e8=80_000_000,
        is_by_side=1,
        avg_price_mins=5,
        priced_min_e8=5 * E8,
        priced_max_e8=9_000_000 * E8,
        max_orders=200,
        max_algo_orders=5,
        min_trail_above_bps=10,
        max_trail_above_bps=2_000,
        min_trail_below_bps=20,
        max_trail_below_bps=500,
    )
    assert (rules.filters.min_notional_e8, rules.filters.max_notional_e8, rules.others) == (5 * E8, 0, "[]")


def test_the_older_filters_bind_both_sides_and_may_exempt_market_orders() -> None:
    rules = rules_of(entry(ALIKE, OLD_NOTIONAL))
    orders = rules.orders
    assert (orders.bid_up_e8, orders.bid_down_e8) == (orders.ask_up_e8, orders.ask_down_e8) == (2 * E8, E8 // 2)
    assert (orders.is_by_side, orders.avg_price_mins) == (0, 3)
    assert (orders.priced_min_e8, rules.filters.min_notional_e8) == (10 * E8, 0)


def test_two_percent_filters_leave_the_narrower_bounds() -> None:
    """Buys 0.2 to 1.5 and sales 0.8 to 5, both 0.5 to 2: buys keep 0.5 to 1.5, sales 0.8 to 2."""
    orders = rules_of(entry(ALIKE, SIDES)).orders
    assert (orders.bid_down_e8, orders.bid_up_e8) == (E8 // 2, 150_000_000)
    assert (orders.ask_down_e8, orders.ask_up_e8) == (80_000_000, 2 * E8)


@pytest.mark.parametrize("count", [-1, 1.5, "7", True, None, 2**63])
def test_a_count_that_is_none_refuses_the_symbol_by_name(count: object) -> None:
    with pytest.raises(InvalidInput, match="BTCUSDT cannot be traded: maxNumOrders"):
        rules_of(entry({**ORDERS, "maxNumOrders": count}))


def test_a_filter_nobody_knows_is_kept_and_named(desk_db: Path) -> None:
    unknown = {"filterType": "T_PLUS_SELL", "endTime": 1_700_000_000_000}
    assert stored(unknown, POSITION) == ["BTCUSDT"]
    assert selectors.published_rules()["BTCUSDT"].others == ("MAX_POSITION", "T_PLUS_SELL")
    (row,) = FilterRevision.objects.all()
    assert json.loads(row.others) == [POSITION, unknown] and unknown in json.loads(row.raw)


@pytest.mark.parametrize(
    ("filters", "field", "value"),
    [
        ((SIDES, ORDERS, {**POSITION, "maxPosition": "44"}), None, None),
        (({**SIDES, "askMultiplierUp": "4"}, ORDERS, POSITION), "ask_up_e8", 4 * E8),
        (({**SIDES, "avgPriceMins": 1}, ORDERS, POSITION), "avg_price_mins", 1),
        ((SIDES, {**ORDERS, "maxNumOrders": 100}, POSITION), "max_orders", 100),
        ((SIDES, ORDERS, POSITION, TRAIL), "max_trail_below_bps", 500),
        ((ALIKE, ORDERS, POSITION), "is_by_side", 0),
    ],
)
def test_a_changed_rule_makes_a_new_revision(
    desk_db: Path, filters: tuple[dict[str, Any], ...], field: str | None, value: int
) -> None:
    before = (SIDES, ORDERS, POSITION)
    assert stored(*before) == ["BTCUSDT"] and stored(*before, ts_ms=2) == []
    assert stored(*reversed(before), ts_ms=3) == []  # another order of the list is no other rule
    first = selectors.order_rules_current("BTCUSDT")
    assert stored(*filters, ts_ms=4) == ["BTCUSDT"]
    assert selectors.filters_current("BTCUSDT").revision == 2
    assert selectors.order_rules_at("BTCUSDT", 1) == first
    if field is not None:
        now = selectors.order_rules_current("BTCUSDT")
        assert getattr(now, field) == value != getattr(first, field)


def test_the_simulated_exchange_publishes_every_rule_that_is_read() -> None:
    for spec in KNOWN.values():
        rules = rules_of(exchange_info_entry(spec))
        orders = rules.orders
        assert (orders.bid_up_e8, orders.ask_down_e8, orders.avg_price_mins) == (5 * E8, E8 // 5, 5)
        assert (orders.priced_min_e8, orders.priced_max_e8) == (5 * E8, 9_000_000 * E8)
        assert (orders.max_orders, orders.max_algo_orders) == (200, 5)
        assert orders[-4:] == (10, 2_000, 10, 2_000) and orders.min_price_e8 == spec.tick_e8
        assert [rule["filterType"] for rule in json.loads(rules.others)] == ["ICEBERG_PARTS"]


def test_the_watch_list_shows_every_rule(desk_db: Path, settings: Any) -> None:
    settings.SYMBOLS = ("BTCUSDT",)
    stored(SIDES, NOTIONAL, ORDERS, POSITION)
    (shown,) = Client(headers={"host": "localhost"}).get("/api/market/symbols").json()
    assert shown["unenforcedFilters"] == ["MAX_POSITION"]
    rules = {name: value for name, value in shown["rules"].items() if value is not None}
    assert rules == {
        **{"maxQty": "9000", "minPrice": "0.01", "maxPrice": "1000000", "avgPriceMins": 5},
        **{"buyUp": "1.5", "buyDown": "0.2", "sellUp": "5", "sellDown": "0.8"},
        **{"minNotional": "5", "maxNotional": "9000000", "maxNumOrders": 200},
    }


@pytest.mark.parametrize(
    ("file", "trail", "is_by_side", "smallest_e8"),
    [
        ("exchangeInfo-2021-10-12.json.gz", 0, 0, 10 * E8),
        ("exchangeInfo-2024-09-08-testnet-like.json.gz", 2_000, 1, 5 * E8),
    ],
)
def test_recorded_rules_are_kept_whole(
    recorded_data: Path, file: str, trail: int, is_by_side: int, smallest_e8: int
) -> None:
    entries = json.loads(gzip.decompress((recorded_data / "payloads/rest" / file).read_bytes()))["symbols"]
    (rules,) = (rules_of(found) for found in entries if found["symbol"] == "BTCUSDT")
    orders = rules.orders
    assert (orders.min_price_e8, orders.max_price_e8) == (1_000_000, 10**6 * E8)
    assert (orders.bid_up_e8, orders.bid_down_e8, orders.ask_up_e8, orders.ask_down_e8) == (5 * E8, E8 // 5) * 2
    assert (orders.is_by_side, orders.avg_price_mins, orders.priced_min_e8) == (is_by_side, 5, smallest_e8)
    assert (orders.max_orders, orders.max_algo_orders, orders.max_trail_above_bps) == (200, 5, trail)
    assert [rule["filterType"] for rule in json.loads(rules.others)] == ["ICEBERG_PARTS"]
