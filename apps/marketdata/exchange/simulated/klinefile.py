"""Which bars does a recorded file hold? Reads the layouts in use: csv, csv.gz, zip; with and without a header."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path as FilePath
from typing import NamedTuple

import numpy as np

from apps.engine.errors import DataError
from apps.marketdata.exchange.decimals import parse_e8
from apps.marketdata.exchange.simulated.bars import Bar, BarTable, joined, table_of

_TIME_NAMES = ("open_time", "timestamp")
_FULL = (
    *("open_time", "open", "high", "low", "close", "volume", "close_time"),
    *("quote_asset_volume", "number_of_trades", "taker_buy_base_volume", "taker_buy_quote_volume"),
)
_N_SHORT = 6
_CHUNK = 4096
_UNKNOWN = -1
# Above this an epoch is in microseconds.
_MICROSECONDS = 100_000_000_000_000


class KlineFile(NamedTuple):
    """Bars in order of open time. Fields the layout lacks are -1. `digest` names the content."""

    symbol: str
    digest: str
    bars: BarTable


def read_klines(path: FilePath, *, symbol: str | None = None) -> KlineFile:
    """Read a whole file. Of two rows with one open time the later wins. Raises DataError naming file and line."""
    try:
        content = path.read_bytes()
        text = _unpacked(path, content)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    bars = _in_order(joined(list(_tables(path, text))))
    if bars.n == 0:
        raise DataError(f"{path}: holds no bars")
    return KlineFile(symbol or symbol_in(path), blake2b(content, digest_size=16).hexdigest(), bars)


def symbol_in(path: FilePath) -> str:
    """The symbol a file name begins with. Raises DataError when it has none."""
    match = re.match(r"([A-Z0-9]{2,20})-", path.name)
    if match is None:
        raise DataError(f"{path.name}: the name does not begin with a symbol; name one with --symbol")
    return match.group(1)


def _unpacked(path: FilePath, content: bytes) -> str:
    if path.suffix == ".gz":
        return gzip.decompress(content).decode()
    if path.suffix != ".zip":
        return content.decode()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [name for name in archive.namelist() if name.endswith(".csv")]
        if len(names) != 1:
            raise DataError(f"{path}: holds {len(names)} csv files instead of one")
        return archive.read(names[0]).decode()


def _tables(path: FilePath, text: str) -> Iterator[BarTable]:
    """The rows of the text in their order, some thousands at a time."""
    reader = csv.reader(io.StringIO(text))
    bars: list[Bar] = []
    places: list[int] | None = None
    try:
        for row in reader:
            if places is None:
                places = _places(row)
                if row[0] in _TIME_NAMES:
                    continue
            bars.append(_bar([row[place] for place in places]))
            if len(bars) == _CHUNK:
                yield table_of(bars)
                bars = []
    except (ValueError, IndexError, DataError, csv.Error) as error:
        reason = "too few columns" if isinstance(error, IndexError) else error
        raise DataError(f"{path}, line {reader.line_num}: {reason}") from error
    yield table_of(bars)


def _places(row: list[str]) -> list[int]:
    """Where the columns stand. A header names them, else they are those of the dump."""
    if row[0] not in _TIME_NAMES:
        return list(range(len(_FULL) if len(row) >= len(_FULL) else _N_SHORT))
    names = ["open_time", *row[1:]]
    wanted = _FULL if set(_FULL) <= set(names) else _FULL[:_N_SHORT]
    return [names.index(name) for name in wanted]


def _bar(cells: list[str]) -> Bar:
    opened, scale = int(cells[0]), 1
    if opened > _MICROSECONDS:
        opened, scale = opened // 1000, 1000
    open_e8, high, low, close, volume = map(parse_e8, cells[1:_N_SHORT])
    if not (0 < low <= open_e8 <= high and low <= close <= high and volume >= 0):
        raise ValueError("open, high, low, close and volume contradict each other")
    if len(cells) == _N_SHORT:
        return Bar(opened, _UNKNOWN, open_e8, high, low, close, volume, _UNKNOWN, _UNKNOWN, _UNKNOWN, _UNKNOWN)
    closed, trades = int(cells[6]) // scale, int(cells[8])
    if closed < opened or trades < 0:
        raise ValueError("close time or number of trades cannot be true")
    quote, taker, taker_quote = parse_e8(cells[7]), parse_e8(cells[9]), parse_e8(cells[10])
    return Bar(opened, closed, open_e8, high, low, close, volume, quote, trades, taker, taker_quote)


def _in_order(table: BarTable) -> BarTable:
    """Sorted by open time; of equal ones the last."""
    order = np.argsort(table.open_ms, kind="stable")
    opens = table.open_ms[order]
    last = np.append(opens[1:] != opens[:-1], True) if table.n else np.empty(0, dtype=np.bool_)
    return BarTable(*(column[order][last] for column in table))
