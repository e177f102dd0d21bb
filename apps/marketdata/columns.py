"""How is a long history loaded at once? From a copy of its rows in columns, one file per symbol and interval.

The rows stay the truth. A file tells in its header of which series it is and how many bars it holds; it is used when
they and the rows that open after its last bar are all there is, and written anew otherwise. Its hash is made when it is
written and checked once per process: a damaged file is written anew too.

Layout: MAGIC, the header as JSON padded to HEADER_BYTES, the int64 columns of `Bars` one after the other, then one
byte per bar that is 1 where it came too late to be folded. Little endian.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import uuid
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from django.conf import settings
from django.db import connection

from apps.engine.values import Bars, IntArray1d
from apps.marketdata.exchange.intervals import interval_ms
from apps.marketdata.models import Bar, BarSeries

MAGIC = b"TDBARS1\n"
HEADER_BYTES = 1_024
MIN_BARS = 20_000  # below that the rows are as quick
TAIL_BARS = 20_000  # more rows than that after the last bar of a file are worth writing it anew
_FETCH_ROWS = 50_000
_INT_COLUMNS = len(Bars._fields)

log = logging.getLogger(__name__)
_checked: dict[Path, tuple[int, int, int]] = {}  # file -> what told it apart when its hash was found right


class _Columns(NamedTuple):
    """Rows of a series in columns; `late` is 1 where a bar came too late to be folded."""

    bars: Bars
    late: Any

    @property
    def last_ms(self) -> int:
        return int(self.bars.open_time_ms[-1]) if self.bars.n else -1


def columns_load(
    symbol: str, interval: str, *, start_ms: int | None, end_ms: int | None, folded_only: bool
) -> Bars | None:
    """The stored bars with start_ms <= open < end_ms, the same as from the rows; None where rows are as quick.

    None too inside a transaction: it may see rows that are never committed.
    """
    if connection.in_atomic_block or _is_short(interval, start_ms, end_ms):
        return None
    series = _series(symbol, interval)
    if series is None or series.n_bars < MIN_BARS:
        return None
    found = _read(series)
    tail = _tail(series, found) if found is not None else None
    parts = [_write(series)] if found is None or tail is None else [found, tail]
    return _span(parts, start_ms, end_ms, folded_only)


def _series(symbol: str, interval: str) -> BarSeries | None:
    return BarSeries.objects.filter(symbol_id=symbol, interval=interval).first()


def _tail(series: BarSeries, found: _Columns) -> _Columns | None:
    """The rows after the last bar of the file; None when a bar came to lie before it, or they are too many.

    The count is read again afterwards: a bar stored between two statements would hide one that is missing.
    """
    while True:
        tail = _rows(series, found.last_ms)
        again = _series(series.symbol_id, series.interval)
        if again is None or again.n_bars == series.n_bars:
            break
        series = again
    is_whole = found.bars.n + tail.bars.n == series.n_bars
    return tail if is_whole and tail.bars.n <= TAIL_BARS else None


def columns_path(series: BarSeries) -> Path:
    """The file of a series; its key is in the name, so that another database of that name has another."""
    return Path(settings.VAR_DIR) / "bars" / f"{series.symbol_id}-{series.interval}-{series.key}.cols"


def _is_short(interval: str, start_ms: int | None, end_ms: int | None) -> bool:
    is_bounded = start_ms is not None and end_ms is not None
    return is_bounded and (end_ms or 0) - (start_ms or 0) < MIN_BARS * interval_ms(interval)


def _read(series: BarSeries) -> _Columns | None:
    """What the file holds; None when there is none, or it is not what its header says."""
    path = columns_path(series)
    try:
        with path.open("rb") as file:
            head = file.read(HEADER_BYTES)
            if head[: len(MAGIC)] != MAGIC:
                raise ValueError("it does not begin as such a file does")
            header = json.loads(head[len(MAGIC) :])
            n = int(header["bars"])
            if header["key"] != series.key or os.fstat(file.fileno()).st_size != _size(n):
                raise ValueError("its size is not that of its bars")
            body = np.fromfile(file, np.uint8)
            _check_once(path, os.fstat(file.fileno()), body, header["sha256"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as error:
        log.warning("bars are read from the rows: %s cannot be used: %s", path.name, error)
        return None
    ints = body[: n * 8 * _INT_COLUMNS].view(np.int64).reshape(_INT_COLUMNS, n)
    return _Columns(Bars(*ints), body[n * 8 * _INT_COLUMNS :])


def _check_once(path: Path, status: os.stat_result, body: Any, sha256: str) -> None:
    identity = (status.st_ino, status.st_mtime_ns, status.st_size)
    if _checked.get(path) != identity:
        if hashlib.sha256(body).hexdigest() != sha256:
            raise ValueError("its hash is not that of its bars")
        _checked[path] = identity


def _size(n: int) -> int:
    return HEADER_BYTES + n * (8 * _INT_COLUMNS + 1)


def _rows(series: BarSeries, after_ms: int) -> _Columns:
    """The rows that open after a time, in order."""
    names = ", ".join(connection.ops.quote_name(name) for name in (*Bars._fields, "late"))
    table = connection.ops.quote_name(Bar._meta.db_table)
    sql = (
        f"SELECT {names} FROM {table} WHERE symbol_id = %s AND {connection.ops.quote_name('interval')} = %s "
        "AND open_time_ms > %s ORDER BY open_time_ms"
    )
    blocks = [np.zeros((0, _INT_COLUMNS + 1), np.int64)]
    with connection.cursor() as cursor:
        cursor.execute(sql, (series.symbol_id, series.interval, after_ms))
        while rows := cursor.fetchmany(_FETCH_ROWS):
            blocks.append(np.array(rows, np.int64))
            if len(blocks) % 10 == 0:
                log.info("%s %s: %s rows read", series.symbol_id, series.interval, sum(len(block) for block in blocks))
    table_2d = np.concatenate(blocks)
    columns = [np.ascontiguousarray(table_2d[:, column]) for column in range(_INT_COLUMNS)]
    return _Columns(Bars(*columns), table_2d[:, _INT_COLUMNS].astype(np.uint8))


def _write(series: BarSeries) -> _Columns:
    """Read all rows and put them in place of the file. Whoever reads meanwhile has the old file or the new one."""
    columns = _rows(series, -1)
    try:
        columns_path(series).parent.mkdir(parents=True, exist_ok=True)
        _put(series, columns)
    except OSError as error:
        log.warning("bars of %s are read from the rows each time: %s", series.symbol_id, error)
    return columns


def _put(series: BarSeries, columns: _Columns) -> None:
    digest = hashlib.sha256()
    for column in (*columns.bars, columns.late):
        digest.update(column.tobytes())
    header = {"key": series.key, "symbol": series.symbol_id, "interval": series.interval, "bars": columns.bars.n}
    text = json.dumps({**header, "last_ms": columns.last_ms, "sha256": digest.hexdigest()}).encode()
    path = columns_path(series)
    draft = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        with draft.open("wb") as file:
            file.write((MAGIC + text).ljust(HEADER_BYTES))
            for column in (*columns.bars, columns.late):
                column.tofile(file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def _span(parts: list[_Columns], start_ms: int | None, end_ms: int | None, folded_only: bool) -> Bars:
    cut = [_cut(part, start_ms, end_ms, folded_only) for part in parts]
    if len(cut) == 1 or cut[1].n == 0:
        return cut[0]
    return Bars(*(np.concatenate(columns) for columns in zip(*cut, strict=True)))


def _cut(part: _Columns, start_ms: int | None, end_ms: int | None, folded_only: bool) -> Bars:
    opened: IntArray1d = part.bars.open_time_ms
    first = 0 if start_ms is None else int(np.searchsorted(opened, start_ms))
    last = part.bars.n if end_ms is None else int(np.searchsorted(opened, end_ms))
    bars = Bars(*(column[first:last] for column in part.bars))
    late = part.late[first:last]
    if folded_only and late.any():
        return Bars(*(column[late == 0] for column in bars))
    return bars
