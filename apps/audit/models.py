"""The audit log's rows: records and snapshots that only grow, their head, and the current value of every control."""

from __future__ import annotations

from django.db import models


class AuditRecord(models.Model):
    """One decision or control change. `body` is the truth; every other column is a projection or a hash of it."""

    sequence = models.BigIntegerField(primary_key=True)
    audit_id = models.CharField(max_length=24, unique=True)
    kind = models.CharField(max_length=48)
    symbol = models.CharField(max_length=32)
    ts_ms = models.BigIntegerField()
    actor = models.CharField(max_length=128)
    body = models.BinaryField()
    inputs_hash = models.CharField(max_length=64)
    content_hash = models.CharField(max_length=64)
    previous_hash = models.CharField(max_length=64)
    record_hash = models.CharField(max_length=64)

    class Meta:
        ordering = ["-sequence"]
        indexes = [
            models.Index(fields=["kind", "sequence"], name="audit_by_kind"),
            models.Index(fields=["symbol", "sequence"], name="audit_by_symbol"),
        ]

    def __str__(self) -> str:
        return f"{self.sequence} {self.kind} {self.audit_id}"


class Snapshot(models.Model):
    """A large input that records name by its hash, stored once and compressed."""

    hash = models.CharField(max_length=64, primary_key=True)
    body = models.BinaryField()

    def __str__(self) -> str:
        return self.hash


class AuditHead(models.Model):
    """The one row that every append locks: the last sequence and its chained hash."""

    sequence = models.BigIntegerField()
    record_hash = models.CharField(max_length=64)

    def __str__(self) -> str:
        return f"{self.sequence} {self.record_hash[:12]}"


class ControlCurrent(models.Model):
    """The present value of one control, as canonical JSON, and the record that set it."""

    key = models.CharField(max_length=96, primary_key=True)
    value = models.TextField()
    sequence = models.BigIntegerField()
    ts_ms = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.key} = {self.value}"


class VerifiedCheckpoint(models.Model):
    """Up to here the log was walked and found intact; `controls` is what the records had set by then."""

    sequence = models.BigIntegerField(primary_key=True)
    record_hash = models.CharField(max_length=64)
    controls = models.TextField()

    class Meta:
        ordering = ["-sequence"]

    def __str__(self) -> str:
        return f"{self.sequence} {self.record_hash[:12]}"
