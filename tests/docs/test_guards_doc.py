"""docs/guards.md says what the guards do, and leaves nothing out."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from apps.engine.gate import GATE_GUARDS
from apps.engine.reasons import REASON_TEXT, Reason
from apps.risk.guards_doc import guards_page, limits_of_guard
from apps.risk.limits import LIMITS
from tradedesk.env import SETTINGS

ROOT = Path(__file__).resolve().parents[2]


PAGE = ROOT / "docs" / "guards.md"


def test_the_page_is_what_the_code_says() -> None:
    assert PAGE.read_text() == guards_page(PAGE.read_text()), "run manage.py guards_doc"


def test_a_page_that_drifted_is_found_and_written_anew(tmp_path: Path, settings: Any) -> None:
    settings.BASE_DIR = tmp_path
    copy = tmp_path / "docs" / "guards.md"
    copy.parent.mkdir()
    copy.write_text(PAGE.read_text().replace("`self_cross`", "`crossing`"))
    with pytest.raises(SystemExit) as ended:
        call_command("guards_doc", "--check", stderr=StringIO())
    assert ended.value.code == 3 and "`crossing`" in copy.read_text()
    call_command("guards_doc", stdout=StringIO())
    call_command("guards_doc", "--check", stdout=StringIO())
    assert copy.read_text() == PAGE.read_text()


def test_a_page_without_its_marks_is_refused() -> None:
    with pytest.raises(LookupError, match="rules"):
        guards_page(PAGE.read_text().replace("<!-- rules -->", ""))


def test_every_limit_is_one_that_a_guard_reads() -> None:
    assert set(LIMITS) <= {name for guard in GATE_GUARDS for name in limits_of_guard(guard)}


def test_every_limit_has_a_setting_and_every_reason_a_text() -> None:
    assert {limit.setting for limit in LIMITS.values()} <= {entry.name for entry in SETTINGS}
    assert len({limit.member for limit in LIMITS.values()}) == len(LIMITS)
    assert set(REASON_TEXT) == set(Reason) and all(text for reason, text in REASON_TEXT.items() if reason)


def test_every_guard_states_its_rule() -> None:
    assert all(guard.summary and guard.check.__doc__ for guard in GATE_GUARDS)
