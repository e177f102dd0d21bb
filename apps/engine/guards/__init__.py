"""Guards: one file each. A guard is metadata and one kernel over integer records; all run, the worst verdict wins."""

from __future__ import annotations

import sys

from apps.engine.guards.base import GUARDS, Guard
from apps.engine.registry import import_members

__all__ = ["GUARDS", "Guard"]

import_members(sys.modules[__name__])
