"""Who exists, and whose token is this?"""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db.models import Q

from apps.accounts.models import Token, User
from apps.accounts.tokens import digest_of


class Bearer(NamedTuple):
    """Whose token it is, and when it was last seen."""

    user: Any
    token_id: int
    last_used_at_ms: int | None


def token_bearer(*, token: str, now_ms: int) -> Bearer | None:
    """The active user behind a token that is neither revoked nor expired."""
    not_expired = Q(expires_at_ms=None) | Q(expires_at_ms__gt=now_ms)
    row = (
        Token.objects.filter(not_expired, digest=digest_of(token), revoked_at_ms=None, user__is_active=True)
        .select_related("user")
        .first()
    )
    return Bearer(row.user, row.pk, row.last_used_at_ms) if row else None


def has_users() -> bool:
    return User.objects.exists()
