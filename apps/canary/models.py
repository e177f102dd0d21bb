"""Revisions of the canary ladder's state; the newest one holds."""

from __future__ import annotations

from django.db import models


class CanaryRevision(models.Model):
    """The ladder took one rung."""

    state = models.CharField(max_length=8)
    weight_bps = models.IntegerField()
    previous_weight_bps = models.IntegerField()
    actor = models.CharField(max_length=128)
    reason = models.CharField(max_length=500)
    ts_ms = models.BigIntegerField()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.state} {self.weight_bps} bps"
