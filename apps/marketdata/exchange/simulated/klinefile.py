"""Which bars does a recorded file hold? Reads the layouts in use: csv, csv.gz, zip; with and without a header."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zipfile
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path as FilePath
from typing import NamedTuple

from apps.engine.errors import DataError
from apps.marketdata.exchange.decimals import parse_e8
from apps.marketdata.exchange.simulated.bars import Bar

_HEADER_NAMES = {"open_time": "open_time", "timestamp": "open_time"}
_FULL = (
    *("open_time", "open", "high", "low", "close", "volume", "close_time"),
    *("quote_asset_volume", "number_of_trades", "taker_buy_base_volume", "taker_buy_quote_volume"),
)
_SHORT = _FULL[:6]
_UNKNOWN = -1
# Above this an epoch is in microseconds.
_MICROSECONDS = 100_000_000_000_000


class KlineFile(NamedTuple):
    """Bars in order of open time. Fields the layout lacks are -1. `digest` names the content."""

    symbol: str
    digest: str
    bars: list[Bar]


def read_klines(path: FilePath, *, symbol: str | None = None) -> KlineFile:
    """Read a whole file. Of two rows with one open time the later wins. Raises DataError naming file and line."""
    try:
        content = path.read_bytes()
        text = _unpacked(path, content)
    except (OSError, EOFError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    bars: dict[int, Bar] = {}
    for number, row in _rows(path, text):
        try:
            bar = _bar(row)
        except (ValueError, DataError) as error:
            raise DataError(f"{path}, line {number}: {error}") from error
        bars[bar.open_ms] = bar
    if not bars:
        raise DataError(f"{path}: holds no bars")
    ordered = [bars[open_ms] for open_ms in sorted(bars)]
    return KlineFile(symbol or symbol_in(path), blake2b(content, digest_size=16).hexdigest(), ordered)


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


def _rows(path: FilePath, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Each data row with its line number, keyed by column name."""
    reader = csv.reader(io.StringIO(text))
    columns: tuple[str, ...] | None = None
    for number, row in enumerate(reader, start=1):
        if not row:
            continue
        if columns is None:
            columns = _columns(path, row)
            if row[0] in _HEADER_NAMES:
                continue
        if len(row) < len(columns):
            raise DataError(f"{path}, line {number}: {len(row)} columns instead of {len(columns)}")
        yield number, dict(zip(columns, row, strict=False))


def _columns(path: FilePath, row: list[str]) -> tuple[str, ...]:
    if row[0] in _HEADER_NAMES:
        columns = tuple(_HEADER_NAMES.get(name, name) for name in row)
        if set(_SHORT) <= set(columns):
            return columns
        raise DataError(f"{path}, line 1: needs the columns {', '.join(_SHORT)}")
    return _FULL if len(row) >= len(_FULL) else _SHORT


def _bar(row: dict[str, str]) -> Bar:
    opened, scale = int(row["open_time"]), 1
    if opened > _MICROSECONDS:
        opened, scale = opened // 1000, 1000
    open_e8, high, low, close, volume = (parse_e8(row[name]) for name in _SHORT[1:])
    if not 0 < low <= min(open_e8, close) <= max(open_e8, close) <= high or volume < 0:
        raise ValueError("open, high, low, close and volume contradict each other")
    if "close_time" not in row:
        return Bar(opened, _UNKNOWN, open_e8, high, low, close, volume, *([_UNKNOWN] * 4))
    closed = int(row["close_time"]) // scale
    if closed < opened:
        raise ValueError("the bar closes before it opens")
    quote, taker, taker_quote = (parse_e8(row[name]) for name in (_FULL[7], _FULL[9], _FULL[10]))
    return Bar(
        opened, closed, open_e8, high, low, close, volume, quote, int(row["number_of_trades"]), taker, taker_quote
    )
