"""What the router would choose and which regime holds: asked as often as one likes, changing nothing."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.test import Client

from apps.audit.selectors import audit_head
from apps.marketdata.market import MarketView
from tests.support.live_desk import SYMBOLS, LiveMarket, plan_until_it_sends, post
from tests.support.shapes import REGIME, SNAPSHOT, check


def row_counts() -> dict[str, int]:
    return {model._meta.label: model.objects.count() for model in apps.get_models()}


def test_snapshot_choose_and_regime_change_nothing(market: LiveMarket, local: Client) -> None:
    plan_until_it_sends(local)
    before = (row_counts(), audit_head())
    for symbol in SYMBOLS:
        read = local.get(f"/api/router/snapshot?symbol={symbol}").json()
        asked = post(local, "/api/router/choose", {"symbol": symbol}).json()
        for snapshot in (read, asked):
            check(snapshot, SNAPSHOT)
        assert {**read, "ts": 0} == {**asked, "ts": 0}
        assert read["symbol"] == symbol and read["posterior"][-1]["policyId"] == "cash"
        assert abs(sum(arm["probBest"] for arm in read["posterior"]) - 1) < 1e-9
        assert local.get(f"/api/regime/state?symbol={symbol}").status_code == 200
    assert (row_counts(), audit_head()) == before


def test_the_first_symbol_is_the_default(market: LiveMarket, local: Client) -> None:
    assert local.get("/api/router/snapshot").json()["symbol"] == SYMBOLS[0]
    regime = local.get("/api/regime/state").json()
    check(regime, REGIME)
    assert regime["symbol"] == SYMBOLS[0] and regime["enabled"] is True and regime["interval"] == "1m"
    masses = [entry["probability"] for entry in regime["runLengthPosterior"]]
    assert 0 < len(masses) <= 50 and masses == sorted(masses, reverse=True) and 0.5 < sum(masses) < 1 + 1e-9
    assert regime["since"] <= regime["asOf"]


@pytest.mark.parametrize("path", ["/api/router/snapshot", "/api/regime/state"])
def test_an_unknown_symbol_is_a_404_that_names_it(market: LiveMarket, local: Client, path: str) -> None:
    answer = local.get(f"{path}?symbol=NOPEUSDT")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (404, "symbol")
    assert local.get(f"{path}?symbols=BTCUSDT").status_code == 400


@pytest.mark.parametrize("path", ["/api/router/snapshot", "/api/regime/state"])
def test_before_the_first_bar_there_is_nothing_to_show(quiet_desk: MarketView, path: str) -> None:
    quiet_desk.clock.observe(1_700_000_000_000)
    answer = Client(headers={"host": "localhost"}).get(path)
    assert answer.status_code == 503 and "no view yet" in answer.json()["detail"]


def test_a_dry_run_foretells_the_autopilots_draw(market: LiveMarket, local: Client) -> None:
    first, second = (local.get("/api/router/snapshot").json()["choice"] for _ in range(2))
    assert first == second
