"""Revisions of limits and trading states, which only grow, and what execution pushed down to be looked at."""

from __future__ import annotations

from django.db import models


class LimitRevision(models.Model):
    """One limit took one value, from a person or from the environment. The newest revision of a name holds."""

    PERSON, ENVIRONMENT = "person", "environment"

    name = models.CharField(max_length=48)
    value = models.BigIntegerField()
    previous = models.BigIntegerField(null=True)
    source = models.CharField(max_length=12)
    actor = models.CharField(max_length=128)
    reason = models.CharField(max_length=500)
    ts_ms = models.BigIntegerField()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["name", "source", "-id"], name="limit_newest")]

    def __str__(self) -> str:
        return f"{self.name} = {self.value}"


class TradingStateRevision(models.Model):
    """The desk (scope "") or one symbol (scope = its name) took a trading state."""

    scope = models.CharField(max_length=32, blank=True)
    state = models.CharField(max_length=8)
    previous = models.CharField(max_length=8)
    actor = models.CharField(max_length=128)
    reason = models.CharField(max_length=500)
    ts_ms = models.BigIntegerField()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["scope", "-id"], name="trading_state_newest")]

    def __str__(self) -> str:
        return f"{self.scope or 'desk'} {self.state}"


class SymbolUsage(models.Model):
    """What a symbol uses of its limits, as of the last decision on it."""

    symbol = models.CharField(max_length=32, primary_key=True)
    notional_e8 = models.BigIntegerField()
    orders_last_minute = models.IntegerField()
    ts_ms = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.symbol} {self.notional_e8}"


class GuardEvent(models.Model):
    """One guard did not allow one order. `observed` and `limit` are null where the guard could not tell."""

    symbol = models.CharField(max_length=32)
    guard = models.CharField(max_length=48)
    reason = models.CharField(max_length=48)
    verdict = models.CharField(max_length=8)
    observed = models.BigIntegerField(null=True)
    limit = models.BigIntegerField(null=True)
    audit_sequence = models.BigIntegerField()
    ts_ms = models.BigIntegerField()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["ts_ms"], name="guard_event_time")]

    def __str__(self) -> str:
        return f"{self.symbol} {self.guard} {self.verdict}"


class BreakerTrip(models.Model):
    """A guard began to stop new risk for longer than one order: `kind` is its name, `symbol` "" for the whole desk.

    `observed` is in the guard's unit. `until_ms` is 0 where only a person ends it (latches.py). Of the rolling breaker
    the newest one holds; its window starts anew at `window_start_fill`.
    """

    kind = models.CharField(max_length=32, default="rolling_drawdown")
    symbol = models.CharField(max_length=32, default="", blank=True)
    tripped_at_ms = models.BigIntegerField()
    until_ms = models.BigIntegerField()
    observed = models.BigIntegerField()
    reason = models.CharField(max_length=500)
    window_start_fill = models.BigIntegerField(default=0)
    audit_sequence = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["kind", "symbol", "-id"], name="breaker_trip_newest")]

    def __str__(self) -> str:
        return f"{self.kind} {self.symbol} at {self.observed}"
