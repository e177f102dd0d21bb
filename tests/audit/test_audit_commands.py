"""`verify_audit` and `replay` as an operator runs them: words and exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.audit.checkpoints import checkpoints_read
from apps.engine.record import Difference


def run(*arguments: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command(*arguments, stdout=out, stderr=StringIO())
    except SystemExit as exit_:
        return int(exit_.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_an_intact_log_gets_a_checkpoint_and_the_next_walk_is_short(log: Callable[[int], Any]) -> None:
    log(12)
    assert run("verify_audit", "--no-checkpoint") == run("verify_audit")
    assert [known.sequence for known in checkpoints_read()] == [12]
    code, words = run("verify_audit")
    assert code == 0 and words.startswith("intact: 0 records from 13 on")
    assert run("verify_audit", "--all")[1].startswith("intact: 12 records from 1 on")
    assert len(checkpoints_read()) == 1


def test_a_broken_log_is_named_with_code_3(log: Callable[[int], Any], attacker: Callable[..., None]) -> None:
    log(12)
    attacker("UPDATE audit_auditrecord SET body = x'7b7d' WHERE sequence = 8")
    code, words = run("verify_audit")
    assert code == 3 and words.startswith("BROKEN at record 8 (ad") and ", body: body was changed" in words
    code, text = run("verify_audit", "--json")
    result = json.loads(text)
    assert (code, result["intact"], result["records"]) == (3, False, 7)
    assert (result["firstBroken"]["sequence"], result["firstBroken"]["where"]) == (8, "body")
    assert checkpoints_read() == []


def test_replay_counts_equal_different_and_skipped(log: Callable[[int], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    entries = log(20)
    monkeypatch.setattr("apps.engine.record.replay", lambda kind, body, load: [])
    every = "16 decisions replayed, 16 equal, 0 different; 4 other records skipped\n"
    assert run("replay", "--all") == (0, every)
    assert run("replay", "--limit", "5")[1].startswith("4 decisions replayed")
    assert run("replay", entries[4].audit_id)[1].startswith(f"{entries[4].audit_id} is not a decision")

    def one_differs(kind: str, body: dict[str, Any], load: Any) -> list[Difference]:
        return [Difference("sizing.base", "1", "2")] if body["inputs"]["bar"] == 7 else []

    monkeypatch.setattr("apps.engine.record.replay", one_differs)
    code, words = run("replay", "--all")
    assert code == 3
    assert f"DIFFERENT record 8 ({entries[7].audit_id})\n  sizing.base: recorded '1', recomputed '2'" in words
    assert run("replay", entries[7].audit_id)[0] == 3 and run("replay", entries[8].audit_id)[0] == 0
    with pytest.raises(CommandError, match="no audit record"):
        run("replay", "ad00")


def test_inputs_that_cannot_be_used_are_a_difference(append: Callable[..., Any]) -> None:
    entry = append({"inputs": {"snapshot": "0" * 64}})
    code, words = run("replay", entry.audit_id)
    assert code == 3 and "cannot be used" in words


def test_a_kind_without_a_decision_is_skipped(append: Callable[..., Any]) -> None:
    entry = append({"inputs": {"a": 1}}, kind="strategy.observe")
    code, words = run("replay", entry.audit_id)
    assert code == 0 and "strategy.observe is not a decision" in words


def test_changed_bytes_are_a_difference(append: Callable[..., Any], attacker: Callable[..., None]) -> None:
    entry = append()
    attacker("UPDATE audit_auditrecord SET body = x'7b7d'")
    code, words = run("replay", entry.audit_id)
    assert code == 3 and "contentHash" in words
