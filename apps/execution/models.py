"""The paper book: account epochs, positions, orders, fills, and one execution record per decision.

Money and quantities are int64 counts of 1e-8. Rows of orders, fills and executions are never changed after their
transaction, save the fields that say how an open order goes on.

An epoch has no index of its own where one would name most rows of a table: a decision would pay for it with a page more
to write, and SQLite, which knows no statistics, would walk the whole epoch by it instead of the few rows that matter.
"""

from __future__ import annotations

from django.db import models


class Account(models.Model):
    """One epoch of the paper account; a reset starts the next one. The newest epoch is the current one.

    `day_*`, `peak_e8` and the latches are what the breakers keep (engine/breakers.py). `hard_latch_sequence` is the
    audit record that latched the hard breaker: a later change of the desk's trading state by a person releases it.
    """

    epoch = models.BigIntegerField(primary_key=True)
    started_ts_ms = models.BigIntegerField()
    reason = models.CharField(max_length=200)
    initial_cash_e8 = models.BigIntegerField()
    cash_e8 = models.BigIntegerField()
    fees_e8 = models.BigIntegerField(default=0)
    breaker_until_ms = models.BigIntegerField(default=0)
    window_start_order = models.BigIntegerField(default=0)
    day_index = models.BigIntegerField(default=0)
    day_start_e8 = models.BigIntegerField(default=0)
    is_day_latched = models.BooleanField(default=False)
    peak_e8 = models.BigIntegerField(default=0)
    hard_latch_sequence = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(cash_e8__gte=0), name="cash_not_negative")]


class Position(models.Model):
    """What is held of one symbol in one epoch. `last_signal` is the signal of the last order the router sent.

    `trip_*` are the open round trip (engine/trips.py); `repeat_latch_sequence` is the audit record that latched the
    repeated-orders guard, released by a later change of the symbol's or the desk's trading state.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="positions", db_index=False)
    symbol = models.CharField(max_length=32)
    quantity_e8 = models.BigIntegerField(default=0)
    cost_e8 = models.BigIntegerField(default=0)
    realized_e8 = models.BigIntegerField(default=0)
    fees_e8 = models.BigIntegerField(default=0)
    last_signal = models.FloatField(default=0.0)
    updated_ts_ms = models.BigIntegerField(default=0)
    trip_cash_e8 = models.BigIntegerField(default=0)
    trip_entry_e8 = models.BigIntegerField(default=0)
    trip_exit_ms = models.BigIntegerField(default=0)
    repeat_latch_sequence = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "symbol"], name="one_position_per_symbol")]


class ClosedTrade(models.Model):
    """A round trip from flat to flat, as the protections judge it."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="closed_trades")
    symbol = models.CharField(max_length=32)
    profit_bps = models.BigIntegerField()
    is_stop = models.BooleanField()
    ts_ms = models.BigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["symbol", "ts_ms"], name="closed_trade_by_symbol")]


class Execution(models.Model):
    """One decision: trade, no trade or refusal. `answer` is the byte-exact record that the API gives."""

    execution_id = models.CharField(max_length=40, primary_key=True)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="executions", db_index=False)
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

    `number` counts all orders; `equity_after_e8` is the account's equity after the decision that sent it. While the
    order is open, `state` is its engine value (order_values.OpenOrder); a closed order keeps its last one. `origin` is
    router, person, flatten or protective; `list_id` joins the legs of an OCO. `prepared_ts_ms` is when it was asked
    for, `decided_ts_ms` when it was accepted, `arrived_ts_ms` the time of the first book it met.
    """

    number = models.BigIntegerField(unique=True)
    order_id = models.CharField(max_length=40, primary_key=True)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="orders", db_index=False)
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
    origin = models.CharField(max_length=12, default="router")
    list_id = models.CharField(max_length=40, default="", blank=True)
    price_e8 = models.BigIntegerField(null=True)
    stop_price_e8 = models.BigIntegerField(null=True)
    trailing_bps = models.BigIntegerField(null=True)
    is_open = models.BooleanField(default=False)
    state = models.JSONField(null=True)
    filter_revision = models.BigIntegerField(default=0)
    prepared_ts_ms = models.BigIntegerField(default=0)
    updated_ts_ms = models.BigIntegerField(default=0)
    decided_ts_ms = models.BigIntegerField()
    arrived_ts_ms = models.BigIntegerField()
    equity_after_e8 = models.BigIntegerField()

    class Meta:
        indexes = [
            models.Index(fields=["symbol", "decided_ts_ms"]),
            models.Index(fields=["status"]),
            models.Index(fields=["symbol"], condition=models.Q(is_open=True), name="open_order_by_symbol"),
        ]


class Fill(models.Model):
    """One execution of an order at one price level. `rule` says how it came about (docs/fills.md); `trade_id` is the
    market's trade behind it, null on the book; `audit_id` is the record of the event. `fee_e8` counts 1e-8 of
    `fee_asset`, quote or base."""

    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="fills")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="fills")
    symbol = models.CharField(max_length=32)
    side = models.CharField(max_length=4)
    price_e8 = models.BigIntegerField()
    quantity_e8 = models.BigIntegerField()
    notional_e8 = models.BigIntegerField()
    fee_e8 = models.BigIntegerField()
    fee_asset = models.CharField(max_length=5, default="quote")
    is_maker = models.BooleanField(default=False)
    rule = models.CharField(max_length=8, default="depth")
    trade_id = models.BigIntegerField(null=True)
    audit_id = models.CharField(max_length=40, default="")
    ts_ms = models.BigIntegerField()


class MatchState(models.Model):
    """What a symbol's matching must remember besides its open orders: the displayed depth we have taken, and the last
    trade that was matched."""

    symbol = models.CharField(max_length=32, primary_key=True)
    taken = models.JSONField()
    filter_revision = models.BigIntegerField()
    last_trade_id = models.BigIntegerField(default=-1)
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


class Lease(models.Model):
    """Who may act on its own now (execution/lease.py). `holder` names one process; "" when it let go.

    `expires_ms` is wall time of the one clock that all who ask share.
    """

    name = models.CharField(max_length=32, primary_key=True)
    holder = models.CharField(max_length=120)
    expires_ms = models.BigIntegerField()


class Reconciliation(models.Model):
    """What the last comparison of the book with its fills found; one row per epoch.

    `differences` lists [figure, stored, from fills], counts of 1e-8 as text.
    """

    account = models.OneToOneField(Account, on_delete=models.PROTECT, primary_key=True)
    ts_ms = models.BigIntegerField()
    fills = models.BigIntegerField()
    differences = models.JSONField()
