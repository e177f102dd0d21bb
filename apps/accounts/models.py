"""Users and their roles, and the hashed tokens that scripts present."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db import models

from apps.web.roles import Role


class User(AbstractUser):
    """A person or script; the role says what it may do. Operators and owners may open the admin."""

    role = models.CharField(
        max_length=8, choices=[(role.value, role.value) for role in Role], default=Role.VIEWER.value
    )

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.is_staff = self.is_staff or self.role in (Role.OPERATOR.value, Role.OWNER.value)
        super().save(*args, **kwargs)


class Token(models.Model):
    """A bearer token: only its SHA-256 is kept. It may do what its user's role may do."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    digest = models.CharField(max_length=64, unique=True)
    hint = models.CharField(max_length=12)
    created_at_ms = models.BigIntegerField()
    last_used_at_ms = models.BigIntegerField(null=True)
    expires_at_ms = models.BigIntegerField(null=True)
    revoked_at_ms = models.BigIntegerField(null=True)
