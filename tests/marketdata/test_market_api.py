"""The market's calls over HTTP, its health and its metrics."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from apps.marketdata import api, health, metrics, services
from apps.marketdata.exchange.frames import AggTradeEvent, BookTickerEvent
from apps.marketdata.market import MarketView
from tests.marketdata.builders import MINUTE, START, bars_at
from tests.marketdata.test_bars import FILTERS

NOW = START + 20 * MINUTE + 1_000


@pytest.fixture
def view(monkeypatch: pytest.MonkeyPatch) -> Iterator[MarketView]:
    fresh = MarketView(symbols=["BTCUSDT"])
    for module in (api, health, metrics):
        monkeypatch.setattr(module, "market_view", lambda: fresh)
    yield fresh


@pytest.fixture
def desk(desk_db: Path, view: MarketView) -> Client:
    services.filters_record(symbol="BTCUSDT", filters=FILTERS, ts_ms=1)
    services.bars_store(symbol="BTCUSDT", interval="1m", bars=bars_at(range(20)), source="test", ts_ms=NOW)
    return Client(headers={"host": "localhost"})


def get(client: Client, path: str) -> Any:
    response = client.get(path)
    assert response.status_code == 200, response.content
    return response.json()


def test_candles_are_numbers_oldest_first(desk: Client) -> None:
    rows = get(desk, "/api/market/ohlcv?symbol=BTCUSDT&interval=1m&limit=2")
    assert rows[1] == {
        **{"openTime": "2020-09-13T12:46:00.000Z", "closeTime": "2020-09-13T12:46:59.999Z"},
        **{"open": 100.0, "high": 105.0, "low": 95.0, "close": 101.0, "volume": 26.0, "trades": 3},
    }
    since = get(desk, "/api/market/ohlcv/?symbol=BTCUSDT&start=2020-09-13T12:30:00Z&end=2020-09-13T12:33:00Z")
    assert [row["openTime"][14:16] for row in since] == ["30", "31", "32"]
    assert len(get(desk, "/api/market/ohlcv?symbol=BTCUSDT")) == 20


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("symbol=NOPE", 404, "symbol"),
        ("symbol=btcusdt", 400, "symbol"),
        ("symbol=BTCUSDT&limit=0", 400, "limit"),
        ("symbol=BTCUSDT&limit=1001", 400, "limit"),
        ("symbol=BTCUSDT&limit=NaN", 400, "limit"),
        ("symbol=BTCUSDT&interval=7m", 400, "interval"),
        ("symbol=BTCUSDT&start=yesterday", 400, "start"),
        ("symbol=BTCUSDT&start=200&end=100", 400, "end"),
        ("symbol=BTCUSDT&other=1", 400, "other"),
    ],
)
def test_a_bad_question_names_its_field(desk: Client, query: str, status: int, field: str) -> None:
    response = desk.get(f"/api/market/ohlcv?{query}")
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert [error["field"] for error in response.json()["errors"]] == [field]


def test_the_watch_list_shows_the_rules_exactly(desk: Client) -> None:
    (shown,) = get(desk, "/api/market/symbols")
    assert shown.pop("unenforcedFilters") == [] and set(shown.pop("rules").values()) == {None, 0}
    assert [shown] == [
        {
            **{"symbol": "BTCUSDT", "baseAsset": "BTC", "quoteAsset": "USDT", "status": "TRADING"},
            **{"tickSize": "0.01", "stepSize": "0.00001", "minQty": "0.00001", "minNotional": "5"},
            "filterRevision": 1,
        }
    ]


def test_the_ticker_says_how_old_it_is(desk: Client, view: MarketView) -> None:
    empty = get(desk, "/api/market/ticker?symbol=BTCUSDT")
    assert empty == {
        **{"symbol": "BTCUSDT", "bid": None, "ask": None, "last": None, "ts": None, "ageMs": None, "stale": True}
    }
    view.apply(AggTradeEvent("BTCUSDT", NOW, 1, 100_500_000_000, 1, NOW, False))
    view.apply(BookTickerEvent("BTCUSDT", 1, 100_400_000_000, 1, 100_600_000_000, 1))
    ticker = get(desk, "/api/market/ticker?symbol=BTCUSDT")
    assert (ticker["bid"], ticker["ask"], ticker["last"], ticker["stale"]) == ("1004", "1006", "1005", False)
    assert 0 <= ticker["ageMs"] < 1_000
    assert desk.get("/api/market/ticker?symbol=NOPE").status_code == 404


def test_the_state_of_the_feed(desk: Client, view: MarketView) -> None:
    body = get(desk, "/api/ws/status")
    assert set(body) == {
        *("connected", "backlogSize", "backlogLimit", "lastBeatAt", "lastMessageAt", "dropped", "conflated"),
        *("reconnects", "messagesPerSecond", "stale", "source"),
    }
    assert (body["connected"], body["stale"], body["lastMessageAt"]) == (False, True, None)


def test_health_tells_the_age_of_the_data(desk: Client, view: MarketView, settings: Any) -> None:
    settings.SYMBOLS = ("BTCUSDT",)
    assert health.bars_probe()["status"] == "degraded"
    view.clock.observe(NOW)
    fresh = health.bars_probe()
    assert fresh["status"] == "ok" and fresh["last_sync_at"] == "2020-09-13T12:47:00.000Z"
    assert fresh["age_seconds"] == pytest.approx(1.0, abs=0.5)
    view.clock.observe(NOW + 10 * MINUTE)
    assert health.bars_probe()["status"] == "degraded"
    stream = health.stream_probe()
    assert (stream["clients"], stream["connected"], stream["status"]) == (0, False, "degraded")


def test_metrics_hold_the_contract_s_names(desk: Client, view: MarketView) -> None:
    view.apply(AggTradeEvent("BTCUSDT", NOW, 1, 1, 1, NOW, False))
    view.apply(BookTickerEvent("BTCUSDT", 1, 1, 1, 2, 1))
    samples = {(sample.name, tuple(sample.labels.items())): sample.value for sample in metrics.collect()}
    assert samples["price_stream_connected", ()] == 0.0
    assert samples["ohlcv_last_sync_timestamp_seconds", (("symbol", "BTCUSDT"),)] == (START + 20 * MINUTE) / 1000
    assert samples["price_age_seconds", (("symbol", "BTCUSDT"),)] < 1
