"""Is the kill switch engaged on this machine, even if the database cannot be asked? A file says so."""

from __future__ import annotations

import os
from pathlib import Path

from django.conf import settings

FILE_NAME = "KILLED"
UNREADABLE = "the sentinel file is there but cannot be read"


def sentinel_path() -> Path:
    return Path(settings.VAR_DIR) / FILE_NAME


def sentinel_reason() -> str | None:
    """Why the sentinel was set; None when there is none. A sentinel that cannot be read counts as set."""
    try:
        with open(os.path.join(settings.VAR_DIR, FILE_NAME), errors="replace") as file:
            return file.read().strip() or UNREADABLE
    except FileNotFoundError:
        return None
    except OSError:
        return UNREADABLE


def sentinel_set(reason: str) -> None:
    """Set it durably: the file and its folder are on disk when this returns. One that is set keeps its reason."""
    if sentinel_reason() is not None:
        return
    descriptor = os.open(sentinel_path(), os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, reason.encode(errors="replace"))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    _sync_folder()


def sentinel_clear() -> None:
    """Remove it durably."""
    sentinel_path().unlink(missing_ok=True)
    _sync_folder()


def _sync_folder() -> None:
    descriptor = os.open(sentinel_path().parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
