"""Flattening from the command line through the HTTP interface of a running desk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import Client
from django.test.testcases import LiveServerThread

from apps.accounts.services import first_run
from apps.risk import services as risk
from tests.support.live_desk import CLOSED_MS, LiveMarket, buy


def flatten(url: str, *words: str, **options: Any) -> str:
    out = StringIO()
    call_command("flatten", *words, url=url, stdout=out, **options)
    return out.getvalue()


@pytest.fixture
def running(market: LiveMarket, local: Client, settings: Any) -> Iterator[str]:
    """The address of a desk that holds both symbols, and the owner's token in its place."""
    first_run(var_dir=settings.VAR_DIR, ts_ms=1)
    assert buy(local, "0.1").status_code == buy(local, "0.2", symbol="ETHUSDT").status_code == 201
    thread = LiveServerThread("127.0.0.1", StaticFilesHandler, connections_override={})
    thread.daemon = True
    thread.start()
    thread.is_ready.wait()
    yield f"http://127.0.0.1:{thread.port}"
    thread.terminate()
    connections.close_all()


def test_it_closes_one_then_the_rest(running: str) -> None:
    assert flatten(running, "ETHUSDT", reason="out").startswith("ETHUSDT: SELL 0.2 filled at ")
    assert flatten(running, "ETHUSDT", reason="out") == "ETHUSDT: nothing to close\n"
    (record,) = json.loads(flatten(running, reason="out", json=True))["executions"]
    assert (record["symbol"], record["status"]) == ("BTCUSDT", "filled")
    assert flatten(running, reason="out") == "nothing is held\n"


def test_a_halted_desk_asks_for_the_word(running: str) -> None:
    risk.kill_engage(actor="test", reason="drill", ts_ms=CLOSED_MS)
    with pytest.raises(CommandError, match="400: confirmation: .*type FLATTEN"):
        flatten(running, "BTCUSDT", reason="out")
    assert "filled" in flatten(running, "BTCUSDT", reason="out", confirm="FLATTEN")


def test_what_could_not_be_closed_has_an_exit_code_of_its_own(running: str, market: LiveMarket) -> None:
    market.depth = 0.05
    market.tick()
    market.pause()
    with pytest.raises(SystemExit) as ended:
        flatten(running, "ETHUSDT", reason="out")
    assert ended.value.code == 3


def test_refusals_say_what_is_wrong(running: str, settings: Any) -> None:
    with pytest.raises(CommandError, match="400: symbol: unknown symbol"):
        flatten(running, "NOPEUSDT", reason="out")
    with pytest.raises(CommandError, match="must begin with http"):
        flatten("file:///etc", reason="out")
    with pytest.raises(CommandError, match="no desk answers"):
        flatten("http://127.0.0.1:9", reason="out")
    (settings.VAR_DIR / "owner.token").unlink()
    with pytest.raises(CommandError, match="start the desk once"):
        flatten(running, reason="out")
