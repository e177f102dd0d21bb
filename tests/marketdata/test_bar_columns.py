"""The columns beside the rows: the same bars whatever came in between, and never a damaged one."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import connection, transaction

from apps.engine.values import Bars
from apps.marketdata import columns, selectors, services
from apps.marketdata.models import Bar, BarSeries
from tests.marketdata.builders import MINUTE, START, bars_at

NOW = START + 1_000_000 * MINUTE


@pytest.fixture
def small_files(desk_db: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Columns from 50 bars on, in a folder of their own."""
    settings.VAR_DIR = desk_db.parent
    monkeypatch.setattr(columns, "MIN_BARS", 50)
    monkeypatch.setattr(columns, "TAIL_BARS", 40)
    columns._checked.clear()
    yield desk_db.parent / "bars"


def store(minutes: Any, *, watermark: int | None = None) -> None:
    services.bars_store(
        symbol="BTCUSDT", interval="1m", bars=bars_at(minutes), source="test", ts_ms=NOW, fold_watermark_ms=watermark
    )


def from_rows(folded_only: bool, start_ms: int | None = None, end_ms: int | None = None) -> Bars:
    with transaction.atomic():  # inside a transaction only rows are read
        return selectors.bars_load("BTCUSDT", "1m", start_ms=start_ms, end_ms=end_ms, folded_only=folded_only)


def loaded(folded_only: bool = False, start_ms: int | None = None, end_ms: int | None = None) -> Bars:
    found = columns.columns_load("BTCUSDT", "1m", start_ms=start_ms, end_ms=end_ms, folded_only=folded_only)
    assert found is not None
    return found


def assert_equal(found: Bars, expected: Bars) -> None:
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.dtype == np.int64 and mine.flags.c_contiguous
        assert mine.tobytes() == theirs.tobytes()


def builds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every file written."""
    written: list[int] = []
    plain = columns._write

    def counted(series: BarSeries) -> Any:
        written.append(1)
        return plain(series)

    monkeypatch.setattr(columns, "_write", counted)
    return written


@pytest.mark.parametrize("seed", range(8))
def test_columns_equal_rows_whatever_was_stored_in_between(small_files: Path, seed: int) -> None:
    rng = random.Random(seed)
    store(range(60))
    for _ in range(12):
        first = rng.randrange(0, 400)
        minutes = sorted(rng.sample(range(first, first + 60), rng.randrange(1, 40)))
        store(minutes, watermark=START + rng.randrange(0, 400) * MINUTE if rng.random() < 0.5 else None)
        for folded_only in (False, True):
            start = START + rng.randrange(-10, 300) * MINUTE
            end = start + rng.randrange(60, 300) * MINUTE
            assert_equal(loaded(folded_only, start, end), from_rows(folded_only, start, end))
            assert_equal(loaded(folded_only), from_rows(folded_only))


def test_new_bars_are_read_behind_the_file_and_an_old_one_makes_it_anew(
    small_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = builds(monkeypatch)
    store([*range(50), *range(51, 80)])
    assert loaded().n == 79 and len(written) == 1
    store(range(80, 100))
    assert loaded().n == 99 and len(written) == 1
    store([50])
    assert_equal(loaded(), from_rows(False))
    assert len(written) == 2
    store(range(100, 150))  # more than a tail
    assert loaded().n == 150 and len(written) == 3


@pytest.mark.parametrize("offset", [0, 20, columns.HEADER_BYTES + 9, -1])
def test_a_damaged_file_is_written_anew(small_files: Path, monkeypatch: pytest.MonkeyPatch, offset: int) -> None:
    store(range(80))
    loaded()
    (path,) = small_files.glob("*.cols")
    content = bytearray(path.read_bytes())
    content[offset] ^= 0x55
    path.write_bytes(content)
    written = builds(monkeypatch)
    assert_equal(loaded(), from_rows(False))
    assert len(written) == 1
    assert_equal(loaded(), from_rows(False))
    assert len(written) == 1


def test_a_cut_file_is_written_anew(small_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(range(80))
    loaded()
    (path,) = small_files.glob("*.cols")
    for size in (0, 5, columns.HEADER_BYTES, path.stat().st_size - 1):
        with path.open("r+b") as file:
            file.truncate(size)
        assert_equal(loaded(), from_rows(False))


def test_the_file_of_another_database_is_not_taken_for_this_ones(small_files: Path) -> None:
    store(range(80))
    loaded()
    (path,) = small_files.glob("*.cols")
    series = BarSeries.objects.get()
    other = path.with_name(path.name.replace(series.key, "f" * 32))
    path.rename(other)
    BarSeries.objects.update(key="f" * 32)
    columns._checked.clear()
    assert_equal(loaded(), from_rows(False))
    assert other.read_bytes()[: columns.HEADER_BYTES].count(b"f" * 32) == 1


def test_what_is_rolled_back_never_reaches_a_file(small_files: Path) -> None:
    store(range(60))
    with pytest.raises(RuntimeError, match="undo"), transaction.atomic():
        store(range(60, 90))
        assert selectors.bars_load("BTCUSDT", "1m").n == 90
        raise RuntimeError("undo")
    assert BarSeries.objects.get().n_bars == 60 == Bar.objects.count()
    services.bars_store(symbol="BTCUSDT", interval="1m", bars=bars_at(range(60, 90), close=104), source="x", ts_ms=NOW)
    assert_equal(loaded(), from_rows(False))


def test_a_folder_that_cannot_be_written_costs_time_only(small_files: Path, caplog: pytest.LogCaptureFixture) -> None:
    small_files.write_text("a file where the folder should be")
    store(range(80))
    assert_equal(loaded(), from_rows(False))
    assert "read from the rows each time" in caplog.text


def test_short_spans_and_short_series_are_read_from_the_rows(small_files: Path) -> None:
    store(range(49))
    assert columns.columns_load("BTCUSDT", "1m", start_ms=None, end_ms=None, folded_only=True) is None
    store(range(49, 100))
    end = START + 49 * MINUTE
    assert columns.columns_load("BTCUSDT", "1m", start_ms=START, end_ms=end, folded_only=True) is None
    assert columns.columns_load("XRPUSDT", "1m", start_ms=None, end_ms=None, folded_only=True) is None


def test_readers_and_a_writer_at_once_see_whole_prefixes(small_files: Path) -> None:
    """Bars come in order: whatever a reader gets is the grid from the first bar on, without a hole."""
    store(range(60))
    faults: list[str] = []
    done = threading.Event()

    def read() -> None:
        try:
            while not done.is_set():
                minutes = (loaded().open_time_ms - START) // MINUTE
                if minutes.tolist() != list(range(minutes.shape[0])) or minutes.shape[0] < 60:
                    faults.append(f"{minutes.shape[0]} bars with a hole")
        finally:
            connection.close()

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for at in range(60, 400, 17):
        store(range(at, at + 17))
    done.set()
    for reader in readers:
        reader.join()
    assert faults == []
    assert_equal(loaded(), from_rows(False))


def test_every_series_is_counted_for_itself(small_files: Path) -> None:
    store(range(10))
    store(range(5, 20))
    services.bars_store(symbol="ETHUSDT", interval="1m", bars=bars_at(range(7)), source="test", ts_ms=NOW)
    assert list(BarSeries.objects.order_by("symbol").values_list("symbol", "n_bars")) == [
        ("BTCUSDT", 20),
        ("ETHUSDT", 7),
    ]
