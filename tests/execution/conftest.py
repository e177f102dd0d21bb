"""Desks to ask: one that has traded, one whose market is alive."""

from __future__ import annotations

from tests.execution.traded import traded
from tests.support.live_desk import local, market, owner, quiet_desk

__all__ = ["local", "market", "owner", "quiet_desk", "traded"]
