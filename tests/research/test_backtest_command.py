"""`manage.py backtest`: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.engine.errors import IntegrityBreach
from apps.research.management.commands import backtest as command
from apps.research.models import BacktestRun
from tests.support.bars import walk_bars
from tests.support.klines import write_klines

pytestmark = pytest.mark.usefixtures("compiled", "desk_db")


@pytest.fixture
def klines(tmp_path: Path, settings: Any) -> str:
    settings.HORIZON_BARS = 5
    return str(write_klines(tmp_path / "BTCUSDT-1m-test.csv", walk_bars(700, seed=7, sigma=0.003)))


def run(*args: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("backtest", *args, stdout=out, stderr=err, no_color=True)
    return out.getvalue(), err.getvalue()


def ended(*args: str) -> tuple[int, str]:
    with pytest.raises(CommandError) as refused:
        run(*args)
    return refused.value.returncode, str(refused.value)


def test_it_says_how_it_went_and_writes_the_page(klines: str, tmp_path: Path) -> None:
    page = tmp_path / "out.html"
    out, err = run("--file", klines, "--report", str(page))
    row = BacktestRun.objects.get()
    assert row.run_id in out and row.result_hash in out and str(page) in out
    assert "100%" in err and "bars/s" in err
    assert row.result_hash in page.read_text()


def test_one_json_object_with_exact_money(klines: str) -> None:
    out, _ = run("--file", klines, "--json", "--cash", "25000.5", "--horizon", "15", "--seed", "9", "-v0")
    told = json.loads(out)
    assert (told["cash"], told["parameters"]["horizon_bars"], told["parameters"]["seed"]) == ("25000.5", 15, 9)
    assert told["symbol"] == "BTCUSDT" and told["data"]["bars"] == 700 and told["data"]["is_inferred"]
    assert told["figures"]["counts"]["decisions"] == 47
    assert {"optimistic", "base", "pessimistic"} == set(told["figures"]["fill_settings"])
    assert isinstance(told["figures"]["costs"]["fee"], str)


def test_progress_is_silent_when_asked(klines: str) -> None:
    assert run("--file", klines, "-v0")[1] == ""


def test_a_parameter_of_a_policy_is_taken(klines: str) -> None:
    out, _ = run("--file", klines, "--json", "--policy", "ema_cross", "--param", "ema_cross.fast=12",
                 "--param", "ema_cross.slow=60", "--weight", "0.5", "-v0")  # fmt: skip
    asked = json.loads(out)["parameters"]
    assert asked["policies"]["ema_cross"] == {"fast": 12, "slow": 60, "band": 0.0} and asked["weight_e9"] == 5 * 10**8


@pytest.mark.parametrize(
    ("args", "field"),
    [
        (["--policy", "nobody"], "policy"),
        (["--fills", "worst"], "fills"),
        (["--cash", "-1"], "cash"),
        (["--cash", "1e3"], "cash"),
        (["--cash", "nan"], "cash"),
        (["--weight", "1.5"], "weight"),
        (["--weight", "0"], "weight"),
        (["--horizon", "0"], "horizon"),
        (["--from", "yesterday"], "from"),
        (["--to", "2024-13-01"], "to"),
        (["--from", "2024-01-01", "--to", "2023-01-01"], "from"),
        (["--interval", "7m"], "interval"),
        (["--param", "ema_cross"], "param"),
        (["--param", "ema_cross.fast=x"], "param"),
        (["--param", "ema_cross.fast=nan"], "fast"),
        (["--param", "ema_cross.fast=1000"], "fast"),
        (["--report", "/no/such/folder/out.html"], "report"),
        (["--file", "/no/such/file.csv"], "file"),
    ],
)
def test_what_cannot_be_used_is_named(klines: str, args: list[str], field: str) -> None:
    code, text = ended("--file", klines, *args)
    assert (code, text.split(":")[0]) == (command.INPUT_EXIT, field) and not BacktestRun.objects.exists()


def test_an_unknown_symbol_is_named() -> None:
    code, text = ended("--symbol", "NOPEUSDT")
    assert (code, text.split(":")[0]) == (2, "symbol")


def test_bars_that_cannot_be_trusted_end_with_four(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-1m-bad.csv"
    path.write_text("1,2,3\n")
    assert ended("--file", str(path))[0] == command.NO_BARS_EXIT
    assert not BacktestRun.objects.exists()


def test_a_run_that_does_not_repeat_ends_with_three(klines: str, monkeypatch: Any) -> None:
    def breach(**_: object) -> None:
        raise IntegrityBreach("the same inputs gave something else")

    monkeypatch.setattr(command, "backtest", breach)
    assert ended("--file", klines) == (command.BREACH_EXIT, "the same inputs gave something else")
