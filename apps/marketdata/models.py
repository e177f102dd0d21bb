"""Rows of the market: symbols, the exchange's rules as revisions, and bars that never change."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import F, Q

from apps.engine.errors import IntegrityBreach
from apps.engine.values import Filters


class AppendOnly(models.Model):
    """A row that is written once. Saving it again or deleting it raises IntegrityBreach."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise IntegrityBreach(f"{type(self).__name__} {self.pk} is written once and never changed")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise IntegrityBreach(f"{type(self).__name__} {self.pk} is never deleted")


class Symbol(models.Model):
    """A traded pair, by the exchange's name for it."""

    name = models.CharField(max_length=20, primary_key=True)
    base_asset = models.CharField(max_length=20)
    quote_asset = models.CharField(max_length=20)
    status = models.CharField(max_length=32)

    def __str__(self) -> str:
        return self.name


class FilterRevision(AppendOnly):
    """The exchange's rules for a symbol from `ts_ms` on, with the text they were read from."""

    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="revisions")
    revision = models.PositiveIntegerField()
    ts_ms = models.BigIntegerField()
    tick_e8 = models.BigIntegerField()
    step_e8 = models.BigIntegerField()
    min_qty_e8 = models.BigIntegerField()
    max_qty_e8 = models.BigIntegerField()
    market_step_e8 = models.BigIntegerField()
    market_min_qty_e8 = models.BigIntegerField()
    market_max_qty_e8 = models.BigIntegerField()
    min_notional_e8 = models.BigIntegerField()
    max_notional_e8 = models.BigIntegerField()
    raw = models.TextField(help_text="The exchange's filters of the symbol, as JSON.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["symbol", "revision"], name="one_filter_revision_per_number")]

    def as_filters(self) -> Filters:
        return Filters(**{name: getattr(self, name) for name in Filters._fields})


class Bar(AppendOnly):
    """One closed bar as it was first observed. `late` bars came after a later one was folded and are never folded."""

    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="bars", db_index=False)
    interval = models.CharField(max_length=4)
    open_time_ms = models.BigIntegerField()
    open_e8 = models.BigIntegerField()
    high_e8 = models.BigIntegerField()
    low_e8 = models.BigIntegerField()
    close_e8 = models.BigIntegerField()
    volume_e8 = models.BigIntegerField()
    trades = models.BigIntegerField()
    source = models.CharField(max_length=16)
    late = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["symbol", "interval", "open_time_ms"], name="one_bar_per_open_time"),
            models.CheckConstraint(
                name="bar_has_a_possible_shape",
                condition=Q(low_e8__gt=0)
                & Q(low_e8__lte=F("open_e8"))
                & Q(low_e8__lte=F("close_e8"))
                & Q(high_e8__gte=F("open_e8"))
                & Q(high_e8__gte=F("close_e8"))
                & Q(volume_e8__gte=0)
                & Q(trades__gte=0),
            ),
        ]
