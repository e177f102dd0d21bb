"""What does the desk know of the market's past? Symbols, filters and stored bars, as plain values."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import Max, Min, Q, QuerySet

from apps.audit import statements
from apps.engine.errors import UnknownName
from apps.engine.order_filters import OrderRules
from apps.engine.values import E8, Bars, Filters
from apps.marketdata.columns import columns_load
from apps.marketdata.exchange.intervals import interval_ms
from apps.marketdata.grid import Stretch, stretches_missing
from apps.marketdata.models import Bar, FilterRevision, Quarantine, Symbol
from apps.web.values import iso_ms

BAR_COLUMNS = Bars._fields
# Every decision reads this one: its text is ready, where the ORM would compose two statements anew.
_WATCH_LIST = (
    "SELECT s.name, s.base_asset, s.quote_asset, s.status, s.checked_ts_ms, "
    + ", ".join(f"r.{name}" for name in Filters._fields)
    + " FROM marketdata_symbol s JOIN marketdata_filterrevision r ON r.symbol_id = s.name WHERE s.name IN ({}) "
    "AND r.revision = (SELECT MAX(n.revision) FROM marketdata_filterrevision n WHERE n.symbol_id = s.name)"
)


_ORDER_RULES = (
    f"SELECT {', '.join(OrderRules._fields)} FROM marketdata_filterrevision WHERE symbol_id = %s AND revision = %s"
)


class SymbolInfo(NamedTuple):
    """A symbol of the watch list with the filters in force, which the exchange last stated at `checked_ts_ms`."""

    symbol: str
    base_asset: str
    quote_asset: str
    status: str
    filters: Filters
    checked_ts_ms: int


def watch_list() -> list[SymbolInfo]:
    """The symbols of the setting SYMBOLS whose filters are known, in its order."""
    names = settings.SYMBOLS
    rows = statements.rows(_watch_list_sql(len(names)), names, using=DEFAULT_DB_ALIAS)
    found = {row[0]: _symbol_info(row) for row in rows}
    return [found[name] for name in names if name in found]


@cache
def _watch_list_sql(n_symbols: int) -> str:
    return _WATCH_LIST.format(", ".join(["%s"] * n_symbols))


@lru_cache(maxsize=1024)
def _symbol_info(row: tuple[Any, ...]) -> SymbolInfo:
    return SymbolInfo(row[0], row[1], row[2], row[3], Filters(*row[5:]), row[4])


def is_known(symbol: str) -> bool:
    """Whether there is a row for the symbol."""
    return Symbol.objects.filter(name=symbol).exists()


def filters_current(symbol: str) -> Filters:
    """The rules in force for a symbol. Raises UnknownName when the exchange's rules for it were never read."""
    revisions = _newest_revisions([symbol])
    if not revisions:
        raise UnknownName(f"no filters are known for {symbol!r}", field="symbol")
    return revisions[0].as_filters()


