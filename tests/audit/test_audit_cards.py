"""The audit card: the head, how far it is verified, and the newest links of the chain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apps.audit.cards import SHOWN_RECORDS, audit_context
from apps.audit.selectors import audit_head, audit_latest, audit_many, audit_verify, checkpoint_latest
from apps.audit.services import checkpoint_record


def test_an_empty_log_has_no_head_to_show(desk_db: object) -> None:
    context = audit_context()
    assert (context["sequence"], context["record_hash"], context["verified"], context["rows"]) == (0, None, None, [])


def test_the_head_the_checkpoint_and_what_is_newer(log: Callable[[int], list[Any]]) -> None:
    log(7)
    assert audit_context()["verified"] is None
    assert checkpoint_record(result=audit_verify())
    log(2)
    context = audit_context()
    assert (context["sequence"], context["record_hash"]) == audit_head()
    assert (context["verified"], context["since"]) == (7, 2)
    assert checkpoint_latest() == (7, audit_latest(3)[2].record_hash)
    assert [row["sequence"] for row in context["rows"]] == [9, 8, 7, 6, 5][:SHOWN_RECORDS]


def test_many_records_are_read_at_once_and_unknown_ids_left_out(log: Callable[[int], list[Any]]) -> None:
    log(4)
    wanted = [record.audit_id for record in audit_latest(2)]
    found = audit_many([*wanted, "ad0"])
    assert sorted(found) == sorted(wanted)
    assert found[wanted[0]] == audit_latest(1)[0]
    assert audit_many([]) == {}
