"""Statements whose text is ready write and read exactly what the ORM would: every column, of every kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from django.db import DatabaseError, connection, transaction
from django.forms.models import model_to_dict

from apps.engine.order_values import FeeAsset
from apps.execution import ready_sql
from apps.execution.models import Account, ClosedTrade, IdempotencyKey, MatchState, Position

USING = "default"
STATE = {"bids": {"5": [1, 2]}, "none": None, "text": "a '%s' ? \"quote\"", "deep": [{"is": True}]}


def account(**changes: object) -> Account:
    given = {"epoch": 7, "started_ts_ms": 2**60, "reason": "50 % of 'all' ?", "initial_cash_e8": 1, "cash_e8": 2**62}
    return Account(**{**given, "is_day_latched": True, **changes})


def test_what_is_inserted_is_what_the_orm_reads(desk_db: Path) -> None:
    rows = [
        account(),
        MatchState(symbol="BTCUSDT", taken=STATE, filter_revision=3, ts_ms=9),
        IdempotencyKey(scope="s", key="k", fingerprint="f", status=200, answer=b"\x00\xff'?%s", ts_ms=1),
    ]
    for row in rows:
        ready_sql.insert(row, using=USING)
    stored, matched, key = Account.objects.get(), MatchState.objects.get(), IdempotencyKey.objects.get()
    assert model_to_dict(stored) == model_to_dict(rows[0]) and matched.taken == STATE
    assert bytes(key.answer) == b"\x00\xff'?%s"


def test_what_is_found_is_what_the_orm_wrote_and_can_be_saved(desk_db: Path) -> None:
    account().save(force_insert=True)
    MatchState.objects.create(symbol="BTCUSDT", taken=STATE, filter_revision=3, ts_ms=9)
    (row,) = ready_sql.found(Account, "WHERE epoch = %s", 7, using=USING)
    assert row.is_day_latched is True and model_to_dict(row) == model_to_dict(Account.objects.get())
    row.is_day_latched, row.cash_e8 = False, 5
    ready_sql.save(row, using=USING)
    stored = Account.objects.get()
    assert (stored.is_day_latched, stored.cash_e8, stored.reason) == (False, 5, "50 % of 'all' ?")
    (match,) = ready_sql.found(MatchState, "WHERE symbol = %s", "BTCUSDT", using=USING)
    assert match.taken == STATE and ready_sql.value("SELECT COUNT(*) FROM execution_matchstate", using=USING) == 1


def test_a_row_that_is_made_is_the_one_that_the_orm_would_make(desk_db: Path) -> None:
    owner = account()
    given = {"account": owner, "symbol": "BTCUSDT", "profit_bps": -3, "is_stop": True, "ts_ms": 5}
    made, plain = ready_sql.make(ClosedTrade, **given), ClosedTrade(**given)
    assert model_to_dict(made) == model_to_dict(plain) and made.account is owner
    assert made._state.adding and ready_sql.contents(made) == ready_sql.contents(plain)
    ready_sql.insert(owner, using=USING)
    ready_sql.insert(made, using=USING)
    assert not made._state.adding and model_to_dict(ClosedTrade.objects.get(), exclude=["id"]) == model_to_dict(
        plain, exclude=["id"]
    )
    by_column = ready_sql.make(Position, account_id=7, symbol="ETHUSDT")
    by_column.save()
    assert model_to_dict(Position.objects.get()) == model_to_dict(by_column), "with its defaults, and its key learned"
    with pytest.raises(TypeError, match="no field sybmol"):
        ready_sql.make(ClosedTrade, sybmol="BTCUSDT")


def test_a_value_of_another_type_goes_through_its_field(desk_db: Path) -> None:
    """Numbers of numpy and enums are no plain values: the field converts them as it does for the ORM."""
    ready_sql.insert(account(cash_e8=np.int64(5), reason=FeeAsset.BASE, is_day_latched=np.bool_(True)), using=USING)
    stored = ready_sql.values("SELECT cash_e8, reason, is_day_latched FROM execution_account", using=USING)
    assert stored == [(5, "base", 1)] and Account.objects.get().is_day_latched is True


def test_a_refused_row_raises_django_s_error_and_leaves_nothing(desk_db: Path) -> None:
    """The CHECK on cash holds on this path too, and a broken transaction is not written on."""
    with pytest.raises(DatabaseError), transaction.atomic():
        ready_sql.insert(account(), using=USING)
        ready_sql.insert(account(epoch=8, cash_e8=-1), using=USING)
    assert not Account.objects.exists() and not connection.in_atomic_block