def filters_checked_ms(symbol: str) -> int:
    """When the exchange last stated the rules of a symbol; 0 when it never did."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT checked_ts_ms FROM marketdata_symbol WHERE name = %s", (symbol,))
        row = cursor.fetchone()
    return row[0] if row else 0


def filters_at(symbol: str, revision: int) -> Filters:
    """The rules of one revision, as rows name it. Raises UnknownName when there is none."""
    row = FilterRevision.objects.filter(symbol_id=symbol, revision=revision).first()
    if row is None:
        raise UnknownName(f"{symbol!r} has no filter revision {revision}", field="symbol")
    return row.as_filters()


def order_rules_at(symbol: str, revision: int) -> OrderRules:
    """The rules of one revision for orders with a price or a trigger. Raises UnknownName when there is none."""
    with connection.cursor() as cursor:
        cursor.execute(_ORDER_RULES, (symbol, revision))
        row = cursor.fetchone()
    if row is None:
        raise UnknownName(f"{symbol!r} has no filter revision {revision}", field="symbol")
    return OrderRules(*map(int, row))


def order_rules_current(symbol: str) -> OrderRules:
    """The rules in force for orders with a price or a trigger. Raises UnknownName when they were never read."""
    return order_rules_at(symbol, filters_current(symbol).revision)


class PublishedRules(NamedTuple):
    """What the exchange publishes for a symbol besides `Filters`; `others` names the filters nobody enforces."""

    orders: OrderRules
    others: tuple[str, ...]


def published_rules() -> dict[str, PublishedRules]:
    """The rules in force of every symbol of the watch list that has any."""
    rows = _newest_revisions(settings.SYMBOLS)
    return {row.symbol_id: PublishedRules(row.as_order_rules(), row.other_names()) for row in rows}


def bars_load(
    symbol: str,
    interval: str,
    *,
    start_ms: int | None = None,
    end_ms: int | None = None,
    limit: int | None = None,
    folded_only: bool = True,
) -> Bars:
    """Stored bars with start_ms <= open < end_ms, oldest first; `limit` keeps the newest n."""
    if limit is None:
        columns = columns_load(symbol, interval, start_ms=start_ms, end_ms=end_ms, folded_only=folded_only)
        if columns is not None:
            return columns
    query = _bars_query(symbol, interval, start_ms, end_ms)
    rows = query.filter(late=False) if folded_only else query
    if limit is not None:
        newest = list(rows.order_by("-open_time_ms").values_list(*BAR_COLUMNS)[:limit])
        return bars_from_rows(reversed(newest))
    return bars_from_rows(rows.order_by("open_time_ms").values_list(*BAR_COLUMNS).iterator(chunk_size=10_000))


def bar_last(symbol: str, interval: str) -> int | None:
    """Open time of the newest stored bar, None when there is none."""
    newest: int | None = _bars_query(symbol, interval, None, None).aggregate(newest=Max("open_time_ms"))["newest"]
    return newest


def bar_first(symbol: str, interval: str) -> int | None:
    """Open time of the oldest stored bar, None when there is none."""
    oldest: int | None = _bars_query(symbol, interval, None, None).aggregate(oldest=Min("open_time_ms"))["oldest"]
    return oldest


def bars_count(symbol: str, interval: str, *, start_ms: int | None = None, end_ms: int | None = None) -> int:
    """How many bars are stored with start_ms <= open < end_ms."""
    return _bars_query(symbol, interval, start_ms, end_ms).count()


def bar_sources(symbol: str, interval: str) -> set[str]:
    """Where the stored bars of a series came from."""
    return set(_bars_query(symbol, interval, None, None).order_by().values_list("source", flat=True).distinct())


def newest_close_ms(interval: str) -> dict[str, int]:
    """Per symbol of the watch list, when the newest stored bar closed."""
    length = interval_ms(interval)
    # One seek per symbol: a grouped maximum would walk the whole index at every health check.
    newest = {symbol: bar_last(symbol, interval) for symbol in settings.SYMBOLS}
    return {symbol: opened + length for symbol, opened in newest.items() if opened is not None}


def ohlcv(
    symbol: str, interval: str, *, limit: int, start_ms: int | None = None, end_ms: int | None = None
) -> list[dict[str, Any]]:
    """Bars as an analyst plots them, oldest first: the newest `limit`, or from `start_ms` on the oldest `limit`."""
    length = interval_ms(interval)
    rows = _bars_query(symbol, interval, start_ms, end_ms).values_list(*BAR_COLUMNS)
    if start_ms is not None:
        chosen = list(rows.order_by("open_time_ms")[:limit])
    else:
        chosen = list(rows.order_by("-open_time_ms")[:limit])[::-1]
    return [_candle(row, length) for row in chosen]


class Held(NamedTuple):
    """A candle of a window that was not believed, and what became of it."""

    open_time_ms: int
    reason: str
    status: str


class BacktestBars(NamedTuple):
    """Bars for a backtest, and what it must say that it touched: missing stretches, and candles once not believed."""

    bars: Bars
    gaps: tuple[Stretch, ...]
    quarantined: tuple[Held, ...]


def bars_for_backtest(symbol: str, interval: str, start_ms: int, end_ms: int) -> BacktestBars:
    """Every accepted bar with start_ms <= open < end_ms, also those that came too late for the live fold."""
    return BacktestBars(
        bars_load(symbol, interval, start_ms=start_ms, end_ms=end_ms, folded_only=False),
        tuple(stretches_missing(symbol, interval, start_ms, end_ms)),
        tuple(quarantine_between(symbol, interval, start_ms, end_ms)),
    )


def quarantine_between(symbol: str, interval: str, start_ms: int, end_ms: int) -> list[Held]:
    """The candles with start_ms <= open < end_ms that were not believed, oldest first."""
    rows = Quarantine.objects.filter(
        symbol_id=symbol, interval=interval, open_time_ms__gte=start_ms, open_time_ms__lt=end_ms
    )
    return [Held(*row) for row in rows.order_by("open_time_ms", "id").values_list(*Held._fields)]


def bars_from_rows(rows: Iterable[tuple[int, ...]]) -> Bars:
    """The block of bars in rows of (open time, open, high, low, close, volume, trades)."""
    table = np.array(list(rows), dtype=np.int64).reshape(-1, len(BAR_COLUMNS))
    return Bars(*(np.ascontiguousarray(table[:, column]) for column in range(len(BAR_COLUMNS))))


def _bars_query(symbol: str, interval: str, start_ms: int | None, end_ms: int | None) -> QuerySet[Bar]:
    window = Q(symbol_id=symbol, interval=interval)
    if start_ms is not None:
        window &= Q(open_time_ms__gte=start_ms)
    if end_ms is not None:
        window &= Q(open_time_ms__lt=end_ms)
    return Bar.objects.filter(window)


def _newest_revisions(symbols: Iterable[str]) -> list[FilterRevision]:
    rows = FilterRevision.objects.filter(symbol_id__in=list(symbols)).order_by("symbol_id", "revision")
    return list({row.symbol_id: row for row in rows}.values())


def _candle(row: tuple[int, ...], length_ms: int) -> dict[str, Any]:
    opened, first, high, low, last, volume, trades = row
    return {
        "open_time": iso_ms(opened),
        "open": first / E8,
        "high": high / E8,
        "low": low / E8,
        "close": last / E8,
        "volume": volume / E8,
        "close_time": iso_ms(opened + length_ms - 1),
        "trades": trades,
    }
