"""What research has found: backtests, which are never changed once they are written."""

from __future__ import annotations

from django.db import models


class BacktestRun(models.Model):
    """One backtest. `run_id` follows from inputs, code and result, so the same run is one row.

    `parameters` is all that was asked and held, `data` what was traded on and left out, `figures` what came of it;
    `columns` are the long arrays, packed (see columns.py). Times are market time save `created_ts_ms`.
    """

    run_id = models.CharField(max_length=32, primary_key=True)
    symbol = models.CharField(max_length=32)
    interval = models.CharField(max_length=4)
    first_ms = models.BigIntegerField()
    end_ms = models.BigIntegerField()
    policy = models.CharField(max_length=64)
    fills = models.CharField(max_length=16)
    inputs_hash = models.CharField(max_length=64)
    result_hash = models.CharField(max_length=64)
    engine_hash = models.CharField(max_length=16)
    code_version = models.CharField(max_length=64)
    parameters = models.JSONField()
    data = models.JSONField()
    figures = models.JSONField()
    columns = models.BinaryField()
    created_ts_ms = models.BigIntegerField()

    class Meta:
        indexes = [
            models.Index(fields=["inputs_hash", "code_version"], name="backtest_by_inputs"),
            models.Index(fields=["-created_ts_ms"], name="backtest_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.run_id} {self.symbol} {self.interval} {self.policy}"


class Study(models.Model):
    """A walk-forward study as it was announced: what will be evaluated and how often, before anything is."""

    study_id = models.CharField(max_length=32, primary_key=True)
    policy = models.CharField(max_length=64)
    trials = models.BigIntegerField()
    inputs_hash = models.CharField(max_length=64)
    code_version = models.CharField(max_length=64)
    parameters = models.JSONField()
    data = models.JSONField()
    created_ts_ms = models.BigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["policy"], name="study_by_policy")]

    def __str__(self) -> str:
        return f"{self.study_id} {self.policy}"


class StudyResult(models.Model):
    """What came of a study: every evaluation, and the table of folds."""

    study = models.OneToOneField(Study, on_delete=models.PROTECT, primary_key=True)
    result_hash = models.CharField(max_length=64)
    evaluations = models.JSONField()
    result = models.JSONField()
    created_ts_ms = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.study_id} {self.result_hash[:12]}"
