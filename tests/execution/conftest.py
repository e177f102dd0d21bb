"""A desk that has traded, for whatever is shown of it."""

from __future__ import annotations

from tests.execution.traded import traded

__all__ = ["traded"]
