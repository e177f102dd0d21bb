"""What bars does a file of klines hold? All of it is read and judged before anything is used.

Layouts: K11 (header, twelve columns of the exchange's dump without the last), K6 (header, six columns), K6t (the same
with `timestamp`), K12raw (the dump itself, no header). Plain, gzipped or in a zip of one file; times in milliseconds
or microseconds; numbers as plain or scientific decimals.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

from apps.engine.errors import DataError, InvalidInput
from apps.engine.quality import FAULT_TEXT, BarFault, schema_faults
from apps.engine.values import Bars
from apps.marketdata.exchange.decimals import parse_e8
from apps.marketdata.exchange.intervals import INTERVALS_MS, interval_ms

MICROSECONDS_FROM = 10**14
SIZE_LIMIT_BYTES = 1_000_000_000
_NAME = re.compile(r"([A-Z0-9]{3,20})-([0-9]+[smhdwM]o?)(?=[-._])")
_K6 = ["open_time", "open", "high", "low", "close", "volume"]
_K11 = [
    *(*_K6, "close_time", "quote_asset_volume", "number_of_trades"),
    *("taker_buy_base_volume", "taker_buy_quote_volume"),
]
_HEADERS = {tuple(_K11): "K11", tuple(_K6): "K6", ("timestamp", *_K6[1:]): "K6t"}
_WIDTH = {"K11": 11, "K6": 6, "K6t": 6, "K12raw": 12}


class KlinesFile(NamedTuple):
    """The bars of a file, each open time once. `n_repeated` rows said the same as the row before them."""

    path: Path
    symbol: str
    interval: str
    layout: str
    bars: Bars
    n_rows: int
    n_repeated: int
    n_missing: int


class _Row(NamedTuple):
    line: int
    values: tuple[int, ...]


def read_klines(path: Path, *, symbol: str = "", interval: str = "", now_ms: int) -> KlinesFile:
    """The bars of a file. Raises DataError naming file, line and reason when a single row cannot be used."""
    symbol, interval = _series_of(path, symbol, interval)
    length = interval_ms(interval)
    with _opened(path) as text:
        layout, rows = _rows(path, text, length)
    kept = _without_repeats(path, rows)
    table = np.array([row.values for row in kept], dtype=np.int64).reshape(-1, 7)
    bars = Bars(*(np.ascontiguousarray(table[:, column]) for column in range(7)))
    for fault in schema_faults(bars, interval_ms=length, now_ms=now_ms, slack_ms=0)[:1]:
        raise _refused(path, kept[fault.row].line, f"{FAULT_TEXT[fault.reason]} ({fault.reason})")
    span = (int(bars.open_time_ms[-1]) - int(bars.open_time_ms[0])) // length + 1
    return KlinesFile(path, symbol, interval, layout, bars, len(rows), len(rows) - len(kept), span - bars.n)


def _series_of(path: Path, symbol: str, interval: str) -> tuple[str, str]:
    found = _NAME.match(path.name)
    symbol = symbol or (found.group(1) if found else "")
    interval = interval or (found.group(2) if found else "")
    if not symbol or not interval:
        raise InvalidInput(f"{path.name}: the name does not tell symbol and interval; say --symbol and --interval")
    if interval not in INTERVALS_MS:
        raise InvalidInput(f"{path.name}: unknown interval {interval!r}; known: {', '.join(INTERVALS_MS)}")
    return symbol, interval


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    """The text of a file. What cannot be opened or unpacked is a DataError naming it."""
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive, archive.open(_only_member(path, archive)) as raw:
                yield io.TextIOWrapper(raw, encoding="ascii", newline="")
        elif path.suffix == ".gz":
            with gzip.open(path, "rt", encoding="ascii", newline="") as text:
                yield text
        else:
            with path.open(encoding="ascii", newline="") as text:
                yield text
    except (OSError, zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path.name}: cannot be read ({error})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name}: holds bytes that are not ASCII text ({error.reason})") from error


def _only_member(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [entry for entry in archive.infolist() if not entry.is_dir()]
    if len(members) != 1:
        raise DataError(f"{path.name}: holds {len(members)} files; a zip of klines holds one")
    if members[0].file_size > SIZE_LIMIT_BYTES:
        raise DataError(f"{path.name}: unpacks to more than {SIZE_LIMIT_BYTES} bytes")
    return members[0]


def _rows(path: Path, text: TextIO, length_ms: int) -> tuple[str, list[_Row]]:
    lines = csv.reader(text, strict=True)
    rows: list[_Row] = []
    layout = ""
    try:
        for cells in lines:
            if not layout:
                layout = _layout_of(path, cells)
                if layout != "K12raw":
                    continue
            rows.append(_Row(lines.line_num, _values(cells, _WIDTH[layout], length_ms)))
    except (DataError, csv.Error) as error:
        raise _refused(path, lines.line_num, str(error)) from error
    if not rows:
        raise DataError(f"{path.name}: holds no rows")
    return layout, rows


def _layout_of(path: Path, cells: list[str]) -> str:
    known = _HEADERS.get(tuple(cells))
    if known:
        return known
    if len(cells) == 12 and cells[0].isdecimal():
        return "K12raw"
    raise DataError(f"unknown layout; first line: {','.join(cells)[:120]!r}")


def _values(cells: list[str], width: int, length_ms: int) -> tuple[int, ...]:
    if len(cells) != width:
        raise DataError(f"{len(cells)} columns where {width} are expected")
    opened = _count(cells[0])
    per_ms = 1000 if opened >= MICROSECONDS_FROM else 1
    numbers = [parse_e8(text) for text in cells[1:6]]
    trades = 0
    if width > 6:
        # A close time before its usual place is how the last bar before a halt looks; one beyond it is nonsense.
        if not opened < _count(cells[6]) < opened + length_ms * per_ms:
            raise DataError(f"close time {cells[6]} does not belong to open time {cells[0]}")
        trades = _count(cells[8])
    if opened % per_ms:
        raise DataError(f"{FAULT_TEXT[BarFault.OFF_GRID]} ({BarFault.OFF_GRID})")
    return opened // per_ms, *numbers, trades


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise DataError(f"{text[:40]!r} is not a whole number")
    return int(text)


def _without_repeats(path: Path, rows: list[_Row]) -> list[_Row]:
    """Each open time once. A repeat that says something else is refused: nobody can tell which of the two is true."""
    first: dict[int, _Row] = {}
    for row in rows:
        earlier = first.setdefault(row.values[0], row)
        if earlier.values != row.values:
            what = f"open time {row.values[0]} of line {earlier.line} comes again with other values"
            raise _refused(path, row.line, f"{what} ({BarFault.DUPLICATE})")
    return list(first.values())


def _refused(path: Path, line: int, why: str) -> DataError:
    return DataError(f"{path.name}:{line}: {why}")
