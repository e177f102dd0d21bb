"""Who may do what: the roles, and for every route and method the least that is needed."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What a person may do; each includes what the ones before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    OWNER = "owner"
