"""Every flip of a flag, kept for good."""

from __future__ import annotations

from django.db import models


class FlagRevision(models.Model):
    """One change: the latest number of a name is its database value. Append-only by trigger."""

    name = models.CharField(max_length=64)
    number = models.PositiveIntegerField()
    value = models.JSONField()
    actor = models.CharField(max_length=160)
    reason = models.CharField(max_length=500)
    ts_ms = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["name", "number"], name="flag_revision_once")]
