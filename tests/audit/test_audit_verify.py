"""Every class of tampering is found and named; a clean log never raises an alarm."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.db import connection

from apps.audit import selectors, services
from apps.audit.checkpoints import checkpoint_file, checkpoints_read
from apps.audit.records import COLUMNS, GENESIS_HASH, StoredRecord, record_hash_of
from apps.engine.codec import canonical_bytes, digest_id, sha256_hex
from apps.engine.errors import IntegrityBreach

SIZE = 40
INSERT = f"INSERT INTO audit_auditrecord ({COLUMNS}) VALUES ({', '.join('?' * 11)})"


def broken_at(*, from_checkpoint: bool = True) -> tuple[int, str]:
    result = selectors.audit_verify(from_checkpoint)
    assert not result.intact and result.first_broken is not None
    return result.first_broken.sequence, result.first_broken.where


def record_of(sequence: int) -> StoredRecord:
    return selectors.audit_after(sequence - 1, 1)[0]


def rehashed(row: StoredRecord, **members: Any) -> StoredRecord:
    """The row with changed content and its own hashes recomputed, as a careful attacker would."""
    content = {**row.content, **members}
    body = canonical_bytes(content)
    digest = sha256_hex(body)
    return row._replace(
        sequence=content["sequence"],
        actor=content["actor"],
        body=body,
        content_hash=digest,
        audit_id=digest_id("ad", digest),
        inputs_hash=sha256_hex(canonical_bytes(content["inputs"])) if "inputs" in content else "",
        record_hash=record_hash_of(row.previous_hash, digest),
    )


def checkpoint() -> None:
    assert services.checkpoint_record(result=selectors.audit_verify())


def test_a_clean_log_is_intact_at_every_length(append: Callable[..., Any], log: Callable[[int], Any]) -> None:
    assert selectors.audit_verify()[:5] == (True, 0, 1, GENESIS_HASH, None)
    for length in (1, 7, 1000, 1999):
        log(length)
        result = selectors.audit_verify(from_checkpoint=False)
        assert (result.intact, result.records) == (True, result.head_sequence)
        checkpoint()
        assert selectors.audit_verify()[:3] == (True, 0, result.head_sequence + 1)


@pytest.mark.parametrize("seed", range(8))
def test_a_flipped_bit_is_named(log: Callable[[int], Any], attacker: Callable[..., None], seed: int) -> None:
    log(SIZE)
    chance = random.Random(seed)
    sequence = chance.randint(1, SIZE)
    body = bytearray(record_of(sequence).body)
    body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
    attacker(("UPDATE audit_auditrecord SET body = ? WHERE sequence = ?", (bytes(body), sequence)))
    assert broken_at() == (sequence, "body")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("audit_id", "adx"),
        ("kind", "risk.kill"),
        ("symbol", "XRPUSDT"),
        ("ts_ms", 1),
        ("ts_ms", "then"),
        ("actor", "nobody"),
        ("inputs_hash", "0" * 64),
        ("content_hash", "0" * 64),
        ("content_hash", "zz"),
        ("previous_hash", "0" * 64),
        ("record_hash", "0" * 64),
    ],
)
def test_a_changed_column_is_named(
    log: Callable[[int], Any], attacker: Callable[..., None], column: str, value: Any
) -> None:
    log(SIZE)
    attacker((f"UPDATE audit_auditrecord SET {column} = ? WHERE sequence = 23", (value,)))
    assert broken_at() == (23, column)


@pytest.mark.parametrize("sequence", [1, 17, SIZE])
def test_an_edit_with_its_own_hash_breaks_the_chain(
    log: Callable[[int], Any], attacker: Callable[..., None], sequence: int
) -> None:
    log(SIZE)
    row = rehashed(record_of(sequence), actor="somebody")
    attacker(("DELETE FROM audit_auditrecord WHERE sequence = ?", (sequence,)), (INSERT, tuple(row)))
    assert broken_at() == ((sequence + 1, "previous_hash") if sequence < SIZE else (SIZE, "head"))


def test_bytes_that_are_not_canonical_are_named(append: Callable[..., Any], attacker: Callable[..., None]) -> None:
    append()
    row = record_of(1)
    spaced = row.body.replace(b":", b": ", 1)
    digest = sha256_hex(spaced)
    chained = record_hash_of(GENESIS_HASH, digest)
    attacker(
        (
            "UPDATE audit_auditrecord SET body = ?, content_hash = ?, audit_id = ?, record_hash = ?",
            (spaced, digest, digest_id("ad", digest), chained),
        ),
        ("UPDATE audit_audithead SET record_hash = ?", (chained,)),
    )
    assert broken_at() == (1, "body")


def test_deletions_are_named(log: Callable[[int], Any], attacker: Callable[..., None]) -> None:
    log(SIZE)
    attacker(f"DELETE FROM audit_auditrecord WHERE sequence = {SIZE}")
    assert broken_at() == (SIZE, "sequence")
    attacker("DELETE FROM audit_auditrecord WHERE sequence = 21")
    assert broken_at() == (21, "sequence")
    attacker("DELETE FROM audit_auditrecord WHERE sequence = 1")
    assert broken_at() == (1, "sequence")


def test_a_cut_tail_with_a_fitting_head_is_found_by_the_checkpoint(
    log: Callable[[int], Any], attacker: Callable[..., None]
) -> None:
    log(SIZE)
    checkpoint()
    last = record_of(30)
    attacker(
        "DELETE FROM audit_auditrecord WHERE sequence > 30",
        "DELETE FROM audit_controlcurrent",
        "DELETE FROM audit_verifiedcheckpoint",
        ("UPDATE audit_audithead SET sequence = 30, record_hash = ?", (last.record_hash,)),
    )
    assert broken_at() == (31, "checkpoint")


@pytest.mark.parametrize("sequence", [0, -3, SIZE + 1, SIZE + 5])
def test_an_inserted_row_is_named(log: Callable[[int], Any], attacker: Callable[..., None], sequence: int) -> None:
    log(SIZE)
    row = rehashed(record_of(7), sequence=sequence, actor="x")
    attacker((INSERT, tuple(row)))
    assert broken_at() == ((SIZE + 1, "head") if sequence > SIZE else (sequence, "sequence"))


def test_swapped_and_duplicated_rows_are_named(log: Callable[[int], Any], attacker: Callable[..., None]) -> None:
    log(SIZE)
    attacker(
        "UPDATE audit_auditrecord SET sequence = -1 WHERE sequence = 11",
        "UPDATE audit_auditrecord SET sequence = 11 WHERE sequence = 12",
        "UPDATE audit_auditrecord SET sequence = 12 WHERE sequence = -1",
    )
    assert broken_at() == (11, "previous_hash")
    copy = record_of(3)._replace(audit_id="ad-copy", sequence=5)
    attacker("DELETE FROM audit_auditrecord WHERE sequence = 5", (INSERT, tuple(copy)))
    assert broken_at() == (5, "previous_hash")


def test_replace_into_is_named(log: Callable[[int], Any], attacker: Callable[..., None]) -> None:
    log(SIZE)
    attacker((INSERT.replace("INSERT", "REPLACE", 1), tuple(rehashed(record_of(9), actor="x"))))
    assert broken_at() == (10, "previous_hash")


def rewrite_everything(attacker: Callable[..., None]) -> None:
    """A consistent forgery of the whole log: every hash and the head."""
    statements: list[Any] = ["DELETE FROM audit_auditrecord"]
    previous = GENESIS_HASH
    for row in selectors.audit_after(0, 10_000):
        actor = "forger" if row.sequence == 2 else row.actor
        forged = rehashed(row._replace(previous_hash=previous, actor=actor), actor=actor)
        previous = forged.record_hash
        statements.append((INSERT, tuple(forged)))
    statements.append(("UPDATE audit_audithead SET record_hash = ?", (previous,)))
    attacker(*statements)


@pytest.mark.parametrize("also", ["SELECT 1", "DELETE FROM audit_verifiedcheckpoint"])
def test_a_rewritten_log_is_found_by_the_checkpoint(
    log: Callable[[int], Any], attacker: Callable[..., None], also: str
) -> None:
    log(SIZE)
    checkpoint()
    rewrite_everything(attacker)
    attacker(also)
    assert broken_at() == (SIZE, "checkpoint")
    assert broken_at(from_checkpoint=False) == (SIZE, "checkpoint")
    checkpoint_file().unlink()
    assert selectors.audit_verify().intact  # without the file outside nothing betrays a perfect forgery


def test_an_older_database_file_is_found(log: Callable[[int], Any], desk_db: Path, tmp_path: Path) -> None:
    log(10)
    connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(desk_db, tmp_path / "older.sqlite3")
    log(10)
    checkpoint()
    connection.close()
    for path in tmp_path.glob("desk.sqlite3-*"):
        path.unlink()
    shutil.copy(tmp_path / "older.sqlite3", desk_db)
    assert broken_at() == (11, "checkpoint")


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE audit_controlcurrent SET value = '999' WHERE key = 'limit.1'", "record 35 set it to 34"),
        ("UPDATE audit_controlcurrent SET sequence = 5 WHERE key = 'state.desk'", "record 40 set it"),
        ("UPDATE audit_controlcurrent SET sequence = 99 WHERE key = 'state.desk'", "no record set it"),
        ("DELETE FROM audit_controlcurrent WHERE key = 'limit.1'", "limit.1 is gone"),
        ("INSERT INTO audit_controlcurrent VALUES ('flag.X', 'true', 5, 0)", "no record set it"),
    ],
)
def test_a_changed_control_is_named(
    log: Callable[[int], Any], attacker: Callable[..., None], statement: str, words: str
) -> None:
    log(SIZE)
    checkpoint()
    log(0)
    attacker(statement)
    for from_checkpoint in (True, False):
        result = selectors.audit_verify(from_checkpoint)
        assert result.first_broken is not None and result.first_broken.where == "controls"
        assert words in result.first_broken.detail


def test_controls_changed_together_with_their_checkpoint_are_found(
    log: Callable[[int], Any], attacker: Callable[..., None]
) -> None:
    log(SIZE)
    checkpoint()
    attacker(
        "UPDATE audit_controlcurrent SET value = '999' WHERE key = 'limit.1'",
        "UPDATE audit_verifiedcheckpoint SET controls = replace(controls, '[34,', '[999,')",
    )
    assert broken_at() == (SIZE, "checkpoint")
    assert broken_at(from_checkpoint=False)[1] == "controls"


def test_a_damaged_or_missing_snapshot_is_named(append: Callable[..., Any], attacker: Callable[..., None]) -> None:
    digest = services.snapshot_put(body=b"posterior")
    append({"inputs": {"snapshot": digest}})
    append()
    assert selectors.audit_verify().intact
    attacker("UPDATE audit_snapshot SET body = x'00'")
    assert broken_at() == (1, "snapshot")
    attacker("DELETE FROM audit_snapshot")
    assert broken_at() == (1, "snapshot")


def test_a_tampered_head_is_named(log: Callable[[int], Any], attacker: Callable[..., None]) -> None:
    log(3)
    attacker("UPDATE audit_audithead SET sequence = 2")
    assert broken_at()[1] == "head"
    attacker("DELETE FROM audit_audithead")
    assert broken_at() == (0, "head")


def test_checkpoints_survive_a_torn_line_and_refuse_a_forged_one(log: Callable[[int], Any]) -> None:
    log(3)
    checkpoint()
    with checkpoint_file().open("ab") as file:
        file.write(b'{"controlsHa')
    assert [known.sequence for known in checkpoints_read()] == [3]
    log(3)
    checkpoint()
    assert [known.sequence for known in checkpoints_read()] == [3, 6]
    checkpoint_file().write_bytes(checkpoint_file().read_bytes().replace(b'"sequence":3', b'"sequence": 3'))
    assert broken_at() == (0, "checkpoint")


def test_a_broken_log_gets_no_checkpoint(log: Callable[[int], Any], attacker: Callable[..., None]) -> None:
    log(3)
    attacker("DELETE FROM audit_auditrecord WHERE sequence = 2")
    with pytest.raises(IntegrityBreach):
        services.checkpoint_record(result=selectors.audit_verify())
    assert not checkpoint_file().exists()


def test_the_fast_canonical_form_is_the_engine_s(log: Callable[[int], Any]) -> None:
    log(SIZE)
    for row in selectors.audit_latest(SIZE):
        assert orjson.dumps(row.content, option=orjson.OPT_SORT_KEYS) == canonical_bytes(row.content) == row.body
