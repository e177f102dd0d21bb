"""How does market data become rows? Bars once and for ever, the exchange's rules as revisions."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import F

from apps.engine.errors import DataError
from apps.engine.order_filters import OrderRules
from apps.engine.quality import FAULT_TEXT, schema_faults
from apps.engine.values import Bars, Filters
from apps.marketdata.exchange.intervals import interval_ms
from apps.marketdata.exchange.rules import SymbolRules
from apps.marketdata.models import Bar, BarSeries, FilterRevision, Symbol

INSERT_BATCH = 2_000
NO_ORDER_RULES = OrderRules()
_COLUMNS = ("symbol_id", "interval", *Bars._fields, "source", "late")


class StoreResult(NamedTuple):
    """What became of a block of bars. `conflicting` had another value stored already, which was kept."""

    inserted: int
    unchanged: int
    conflicting: int
    late: int
    conflicts: tuple[int, ...] = ()

    def plus(self, other: StoreResult) -> StoreResult:
        return StoreResult(
            self.inserted + other.inserted,
            self.unchanged + other.unchanged,
            self.conflicting + other.conflicting,
            self.late + other.late,
            self.conflicts + other.conflicts,
        )


NOTHING_STORED = StoreResult(0, 0, 0, 0)


@transaction.atomic
def bars_store(
    *, symbol: str, interval: str, bars: Bars, source: str, ts_ms: int, fold_watermark_ms: int | None = None
) -> StoreResult:
    """Insert the bars that are new; what is stored stays as it is, and differing values are counted and named.

    Raises DataError, and stores nothing, when one bar breaks a hard rule. A new bar that opens at or before
    `fold_watermark_ms`, the last folded bar, is stored as late.
    """
    if bars.n == 0:
        return NOTHING_STORED
    _refuse_faults(symbol, interval, bars, ts_ms)
    symbol_ensure(name=symbol)
    series = _series_lock(symbol, interval)
    known = _stored_rows(symbol, interval, int(bars.open_time_ms[0]), int(bars.open_time_ms[-1]))
    rows = [tuple(row) for row in zip(*(column.tolist() for column in bars), strict=True)]
    fresh = [row for row in rows if row[0] not in known]
    conflicts = tuple(row[0] for row in rows if row[0] in known and known[row[0]] != row)
    late = sum(_is_late(row[0], fold_watermark_ms) for row in fresh)
    if fresh:
        head = (symbol, interval)
        _insert([(*head, *row, source, _is_late(row[0], fold_watermark_ms)) for row in fresh])
        BarSeries.objects.filter(pk=series.pk).update(n_bars=F("n_bars") + len(fresh))
    return StoreResult(len(fresh), len(rows) - len(fresh) - len(conflicts), len(conflicts), late, conflicts)


def _series_lock(symbol: str, interval: str) -> BarSeries:
    """The series' row, held until the end of the transaction: who stores the same bars at once is counted once."""
    rows = BarSeries.objects.select_for_update()
    return rows.get_or_create(symbol_id=symbol, interval=interval, defaults={"key": uuid.uuid4().hex})[0]


def symbol_ensure(*, name: str) -> None:
    """A row for a symbol whose rules were never read, so that its bars can point at it."""
    base, quote = split_pair(name)
    Symbol.objects.get_or_create(name=name, defaults={"base_asset": base, "quote_asset": quote, "status": "UNKNOWN"})


@transaction.atomic
def symbols_store(*, rules: Iterable[SymbolRules], ts_ms: int) -> list[str]:
    """Write what the exchange says of its symbols; a change of filters is a new revision. Returns whose changed."""
    changed = []
    for rule in rules:
        fields: dict[str, Any] = {"base_asset": rule.base_asset, "quote_asset": rule.quote_asset, "status": rule.status}
        fields["checked_ts_ms"] = ts_ms
        Symbol.objects.update_or_create(name=rule.symbol, defaults=fields)
        newest = FilterRevision.objects.filter(symbol_id=rule.symbol).order_by("-revision").first()
        number = newest.revision if newest else 0
        said = (rule.filters._replace(revision=number), rule.orders, rule.others)
        if newest is None or (newest.as_filters(), newest.as_order_rules(), newest.others) != said:
            values = {**rule.filters._replace(revision=number + 1)._asdict(), **rule.orders._asdict()}
            FilterRevision.objects.create(
                symbol_id=rule.symbol, ts_ms=ts_ms, raw=rule.raw, others=rule.others, **values
            )
            changed.append(rule.symbol)
    return changed


def filters_record(
    *,
    symbol: str,
    filters: Filters,
    ts_ms: int,
    base_asset: str = "",
    quote_asset: str = "",
    orders: OrderRules = NO_ORDER_RULES,
) -> None:
    """Write rules that did not come from an exchange, for example of a test. The same as symbols_store for one."""
    base, quote = split_pair(symbol)
    rule = SymbolRules(symbol, base_asset or base, quote_asset or quote, "TRADING", filters, "[]", orders)
    symbols_store(rules=[rule], ts_ms=ts_ms)


def split_pair(name: str) -> tuple[str, str]:
    """Base and quote by the usual quote assets; the whole name and "" when none fits."""
    for quote in ("FDUSD", "USDT", "USDC", "TUSD", "BUSD", "BTC", "ETH", "BNB", "EUR", "TRY"):
        if name.endswith(quote) and len(name) > len(quote):
            return name[: -len(quote)], quote
    return name, ""


def _refuse_faults(symbol: str, interval: str, bars: Bars, ts_ms: int) -> None:
    faults = schema_faults(bars, interval_ms=interval_ms(interval), now_ms=ts_ms)
    if faults:
        first = faults[0]
        opened = int(bars.open_time_ms[first.row])
        what = f"{FAULT_TEXT[first.reason]} ({first.reason})"
        raise DataError(f"{symbol} {interval} bar opening at {opened}: {what}; {len(faults)} of {bars.n} refused")


def _stored_rows(symbol: str, interval: str, first_ms: int, last_ms: int) -> dict[int, tuple[int, ...]]:
    rows = Bar.objects.filter(symbol_id=symbol, interval=interval, open_time_ms__range=(first_ms, last_ms))
    return {row[0]: row for row in rows.values_list(*Bars._fields)}


def _is_late(open_time_ms: int, fold_watermark_ms: int | None) -> bool:
    return fold_watermark_ms is not None and open_time_ms <= fold_watermark_ms


def _insert(rows: Sequence[tuple[int | str, ...]]) -> None:
    # Raw SQL: an INSERT of model instances costs ten times as much, and bars come by the hundred thousand.
    columns = ", ".join(connection.ops.quote_name(name) for name in _COLUMNS)
    places = ", ".join(["%s"] * len(_COLUMNS))
    table = connection.ops.quote_name(Bar._meta.db_table)
    sql = f"INSERT INTO {table} ({columns}) VALUES ({places}) ON CONFLICT DO NOTHING"
    with connection.cursor() as cursor:
        for start in range(0, len(rows), INSERT_BATCH):
            cursor.executemany(sql, rows[start : start + INSERT_BATCH])
