"""The paper book: account epochs, positions, orders, fills, and one execution record per decision.

Money and quantities are int64 counts of 1e-8. Rows of orders, fills and executions are never changed after their
transaction, save the fields that say how an open order goes on.
"""

from __future__ import annotations

from django.db import models


class Account(models.Model):
    """One epoch of the paper account; a reset starts the next one. The newest epoch is the current one."""

    epoch = models.BigIntegerField(primary_key=True)
    started_ts_ms = models.BigIntegerField()
    reason = models.CharField(max_length=200)
    initial_cash_e8 = models.BigIntegerField()
    cash_e8 = models.BigIntegerField()
    fees_e8 = models.BigIntegerField(default=0)
    breaker_until_ms = models.BigIntegerField(default=0)
    window_start_order = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(cash_e8__gte=0), name="cash_not_negative")]


class Position(models.Model):
    """What is held of one symbol in one epoch. `last_signal` is the signal of the last order the router sent."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="positions")
    symbol = models.CharField(max_length=32)
    quantity_e8 = models.BigIntegerField(default=0)
    cost_e8 = models.BigIntegerField(default=0)
    realized_e8 = models.BigIntegerField(default=0)
    fees_e8 = models.BigIntegerField(default=0)
    last_signal = models.FloatField(default=0.0)
    updated_ts_ms = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "symbol"], name="one_position_per_symbol")]


class Execution(models.Model):
    """One decision: trade, no trade or refusal. `answer` is the byte-exact record that the API gives."""

    execution_id = models.CharField(max_length=40, primary_key=True)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="executions")
    symbol = models.CharField(max_length=32)
    source = models.CharField(max_length=8)
    bar_open_ms = models.BigIntegerField()
    attempt = models.BigIntegerField()
    status = models.CharField(max_length=8)
    reason = models.CharField(max_length=32, null=True)
    policy_id = models.CharField(max_length=64, null=True)
    ts_ms = models.BigIntegerField()
    answer = models.BinaryField()
    audit_id = models.CharField(max_length=40)
    audit_sequence = models.BigIntegerField(unique=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["symbol", "bar_open_ms", "attempt"], name="one_decision_per_attempt")
        ]
        indexes = [models.Index(fields=["ts_ms"]), models.Index(fields=["symbol", "ts_ms"])]


class Order(models.Model):
    """An intent that passed the gate and was sent to the paper matcher. The id follows from its decision.

    `number` counts all orders; `equity_after_e8` is the account's equity after the decision that sent it.
    """

    number = models.BigIntegerField(unique=True)
    order_id = models.CharField(max_length=40, primary_key=True)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="orders")
    execution = models.ForeignKey(Execution, on_delete=models.PROTECT, related_name="orders")
    client_order_id = models.CharField(max_length=64, unique=True)
    symbol = models.CharField(max_length=32)
    side = models.CharField(max_length=4)
    type = models.CharField(max_length=20)
    time_in_force = models.CharField(max_length=4)
    quantity_e8 = models.BigIntegerField()
    filled_e8 = models.BigIntegerField()
    status = models.CharField(max_length=20)
    reason = models.CharField(max_length=32, null=True)
    decided_ts_ms = models.BigIntegerField()
    arrived_ts_ms = models.BigIntegerField()
    equity_after_e8 = models.BigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["symbol", "decided_ts_ms"]), models.Index(fields=["status"])]


class Fill(models.Model):
    """One execution of an order at one price level."""

    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="fills")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="fills")
    symbol = models.CharField(max_length=32)
    side = models.CharField(max_length=4)
    price_e8 = models.BigIntegerField()
    quantity_e8 = models.BigIntegerField()
    notional_e8 = models.BigIntegerField()
    fee_e8 = models.BigIntegerField()
    ts_ms = models.BigIntegerField()


class IdempotencyKey(models.Model):
    """The first answer given to a key, byte for byte, written in the transaction of its decision."""

    scope = models.CharField(max_length=40)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    status = models.IntegerField()
    answer = models.BinaryField()
    ts_ms = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["scope", "key"], name="one_answer_per_key")]


class EquityPoint(models.Model):
    """Equity of the account and of buy-and-hold when a bar closed."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="equity_points")
    ts_ms = models.BigIntegerField()
    equity_e8 = models.BigIntegerField()
    cash_e8 = models.BigIntegerField()
    exposure_e8 = models.BigIntegerField()
    buy_and_hold_e8 = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "ts_ms"], name="one_equity_point_per_bar")]


class Benchmark(models.Model):
    """The buy-and-hold portfolio of an epoch: equal parts of the initial cash at each symbol's first mark."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="benchmark")
    symbol = models.CharField(max_length=32)
    price_e8 = models.BigIntegerField()
    cash_e8 = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "symbol"], name="one_benchmark_per_symbol")]
