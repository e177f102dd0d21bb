"""Disabling and enabling arms: audited, obeyed from the next bar on, and found again by a rebuild."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import numpy as np
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from apps.audit import selectors as audit
from apps.engine.decision import GATE_INACTIVE
from apps.engine.errors import IntegrityBreach, InvalidInput, StaleState, UnknownName
from apps.engine.policies import arms
from apps.execution.autopilot import Autopilot
from apps.marketdata.market import MarketView
from apps.strategy import services
from apps.strategy.facts import FoldFacts, stretches
from apps.strategy.fold import Fold
from apps.strategy.models import FoldControl, View
from apps.strategy.selectors import policies_current, view_of
from apps.strategy.services import policies_set
from apps.web.roles import Role
from tests.execution.test_autopilot import BTC, arrive, opened, require_rebuilt_is_stored
from tests.parity import shells as parity
from tests.support.bars import walk_bars
from tests.support.desk import seed_desk
from tests.support.live_desk import SYMBOLS, LiveMarket, client_of, plan, post

NAMES = [policy.policy_id for policy in arms()]
ONE, OTHER = NAMES[0], NAMES[2]


def set_arms(ts_ms: int = 1, **changes: bool) -> dict[str, bool]:
    return policies_set(changes=changes, actor="test", reason="test", ts_ms=ts_ms)


def closed_arms(symbol: str, bar_open_ms: int) -> set[str]:
    view = view_of(View.objects.get(symbol=symbol, bar_open_ms=bar_open_ms).snapshot_hash)
    return {name for name, gate in zip(view.policies, view.gates, strict=True) if gate & GATE_INACTIVE}


@pytest.fixture
def pilot(quiet_desk: MarketView, settings: Any) -> Autopilot:
    settings.AUTOPILOT = False
    autopilot = Autopilot()
    autopilot.warm()
    return autopilot


def test_every_bar_has_the_arms_of_its_time_and_every_rebuild_finds_them(
    pilot: Autopilot, quiet_desk: MarketView
) -> None:
    quiet_desk.clock.observe(opened(9))
    plans = {2: {ONE: False, OTHER: False}, 4: {ONE: True}, 5: {OTHER: False}, 7: {ONE: False}}
    expected = [set(), set(), {ONE, OTHER}, {ONE, OTHER}, {OTHER}, {OTHER}, {OTHER}, {ONE, OTHER}, {ONE, OTHER}]
    for number, closed in enumerate(expected):
        if number in plans:
            set_arms(opened(number), **plans[number])
        arrive(number)
        pilot.step()
        assert closed_arms(BTC, opened(number)) == closed
        require_rebuilt_is_stored()
    rows = FoldControl.objects.filter(symbol=BTC, kind=FoldControl.ACTIVE).order_by("id")
    assert list(rows.values_list("bar_open_ms", "policy", "value")) == [
        (opened(2), ONE, 0), (opened(2), OTHER, 0), (opened(4), ONE, 1), (opened(7), ONE, 0),
    ]  # fmt: skip
    assert not FoldControl.objects.filter(kind=FoldControl.ACTIVE, symbol="ETHUSDT").exists(), "it folded no bar"
    middle = Fold(BTC)
    middle.rebuild(until_ms=opened(5))
    assert middle.facts.disabled == {OTHER}
    assert middle.observer.state_hash() == View.objects.get(symbol=BTC, bar_open_ms=opened(4)).state_hash


def test_a_changed_control_row_stops_the_restart(pilot: Autopilot, quiet_desk: MarketView) -> None:
    quiet_desk.clock.observe(opened(1))
    set_arms(**{ONE: False})
    arrive(0)
    pilot.step()
    FoldControl.objects.filter(symbol=BTC, kind=FoldControl.ACTIVE).delete()
    with pytest.raises(IntegrityBreach):
        Fold(BTC).rebuild()


def test_decisions_take_no_disabled_arm_and_say_so(market: LiveMarket, local: Client, settings: Any) -> None:
    settings.AUTOPILOT = False
    pilot = Autopilot()
    pilot.warm()
    keep = NAMES[-1]
    set_arms(**{name: False for name in NAMES if name != keep})
    market.later(120_000)
    for symbol in SYMBOLS:
        arrive(0, symbol)
    pilot.step()
    market.tick()
    for _ in range(10):
        answer = plan(local).json()
        assert answer["policyId"] in (keep, "cash")
    record = audit.audit_get(answer["auditId"])
    arms_told = {arm["policyId"]: arm["gate"] for arm in record.content["policy"]["posterior"]}
    assert {name for name, gate in arms_told.items() if gate & GATE_INACTIVE} == set(NAMES) - {keep}
    told = local.get("/api/router/snapshot?symbol=BTCUSDT").json()
    assert {arm["policyId"] for arm in told["posterior"] if not arm["enabled"]} >= set(NAMES) - {keep}
    call_command("replay", "--all", stdout=StringIO())


@pytest.mark.usefixtures("compiled", "desk_db")
def test_live_equals_batch_without_an_arm(settings: Any) -> None:
    settings.FILLS, settings.HORIZON_BARS, settings.SYMBOLS = "bars", 5, (BTC,)
    seed_desk((BTC,))
    blocks = [walk_bars(700, seed=1, sigma=0.004)]
    disabled = {ONE, OTHER}
    set_arms(**dict.fromkeys(disabled, False))
    parity.live_run((BTC,), blocks)
    parity.compare((BTC,), parity.batch_run((BTC,), blocks, disabled))
    choices = [record.content["policy"]["choice"] for record in parity.decision_records()]
    chosen = {choice["policyId"] for choice in choices if choice}
    assert len(chosen) > 2 and not chosen & disabled


@pytest.mark.usefixtures("desk_db")
def test_the_service_refuses_by_name_and_records_what_changed() -> None:
    seed_desk(SYMBOLS)
    head = audit.audit_head()
    with pytest.raises(UnknownName, match="nothing_like_it"):
        set_arms(**{ONE: False, "nothing_like_it": False})
    with pytest.raises(InvalidInput, match="no policy"):
        set_arms()
    with pytest.raises(InvalidInput, match="say why"):
        policies_set(changes={ONE: False}, actor="test", reason=" ", ts_ms=1)
    assert set_arms(**{ONE: True}) == {} and audit.audit_head() == head
    assert set_arms(**{ONE: False, OTHER: True}) == {ONE: False}
    assert set_arms(**{OTHER: False}) == {OTHER: False}
    record = audit.audit_latest(1)[0]
    assert record.kind == "strategy.policies" and record.content["after"] == {OTHER: False}
    control = audit.controls_current()["policies.active"]
    assert control.value == {ONE: False, OTHER: False} and control.sequence == record.sequence
    assert [row["policy_id"] for row in policies_current() if not row["active"]] == [ONE, OTHER]


@pytest.mark.usefixtures("desk_db")
def test_who_comes_second_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    seed_desk(SYMBOLS)
    answers = iter([None, audit.ControlValue({ONE: False}, 99)])
    monkeypatch.setattr(services.audit_log, "control_value", lambda key: next(answers))
    head = audit.audit_head()
    with pytest.raises(StaleState):
        set_arms(**{OTHER: False})
    assert audit.audit_head() == head


@pytest.mark.usefixtures("desk_db")
def test_the_api_and_the_command_say_the_same(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    seed_desk(SYMBOLS)
    operator, path = client_of(Role.OPERATOR), "/api/strategy/policies"
    answer = post(operator, path, {"policyId": ONE, "active": False, "reason": "costly"})
    assert answer.status_code == 200
    assert [row["policyId"] for row in answer.json() if not row["active"]] == [ONE]
    assert operator.get(path).json() == answer.json()
    assert audit.audit_latest(1)[0].actor == "operator:operator"
    broken = post(operator, path, {"policyId": "x", "active": False, "reason": "r"})
    assert broken.status_code == 400 and broken.json()["errors"][0]["field"] == "policyId"
    assert post(operator, path, {"policyId": ONE, "active": 1, "reason": "r"}).json()["errors"][0]["field"] == "active"
    out = StringIO()
    call_command("policies", "--disable", OTHER, "--enable", ONE, "--reason", "try", "--json", stdout=out)
    states = json.loads(out.getvalue())["policies"]
    assert states == {name: name != OTHER for name in NAMES}
    for words in (["--disable", "x", "--reason", "r"], ["--disable", ONE], ["--disable", ONE, "--enable", ONE]):
        with pytest.raises(CommandError) as refused:
            call_command("policies", *words)
        assert refused.value.returncode == 2


def test_stretches_are_cut_where_facts_change() -> None:
    opens = np.arange(10, dtype=np.int64) * 60_000
    rows = [(0, "active", "a", 0), (180_000, "bocpd", "", 0), (180_000, "active", "b", 0), (420_000, "active", "a", 1),
            (990_000, "bocpd", "", 1)]  # fmt: skip
    found = stretches(rows, opens, cuts=[5, 10, 12])
    a, ab, b = frozenset("a"), frozenset("ab"), frozenset("b")
    assert found == [
        (0, 3, FoldFacts(True, a)), (3, 5, FoldFacts(False, ab)), (5, 7, FoldFacts(False, ab)),
        (7, 10, FoldFacts(False, b)),
    ]  # fmt: skip
    assert stretches([], opens[:0]) == []
