"""The kill switch latches, says who and why, and lets go only with the owner's typed word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied

from apps.audit.selectors import audit_latest, audit_verify, controls_current
from apps.engine.errors import Conflict, InvalidInput, UnknownName
from apps.engine.reasons import TradingState
from apps.risk import fence, selectors, services
from apps.risk.models import TradingStateRevision
from apps.risk.sentinel import sentinel_path, sentinel_reason
from apps.web.roles import Role

TS_MS = 1_767_225_600_000


def kill(**given: Any) -> Any:
    return services.kill_engage(**{"actor": "loopback", "reason": "smoke", "ts_ms": TS_MS + 1, **given})


def release(**given: Any) -> Any:
    call = {"actor": "owner:ann", "reason": "looked", "confirmation": "RELEASE", "ts_ms": TS_MS + 2, "role": Role.OWNER}
    return services.kill_release(**{**call, **given})


def set_state(state: str, **given: Any) -> Any:
    return services.trading_state_set(**{"state": state, "actor": "op", "reason": "r", "ts_ms": TS_MS + 3, **given})


def desk() -> tuple[str, str, str]:
    current = selectors.trading_state_current()
    return current.state.name, current.actor, current.reason


def test_a_kill_latches_in_file_row_and_record(seeded: Path) -> None:
    kill()
    assert desk() == ("HALTED", "loopback", "smoke")
    assert sentinel_reason() == "loopback: smoke"
    record = audit_latest(1)[0]
    assert (record.kind, record.content["before"], record.content["after"]) == ("risk.kill", "ACTIVE", "HALTED")
    controls = controls_current()
    assert controls["state.desk"] == ("HALTED", record.sequence)
    assert controls["kill"].value == {"engaged": True, "actor": "loopback", "reason": "smoke", "tsMs": TS_MS + 1}
    with pytest.raises(fence.Halted, match="smoke"), fence.shared():
        pytest.fail("a writer passed")
    with fence.shared(allow_halted=True) as passage:
        assert passage.halted == "loopback: smoke"
    assert audit_verify().intact


def test_a_second_kill_keeps_the_first_reason(seeded: Path) -> None:
    kill()
    assert kill(actor="other", reason="again").reason == "smoke"
    assert [record.kind for record in audit_latest(9)] == ["risk.kill", "risk.seed"]


def test_release_takes_owner_word_and_reason(seeded: Path) -> None:
    with pytest.raises(Conflict):
        release()
    kill()
    for given, error in [
        ({"role": Role.OPERATOR}, PermissionDenied),
        ({"confirmation": "release"}, InvalidInput),
        ({"confirmation": None}, InvalidInput),
        ({"reason": ""}, InvalidInput),
    ]:
        with pytest.raises(error):
            release(**given)
        assert desk()[0] == "HALTED" and sentinel_path().exists()
    assert release().state is TradingState.ACTIVE
    assert not sentinel_path().exists()
    with fence.shared() as passage:
        assert passage.halted is None
    assert controls_current()["kill"].value["engaged"] is False


def test_release_goes_back_to_the_state_before(seeded: Path) -> None:
    set_state("REDUCING")
    kill()
    assert release().state is TradingState.REDUCING


def test_states_tighten_freely_and_loosen_by_the_owner(seeded: Path) -> None:
    assert set_state("REDUCING").state is TradingState.REDUCING
    with pytest.raises(PermissionDenied):
        set_state("ACTIVE")
    assert set_state("ACTIVE", role=Role.OWNER).state is TradingState.ACTIVE
    assert set_state("HALTED").is_halted and sentinel_path().exists()
    with pytest.raises(InvalidInput, match="RELEASE"):
        set_state("REDUCING", role=Role.OWNER)
    set_state("REDUCING", role=Role.OWNER, confirmation="RELEASE")
    assert desk()[0] == "REDUCING" and not sentinel_path().exists()
    with pytest.raises(InvalidInput, match="one of"):
        set_state("PAUSED")


def test_a_symbol_is_halted_alone(seeded: Path) -> None:
    kill(symbol="ETHUSDT")
    assert not sentinel_path().exists()
    assert controls_current()["state.symbol.ETHUSDT"].value == "HALTED"
    assert selectors.trading_state_current("ETHUSDT").is_halted
    assert selectors.trading_state_current("BTCUSDT").state is TradingState.ACTIVE
    set_state("REDUCING")
    assert selectors.trading_state_current("BTCUSDT").state is TradingState.REDUCING
    assert release(symbol="ETHUSDT").state is TradingState.ACTIVE
    assert selectors.trading_state_current("ETHUSDT").state is TradingState.REDUCING
    with pytest.raises(UnknownName):
        kill(symbol="NOPEUSDT")


def test_a_desk_that_was_never_seeded_is_halted(desk_db: Path) -> None:
    assert selectors.trading_state_current().is_halted


def test_a_start_believes_whichever_says_halted(seeded: Path) -> None:
    sentinel_path().write_text("owner:ann: half a kill")
    assert desk() == ("HALTED", "sentinel", "owner:ann: half a kill")
    services.seed_controls(ts_ms=TS_MS + 9)
    assert TradingStateRevision.objects.first().state == "HALTED"
    assert "half a kill" in controls_current()["kill"].value["reason"]
    sentinel_path().unlink()
    services.seed_controls(ts_ms=TS_MS + 10)
    assert sentinel_path().exists()
    sentinel_path().write_bytes(b"")
    assert sentinel_reason()


def test_a_first_start_on_a_machine_with_a_sentinel_is_halted(desk_db: Path) -> None:
    sentinel_path().write_text("x")
    services.seed_controls(ts_ms=TS_MS)
    assert controls_current()["state.desk"].value == "HALTED"


def test_the_environment_engages_it_at_start(seeded: Path, settings: Any) -> None:
    settings.KILL_SWITCH = True
    services.seed_controls(ts_ms=TS_MS + 1)
    assert desk() == ("HALTED", "environment", "KILL_SWITCH is set")


def test_the_sentinel_stays_when_the_release_cannot_be_committed(seeded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kill()
    monkeypatch.setattr("apps.risk.switch.audit_append", lambda **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        release()
    assert sentinel_path().exists() and desk()[0] == "HALTED"


def test_the_desk_is_halted_even_when_the_row_cannot_be_written(seeded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.risk.switch.audit_append", lambda **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        kill()
    with pytest.raises(fence.Halted), fence.shared():
        pytest.fail("a writer passed")
