"""Idempotency-Key: the same key gives the same bytes and no second order, however often and however many at once."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from apps.audit.selectors import audit_head
from apps.execution import recording
from apps.execution.models import Execution, IdempotencyKey, Order
from tests.support.live_desk import LiveMarket, at_once, buy, plan, set_limits


@pytest.mark.parametrize("ask", [plan, buy], ids=["plan", "order"])
def test_the_same_key_gives_the_same_bytes(market: LiveMarket, local: Client, ask: Any) -> None:
    first, again = ask(local, key="k-1"), ask(local, key="k-1")
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert "Idempotency-Replayed" not in first and again["Idempotency-Replayed"] == "true"
    assert Execution.objects.count() == 1
    assert ask(local, key="k-2").content != first.content and Execution.objects.count() == 2


def test_a_refusal_is_repeated_byte_for_byte(market: LiveMarket, local: Client) -> None:
    set_limits(symbol_notional_cap_e8=10**9)
    first = buy(local, "0.5", key="k")
    set_limits(symbol_notional_cap_e8=10**13)
    again = buy(local, "0.5", key="k")
    assert first.status_code == again.status_code == 422
    assert again.content == first.content and again["Idempotency-Replayed"] == "true"
    assert Execution.objects.count() == 1 and not Order.objects.exists()


def test_the_same_quantity_in_other_words_is_the_same_request(market: LiveMarket, local: Client) -> None:
    assert buy(local, "0.010", key="k").content == buy(local, "0.01", key="k").content


def test_another_body_under_the_key_is_refused(market: LiveMarket, local: Client) -> None:
    buy(local, "0.01", key="k")
    plan(local, "BTCUSDT", key="k")
    before = audit_head()
    for answer in (buy(local, "0.02", key="k"), plan(local, "ETHUSDT", key="k")):
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "Idempotency-Key")
        assert "blocked" not in answer.json()
    assert audit_head() == before and Execution.objects.count() == 2


@pytest.mark.parametrize("key", ["", " ", "x" * 256])
def test_a_key_that_cannot_be_one_is_refused(market: LiveMarket, local: Client, key: str) -> None:
    answer = buy(local, key=key)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "Idempotency-Key")
    assert not Execution.objects.exists()


def test_what_could_not_be_read_is_not_stored(market: LiveMarket, local: Client) -> None:
    assert buy(local, "-1", key="k").status_code == 400
    assert buy(local, "0.01", key="k").status_code == 201


@pytest.mark.parametrize("ask", [plan, buy], ids=["plan", "order"])
def test_sixty_four_at_once_make_one_decision(market: LiveMarket, local: Client, ask: Any) -> None:
    answers = at_once([lambda: ask(Client(headers={"host": "localhost"}), key="one") for _ in range(64)])
    assert len({answer.content for answer in answers}) == 1
    assert sum("Idempotency-Replayed" not in answer for answer in answers) == 1
    assert Execution.objects.count() == 1 and Order.objects.count() <= 1 and IdempotencyKey.objects.count() == 1


def test_sixteen_bodies_at_once_under_one_key_make_one_decision(market: LiveMarket, local: Client) -> None:
    sizes = [f"0.{number:02d}" for number in range(1, 17)]
    answers = at_once([lambda size=size: buy(Client(headers={"host": "localhost"}), size, key="one") for size in sizes])
    assert sorted(answer.status_code for answer in answers) == [201] + [422] * 15
    assert Order.objects.count() == 1


def test_the_key_is_stored_with_its_decision_or_not_at_all(
    market: LiveMarket, local: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The audit record is the last statement: when it fails the key must be gone as well, and a retry decides."""

    def broken(draft: Any) -> None:
        raise RuntimeError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(recording.audit, "audit_write", broken)
        with pytest.raises(RuntimeError):
            buy(local, key="k")
    assert (IdempotencyKey.objects.count(), Execution.objects.count(), Order.objects.count()) == (0, 0, 0)
    assert buy(local, key="k").status_code == 201
    row = IdempotencyKey.objects.get()
    assert bytes(row.answer) == bytes(Execution.objects.get().answer)


def test_keys_of_two_routes_do_not_meet(market: LiveMarket, local: Client) -> None:
    assert plan(local, key="k").status_code == 200
    assert buy(local, key="k").status_code == 201
    assert sorted(IdempotencyKey.objects.values_list("scope", flat=True)) == ["paper-order", "plan-and-execute"]
