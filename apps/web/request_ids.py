"""Which request is this? One id per request, taken from the client when it is well formed, told back in the answer."""

from __future__ import annotations

import re
import uuid
from contextvars import ContextVar

HEADER = "X-Request-ID"
_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_current: ContextVar[str] = ContextVar("request_id", default="")


def begin(offered: str | None) -> str:
    """Start a request with the offered id, or with a new one when the offer is not well formed."""
    chosen = offered if offered and _WELL_FORMED.fullmatch(offered) else uuid.uuid4().hex
    _current.set(chosen)
    return chosen


def current() -> str:
    """The id of the request being served; a fresh one outside of any request."""
    return _current.get() or uuid.uuid4().hex
