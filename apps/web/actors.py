"""Who acted? One word for the audit: role and user name, or how the request was trusted."""

from __future__ import annotations

from typing import Any

from apps.web.permissions import role_of
from apps.web.trust import is_loopback_trusted


def actor_of(request: Any) -> str:
    """`owner:alice`, `loopback` or `anonymous`."""
    role = role_of(request)
    if role is not None:
        return f"{role.value}:{request.user.get_username()}"
    return "loopback" if is_loopback_trusted(request) else "anonymous"
