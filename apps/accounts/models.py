"""Users and their roles, and the hashed tokens that scripts present."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models

from apps.web.roles import Role


class User(AbstractUser):
    """A person or script; the role says what it may do."""

    role = models.CharField(max_length=8, choices=[(role.value, role.value) for role in Role], default=Role.VIEWER.value)
