"""`manage.py divergence`: what it prints and writes, and how it ends."""

from __future__ import annotations

import io
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.engine.errors import IntegrityBreach
from apps.execution.models import Execution
from apps.research.divergence.document import e16_text, money_text
from apps.research.management.commands import divergence as command
from tests.execution.traded import traded
from tests.support.bars import START_MS

__all__ = ["traded"]


def run(*args: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("divergence", *args, stdout=out, stderr=err, no_color=True)
    return out.getvalue(), err.getvalue()


def ended(*args: str) -> tuple[int, str]:
    with pytest.raises(CommandError) as refused:
        run(*args)
    return refused.value.returncode, str(refused.value)


@pytest.mark.usefixtures("traded")
def test_it_tells_in_lines_in_json_and_on_a_page(tmp_path: Path) -> None:
    page = tmp_path / "out.html"
    before = Execution.objects.count()
    out, err = run("--report", str(page))
    assert "no difference" in out and "100%" in err
    told = json.loads(run("--json", "-v0", "--symbol", "btcusdt")[0])
    assert told["differences"] == 0 and told["symbols"] == ["BTCUSDT"] and told["list"] == []
    assert told["decisions"]["live"] == told["decisions"]["same"] == told["decisions"]["backtest"] >= 100
    assert told["equity"]["live"] == told["equity"]["backtest"] and told["total"] == "0"
    text = page.read_text()
    assert "No difference" in text and not re.search(r'(src|href)="(?!#)', text)
    assert Execution.objects.count() == before


@pytest.mark.usefixtures("traded")
def test_a_changed_setting_is_told_with_exact_money(tmp_path: Path, settings: Any) -> None:
    """The fee was 10 bps when the desk traded and is 30 now: the backtest pays more."""
    settings.FEE_BPS = 30
    page = tmp_path / "out.html"
    told = json.loads(run("--json", "-v0", "--report", str(page))[0])
    assert told["differences"] > 0 and {one["cause"] for one in told["list"]} == {"configuration"}
    assert "fee_bps was 10 and is 30" in told["list"][0]["detail"]
    total = Decimal(told["equity"]["live"]) - Decimal(told["equity"]["backtest"])
    assert Decimal(told["total"]) == total == sum(Decimal(one["money"]) for one in told["causes"].values())
    assert sum(one["first"] for one in told["causes"].values()) == told["differences"]
    assert sum(sum(map(Decimal, one["money"].values())) for one in told["list"]) == total
    lines = run("-v0")[0]
    assert "configuration" in lines and "fee_bps was 10 and is 30" in lines
    assert "fee_bps was 10 and is 30" in page.read_text()


@pytest.mark.usefixtures("traded")
@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["--symbol", "DOGEUSDT"], 2, "symbol: unknown symbol"),
        (["--from", "yesterday"], 2, "from: "),
        (["--to", "2023-13-01"], 2, "to: "),
        (["--from", str(START_MS + 600_000), "--to", str(START_MS)], 2, "from: must be before"),
        (["--report", "/nowhere/out.html"], 2, "report: "),
        (["--from", "2030-01-01"], 4, "no two closed bars"),
    ],
)
def test_bad_arguments_name_themselves(args: list[str], code: int, words: str) -> None:
    found = ended(*args)
    assert found[0] == code and words in found[1]


@pytest.mark.usefixtures("desk_db")
def test_a_desk_without_an_account_has_nothing_to_compare() -> None:
    assert ended()[0] == 4


@pytest.mark.usefixtures("traded")
def test_parts_that_do_not_add_up_end_with_three(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise IntegrityBreach("the causes add up to 1, the difference is 2")

    monkeypatch.setattr(command, "diverge", broken)
    assert ended("-v0")[0] == 3


def test_money_keeps_every_digit() -> None:
    assert [e16_text(count) for count in (0, 1, -(10**16), 15 * 10**15)] == ["0", "0.0000000000000001", "-1", "1.5"]
    assert [money_text(count) for count in (-(10**13), -123_456 * 10**14)] == ["0.00", "-1,234.56"]
