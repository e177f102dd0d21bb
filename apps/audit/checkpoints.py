"""Where was the log known to be intact? One line per verified checkpoint, in a file outside the database.

Whoever rewrites, truncates or rolls back the database cannot make it fit the lines without also finding this file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from django.conf import settings

from apps.engine.codec import canonical_bytes, parse_canonical
from apps.engine.errors import IntegrityBreach, InvalidInput

FILE_NAME = "audit-checkpoints.log"


class Checkpoint(NamedTuple):
    """The head of the log at one moment, and the hash of the controls that held then."""

    sequence: int
    record_hash: str
    controls_hash: str


def checkpoint_file() -> Path:
    return Path(settings.VAR_DIR) / FILE_NAME


def checkpoints_read() -> list[Checkpoint]:
    """Every checkpoint of the file, oldest first. A last line without newline was torn by a crash and is ignored."""
    path = checkpoint_file()
    if not path.exists():
        return []
    whole, _, _torn = path.read_bytes().rpartition(b"\n")
    return [_parse(line, number) for number, line in enumerate(whole.split(b"\n"), start=1) if line]


def checkpoint_append(checkpoint: Checkpoint) -> None:
    """Write one line, on its own even after a torn one, and make it durable."""
    path = checkpoint_file()
    line = canonical_bytes(
        {
            "sequence": checkpoint.sequence,
            "recordHash": checkpoint.record_hash,
            "controlsHash": checkpoint.controls_hash,
        }
    )
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        is_torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        if is_torn:
            os.ftruncate(descriptor, _end_of_last_line(descriptor, size))
        os.write(descriptor, line + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _end_of_last_line(descriptor: int, size: int) -> int:
    return os.pread(descriptor, size, 0).rfind(b"\n") + 1


def _parse(line: bytes, number: int) -> Checkpoint:
    try:
        value = parse_canonical(line)
        return Checkpoint(value["sequence"], value["recordHash"], value["controlsHash"])
    except (InvalidInput, KeyError, TypeError) as error:
        raise IntegrityBreach(f"line {number} of {checkpoint_file()} is not a checkpoint: {error}") from error
