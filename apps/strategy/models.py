"""What the desk has learned per symbol and bar, and the control rows its fold depends on."""

from __future__ import annotations

from django.db import models


class View(models.Model):
    """What the engine saw at one closed bar. The full posterior is the snapshot that `snapshot_hash` names.

    `situation` is the embedding of its context, `coverage` how the forecasts of each arm's reward have done.
    """

    symbol = models.CharField(max_length=32)
    interval = models.CharField(max_length=4)
    bar_open_ms = models.BigIntegerField()
    is_grid = models.BooleanField()
    snapshot_hash = models.CharField(max_length=64)
    state_hash = models.CharField(max_length=64)
    engine_hash = models.CharField(max_length=16)
    regime = models.JSONField()
    situation = models.JSONField(default=dict)
    coverage = models.JSONField(default=list)
    written_ts_ms = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["symbol", "interval", "bar_open_ms"], name="one_view_per_bar")]


class FoldControl(models.Model):
    """A fact besides the bars that the fold depends on, from its bar on: where it starts, a gap, the BOCPD flag, or
    whether the arm of `policy` is active (1)."""

    START, GAP, BOCPD, ACTIVE = "start", "gap", "bocpd", "active"

    symbol = models.CharField(max_length=32)
    interval = models.CharField(max_length=4)
    bar_open_ms = models.BigIntegerField()
    kind = models.CharField(max_length=8, choices=[(kind, kind) for kind in (START, GAP, BOCPD, ACTIVE)])
    policy = models.CharField(max_length=64, blank=True, default="")
    value = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["symbol", "interval", "bar_open_ms", "kind", "policy"], name="one_control_per_bar"
            )
        ]
