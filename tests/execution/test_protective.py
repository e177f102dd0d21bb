"""Protective orders: placed after the router has traded, resized with the position, gone when it is flat."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from apps.audit.replaying import replay_record
from apps.audit.selectors import audit_latest, audit_verify
from apps.engine.protection import PROTECT_KIND, legs_of
from apps.engine.record import replay
from apps.engine.values import E8
from apps.execution.matching import watch
from apps.execution.models import ClosedTrade, Fill, Order, Position
from apps.execution.protective import protective_keep
from apps.execution.reconciler import book_differences
from apps.risk import services as risk
from apps.web.roles import Role
from tests.execution.orders_desk import OrdersDesk, desk
from tests.support.live_desk import CLOSED_MS, buy, plan, post

__all__ = ["desk"]
BTC = "BTCUSDT"


def legs(desk: OrdersDesk) -> dict[str, Order]:
    """The open protective orders by type."""
    return {row.type: row for row in Order.objects.filter(is_open=True, origin="protective")}


def held_e8() -> int:
    return Position.objects.get(symbol=BTC).quantity_e8


@pytest.fixture
def protected(desk: OrdersDesk, settings: Any) -> OrdersDesk:
    """The router holds BTCUSDT; its stop is 1 % below the entry and its take-profit 2 % above."""
    settings.PROTECT_STOP, settings.PROTECT_TAKE = Decimal("0.01"), Decimal("0.02")
    desk.market.resume()
    for _ in range(40):
        if plan(desk.client).json()["status"] == "filled" and held_e8() > 0:
            desk.market.pause()
            return desk
    raise AssertionError("the router never bought")


def test_the_legs_of_a_holding() -> None:
    """Entry 100.005 at a tick of 0.01, worked by hand; the tick that triggers first."""

    def of(quantity: int, stop: str, take: str) -> list[tuple[str, int]]:
        cost = abs(quantity) * 100_005 // 1_000
        found = legs_of(quantity_e8=quantity, cost_e8=cost, tick_e8=10**6, stop=Decimal(stop), take=Decimal(take))
        return [(leg.type, leg.stop_ticks) for leg in found]

    assert of(10**8, "0.01", "0.02") == [("STOP_LOSS", 9_901), ("TAKE_PROFIT", 10_200)]
    assert of(-(10**8), "0.01", "0.02") == [("STOP_LOSS", 10_100), ("TAKE_PROFIT", 9_801)]
    assert of(10**8, "0", "0.02") == [("TAKE_PROFIT", 10_200)] and of(10**8, "0.01", "0") == [("STOP_LOSS", 9_901)]
    assert of(10**8, "0", "0") == of(0, "0.01", "0.02") == []


def test_a_router_fill_is_followed_by_both_legs(protected: OrdersDesk) -> None:
    row, found = Position.objects.get(), legs(protected)
    entry = Decimal(row.cost_e8) * E8 / row.quantity_e8
    assert set(found) == {"STOP_LOSS", "TAKE_PROFIT"}
    for kind, share in (("STOP_LOSS", Decimal("0.99")), ("TAKE_PROFIT", Decimal("1.02"))):
        leg = found[kind]
        assert leg.quantity_e8 == row.quantity_e8 and leg.side == "SELL" and leg.list_id
        assert leg.stop_price_e8 is not None and abs(leg.stop_price_e8 - entry * share) < 10**6
    assert len({leg.list_id for leg in found.values()}) == 1
    (record,) = audit_latest(1, kind="execution.protective")
    assert sorted(entry["order_id"] for entry in record.content["placed"]) == sorted(
        leg.order_id for leg in found.values()
    )
    assert audit_verify().intact and book_differences() == []


def test_their_records_replay_like_decisions(protected: OrdersDesk, settings: Any) -> None:
    """Placed, resized by a sale, half taken back by a setting, and all of them canceled."""
    now_ms = protected.market.view.now_ms()
    protected.market.later(61_000)
    protected.market.resume()
    assert buy(protected.client, "0.01", side="SELL").status_code == 201
    settings.PROTECT_STOP = Decimal(0)
    protective_keep(ts_ms=now_ms)
    settings.PROTECT_TAKE = Decimal(0)
    protective_keep(ts_ms=now_ms)
    records = audit_latest(10, kind="execution.protective")
    shapes = [(len(r.content["canceled"]), len(r.content["placed"])) for r in reversed(records)]
    assert shapes == [(0, 2), (2, 2), (2, 1), (1, 0)]
    assert all(replay_record(record).matches for record in records)
    whole = records[-1].content
    whole["inputs"]["stop"] = "0.011"
    assert [found.path for found in replay(PROTECT_KIND, whole, lambda _: b"")] == ["placed[0].stop_ticks"]


def test_they_count_for_no_limit_and_lock_nothing_from_an_exit(protected: OrdersDesk) -> None:
    risk.limits_set(changes={"orders_per_minute": 3}, actor="t", reason="t", ts_ms=CLOSED_MS, role=Role.OWNER)
    protected.market.later(61_000)
    protected.market.resume()
    assert buy(protected.client, "0.001").status_code == buy(protected.client, "0.001").status_code == 201
    quantity = f"{held_e8() / E8:.5f}"
    assert buy(protected.client, quantity, side="SELL").status_code == 201


def test_a_stop_that_triggers_sells_everything_and_ends_the_other_leg(protected: OrdersDesk) -> None:
    stop = legs(protected)["STOP_LOSS"]
    down = (stop.stop_price_e8 or 0) / E8 - protected.mid_e8 / E8
    protected.trade(down + 0.01, 1, after_ms=200)
    assert len(legs(protected)) == 2, "a trade above the stop does nothing"
    protected.trade(down, 1)
    assert set(legs(protected)) == {"STOP_LOSS"}
    protected.market.prices[BTC] += down
    protected.book()
    assert held_e8() == 0 and legs(protected) == {}
    (trade,) = ClosedTrade.objects.filter(symbol=BTC)
    assert trade.is_stop and trade.profit_bps < 0
    assert Fill.objects.latest("pk").order_id == stop.order_id and book_differences() == []


def test_a_take_profit_that_triggers_is_no_stop(protected: OrdersDesk) -> None:
    take = legs(protected)["TAKE_PROFIT"]
    up = (take.stop_price_e8 or 0) / E8 - protected.mid_e8 / E8
    protected.trade(up, 1, seller=False, after_ms=200)
    protected.market.prices[BTC] += up
    protected.book()
    (trade,) = ClosedTrade.objects.filter(symbol=BTC)
    assert held_e8() == 0 and legs(protected) == {} and not trade.is_stop and trade.profit_bps > 0


def test_a_thin_book_takes_a_part_and_the_rest_is_protected_anew(protected: OrdersDesk) -> None:
    stop = legs(protected)["STOP_LOSS"]
    down = (stop.stop_price_e8 or 0) / E8 - protected.mid_e8 / E8
    protected.trade(down, 1, after_ms=200)
    before = held_e8()
    protected.market.prices[BTC] += down
    protected.market.depth = before / E8 / 100
    protected.book()
    left = held_e8()
    assert 0 < left < before
    assert {row.quantity_e8 for row in legs(protected).values()} == {left} and len(legs(protected)) == 2
    assert stop.order_id not in {row.order_id for row in legs(protected).values()} and book_differences() == []


def test_they_are_resized_when_a_person_sells_or_buys(protected: OrdersDesk) -> None:
    first = {row.order_id for row in legs(protected).values()}
    protected.market.later(61_000)
    protected.market.resume()
    for side in ("SELL", "BUY"):
        assert buy(protected.client, "0.01", side=side).status_code == 201
        found = legs(protected)
        assert {row.quantity_e8 for row in found.values()} == {held_e8()} and len(found) == 2
        assert first.isdisjoint(row.order_id for row in found.values())
    assert Order.objects.filter(order_id__in=first, status="CANCELED").count() == 2


def test_a_flatten_takes_them_with_it(protected: OrdersDesk, owner: Client) -> None:
    protected.market.resume()
    (record,) = post(owner, "/api/trading/flatten", {"symbol": BTC, "reason": "out"}).json()["executions"]
    assert record["status"] == "filled" and legs(protected) == {} and held_e8() == 0


def test_what_a_person_buys_is_not_protected(protected: OrdersDesk, owner: Client) -> None:
    protected.market.resume()
    post(owner, "/api/trading/flatten", {"symbol": BTC, "reason": "out"})
    protected.market.later(61_000)
    protected.market.tick()
    assert buy(protected.client, "0.01").status_code == 201 and held_e8() > 0
    assert legs(protected) == {} and protective_keep(ts_ms=protected.market.view.now_ms()) == []


def test_a_halt_cancels_them_and_a_release_brings_them_back(protected: OrdersDesk) -> None:
    now_ms = protected.market.view.now_ms()
    risk.kill_engage(actor="test", reason="drill", ts_ms=now_ms)
    watch(BTC, now_ms=now_ms)
    assert legs(protected) == {} and protective_keep(ts_ms=now_ms) == []
    risk.kill_release(actor="t", reason="over", confirmation="RELEASE", ts_ms=now_ms, role=Role.OWNER)
    assert len(protective_keep(ts_ms=now_ms)) == 2
    assert {row.quantity_e8 for row in legs(protected).values()} == {held_e8()}
    assert protective_keep(ts_ms=now_ms) == [], "what stands is left alone"


def test_turned_off_they_are_taken_back(protected: OrdersDesk, settings: Any) -> None:
    settings.PROTECT_STOP = Decimal(0)
    now_ms = protected.market.view.now_ms()
    protective_keep(ts_ms=now_ms)
    assert set(legs(protected)) == {"TAKE_PROFIT"} and legs(protected)["TAKE_PROFIT"].list_id == ""
    settings.PROTECT_TAKE = Decimal(0)
    protective_keep(ts_ms=now_ms)
    assert legs(protected) == {}


def test_without_the_settings_there_are_none(desk: OrdersDesk) -> None:
    desk.market.resume()
    for _ in range(40):
        if plan(desk.client).json()["status"] == "filled":
            break
    assert legs(desk) == {} and Fill.objects.exists()
