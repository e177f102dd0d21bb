"""The kill switch from the command line, on a desk that need not run."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.audit.selectors import audit_latest
from apps.risk.selectors import trading_state_current
from apps.risk.sentinel import sentinel_reason
from tests.support.desk import seed_desk


def kill(*words: str, **options: Any) -> str:
    out = StringIO()
    call_command("kill", *words, stdout=out, **options)
    return out.getvalue()


@pytest.fixture
def desk(desk_db: Path) -> None:
    seed_desk(("BTCUSDT", "ETHUSDT"))


def test_it_engages_says_so_and_releases_with_the_word(desk: None) -> None:
    assert kill() == "desk: ACTIVE, by environment: first start\n"
    assert kill("engage", reason="smoke") == "desk: HALTED, by command line: smoke\n"
    assert trading_state_current().is_halted and sentinel_reason() == "command line: smoke"
    for word in (None, "release"):
        with pytest.raises(CommandError, match="--confirm: type RELEASE"):
            kill("release", reason="clear", confirm=word)
    assert kill("release", reason="clear", confirm="RELEASE") == "desk: ACTIVE, by command line: clear\n"
    assert sentinel_reason() is None
    assert [row.kind for row in audit_latest(2)] == ["risk.release", "risk.kill"]


def test_one_symbol_alone(desk: None) -> None:
    told = json.loads(kill("engage", reason="odd prices", symbol="ETHUSDT", json=True))
    (state,) = told["states"]
    assert (state["symbol"], state["state"], state["actor"]) == ("ETHUSDT", "HALTED", "command line")
    assert trading_state_current("ETHUSDT").is_halted and not trading_state_current().is_halted
    assert kill("state", symbol="BTCUSDT") == "BTCUSDT: ACTIVE\n"


def test_it_takes_a_reason_and_a_symbol_it_knows(desk: None) -> None:
    with pytest.raises(CommandError, match="--reason: say why"):
        kill("engage")
    with pytest.raises(CommandError, match="--symbol"):
        kill("engage", reason="x", symbol="NOPEUSDT")
    with pytest.raises(CommandError, match="not engaged"):
        kill("release", reason="x", confirm="RELEASE")
    assert not trading_state_current().is_halted
