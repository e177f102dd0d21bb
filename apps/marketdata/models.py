"""Rows of the market: symbols, the exchange's rules as revisions, bars that never change, and what was amiss."""

from __future__ import annotations

import json
from typing import Any

from django.db import models
from django.db.models import F, Q

from apps.engine.errors import IntegrityBreach
from apps.engine.order_filters import OrderRules
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
    """A traded pair, by the exchange's name for it. `checked_ts_ms` is when the exchange last stated its rules."""

    name = models.CharField(max_length=20, primary_key=True)
    base_asset = models.CharField(max_length=20)
    quote_asset = models.CharField(max_length=20)
    status = models.CharField(max_length=32)
    checked_ts_ms = models.BigIntegerField(default=0)

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
    min_price_e8 = models.BigIntegerField(default=0)
    max_price_e8 = models.BigIntegerField(default=0)
    bid_up_e8 = models.BigIntegerField(default=0, help_text="Highest price of a buy, x 1e8 of the reference price.")
    bid_down_e8 = models.BigIntegerField(default=0)
    ask_up_e8 = models.BigIntegerField(default=0)
    ask_down_e8 = models.BigIntegerField(default=0)
    is_by_side = models.BooleanField(default=False)
    avg_price_mins = models.BigIntegerField(default=0)
    priced_min_e8 = models.BigIntegerField(default=0, help_text="Least notional of an order that is no MARKET order.")
    priced_max_e8 = models.BigIntegerField(default=0)
    max_orders = models.BigIntegerField(default=0)
    max_algo_orders = models.BigIntegerField(default=0)
    min_trail_above_bps = models.BigIntegerField(default=0)
    max_trail_above_bps = models.BigIntegerField(default=0)
    min_trail_below_bps = models.BigIntegerField(default=0)
    max_trail_below_bps = models.BigIntegerField(default=0)
    others = models.TextField(default="[]", help_text="Filters that are kept but not enforced, as JSON.")
    raw = models.TextField(help_text="The exchange's filters of the symbol, as JSON.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["symbol", "revision"], name="one_filter_revision_per_number")]

    def as_filters(self) -> Filters:
        return Filters(**{name: getattr(self, name) for name in Filters._fields})

    def as_order_rules(self) -> OrderRules:
        return OrderRules(**{name: int(getattr(self, name)) for name in OrderRules._fields})

    def other_names(self) -> tuple[str, ...]:
        """The filters that are kept but not enforced."""
        return tuple(rule["filterType"] for rule in json.loads(self.others))


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


class BarSeries(models.Model):
    """How many bars of a symbol and interval are stored, counted in the transactions that store them.

    Copies of the rows outside the database are judged by it. `key` tells apart series that share a name in databases
    that came one after the other.
    """

    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="+", db_index=False)
    interval = models.CharField(max_length=4)
    key = models.CharField(max_length=32)
    n_bars = models.BigIntegerField(default=0)

    class Meta:
        verbose_name_plural = "bar series"
        constraints = [models.UniqueConstraint(fields=["symbol", "interval"], name="one_count_per_series")]


class Quarantine(models.Model):
    """One candle that was not believed: as it came, why, and what became of it.

    `pending` candles wait for a second word. `replaced` ones were wrong and another value is stored in their place,
    `confirmed` ones were true after all and are stored as they came. Nothing waits for `noted` ones: they were stored
    all the same, contradict a bar that stays as first observed, or do not tell when they opened. `discarded` ones a
    person has judged wrong. The row never goes away.
    """

    PENDING, REPLACED, CONFIRMED, NOTED, DISCARDED = "pending", "replaced", "confirmed", "noted", "discarded"
    STATUSES = (PENDING, REPLACED, CONFIRMED, NOTED, DISCARDED)

    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="quarantined")
    interval = models.CharField(max_length=4)
    open_time_ms = models.BigIntegerField(null=True, help_text="Null when the candle does not even tell it.")
    reason = models.CharField(max_length=24)
    score = models.FloatField(null=True, help_text="How far beyond the rule, in its own unit; null for hard rules.")
    detail = models.CharField(max_length=240)
    origin = models.CharField(max_length=8, help_text="stream, rest, import or check.")
    source = models.CharField(max_length=16)
    raw = models.TextField(help_text="The payload as it came.")
    raw_hash = models.CharField(max_length=64)
    mode = models.CharField(max_length=8, help_text="strict or relaxed, when it was found.")
    status = models.CharField(max_length=10, choices=[(name, name) for name in STATUSES])
    replacement = models.TextField(help_text="The value stored instead, as it came; empty while there is none.")
    replacement_hash = models.CharField(max_length=64)
    evidence = models.JSONField(default=dict, help_text="Who said what when it was asked again.")
    attempts = models.PositiveIntegerField(default=0)
    found_ts_ms = models.BigIntegerField()
    next_try_ts_ms = models.BigIntegerField(null=True)
    alerted_ts_ms = models.BigIntegerField(null=True)
    resolved_ts_ms = models.BigIntegerField(null=True)
    resolved_by = models.CharField(max_length=64)

    class Meta:
        verbose_name = "quarantined candle"
        constraints = [
            models.UniqueConstraint(
                fields=["symbol", "interval", "open_time_ms", "reason", "raw_hash"], name="one_row_per_bad_candle"
            ),
        ]
        indexes = [
            models.Index(fields=["symbol", "interval", "open_time_ms"], name="quarantine_by_time"),
            models.Index(fields=["status", "found_ts_ms"], name="quarantine_by_status"),
        ]


class QualityCount(models.Model):
    """How many candles of a series were judged, and how many were accepted at once."""

    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="+", db_index=False)
    interval = models.CharField(max_length=4)
    checked = models.BigIntegerField(default=0)
    accepted = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["symbol", "interval"], name="one_quality_count_per_series")]


class Gap(models.Model):
    """A stretch of the grid without stored bars: first_ms <= open < end_ms.

    `open` gaps are still asked for; `filled` ones have come; `absent` bars the exchange itself does not have;
    in `maintenance` the exchange was known to be closed; `held` bars wait in quarantine.
    """

    OPEN, FILLED, ABSENT, MAINTENANCE, HELD = "open", "filled", "absent", "maintenance", "held"
    STATES = (OPEN, FILLED, ABSENT, MAINTENANCE, HELD)

    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="gaps", db_index=False)
    interval = models.CharField(max_length=4)
    first_ms = models.BigIntegerField()
    end_ms = models.BigIntegerField()
    state = models.CharField(max_length=12, choices=[(name, name) for name in STATES])
    attempts = models.PositiveIntegerField(default=0)
    found_ts_ms = models.BigIntegerField()
    next_try_ts_ms = models.BigIntegerField(null=True)
    resolved_ts_ms = models.BigIntegerField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(name="gap_is_not_empty", condition=Q(end_ms__gt=F("first_ms"))),
            models.UniqueConstraint(
                fields=["symbol", "interval", "first_ms"], condition=~Q(state="filled"), name="one_gap_per_start"
            ),
        ]
        indexes = [models.Index(fields=["symbol", "interval", "state", "first_ms"], name="gap_by_state")]
