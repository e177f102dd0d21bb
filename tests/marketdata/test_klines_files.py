"""Files of klines: every recorded one is read or refused by name, and nothing of a bad one is imported."""

from __future__ import annotations

import gzip
import json
import zipfile
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from apps.engine.errors import DataError, InvalidInput
from apps.marketdata import selectors, services
from apps.marketdata.klines_file import read_klines
from apps.marketdata.models import Bar
from tests.marketdata.builders import MINUTE, START, bars_at

NOW = 1_800_000_000_000
REFUSED = {
    "1d/DOGEUSDT-1d-to-2024.csv.gz": ":575: '102989795103.0' is too large",
    "1d/SHIBUSDT-1d-to-2024.csv.gz": ":2: '95302311917668.0' is too large",
    "1h/SHIBUSDT-1h-2024.csv.gz": ":2: '93646814073' is too large",
    "1h/ETHUSDT-1h-to-2021-06.csv.gz": ":4191: open time is off the grid of the interval (off_grid)",
    "1h/LTCUSDT-1h-to-2021-06.csv.gz": ":1367: open time is off the grid of the interval (off_grid)",
    "defects/BTCUSDT-1m-duplicates-asdownloaded.csv.gz": ":30904: open time 1711103460000 of line 30903 comes again",
    "defects/BTCUSDT-1m-revised-2021-04.csv": ":1: unknown layout",
}
LARGE_FROM_BYTES = 700_000


def read_all(folder: Path, *, large: bool) -> tuple[dict[str, int], dict[str, str]]:
    """(rows by file, refusals by file)."""
    rows, refused = {}, {}
    for path in sorted((folder / "klines").glob("*/*")):
        name = str(path.relative_to(folder / "klines"))
        if (path.stat().st_size >= LARGE_FROM_BYTES) != large:
            continue
        try:
            rows[name] = read_klines(path, now_ms=NOW).n_rows
        except DataError as error:
            refused[name] = str(error)
    return rows, refused


def listed_rows(folder: Path) -> dict[str, int]:
    lines = [
        line.split("|") for line in (folder / "README.md").read_text().splitlines() if line.startswith("| `klines")
    ]
    return {cells[1].strip(" `")[len("klines/") :]: int(cells[5].replace(",", "")) for cells in lines}


def test_every_recorded_file_is_read_whole_or_refused_by_line(recorded_data: Path) -> None:
    rows, refused = read_all(recorded_data, large=False)
    assert set(refused) == set(REFUSED)
    for name, words in REFUSED.items():
        assert words in refused[name] and Path(name).name in refused[name]
    listed = listed_rows(recorded_data)
    assert len(rows) > 40
    assert rows == {name: listed[name] for name in rows}


@pytest.mark.soak
def test_the_large_recorded_files_are_read_whole(recorded_data: Path) -> None:
    rows, refused = read_all(recorded_data, large=True)
    listed = listed_rows(recorded_data)
    assert refused == {} and len(rows) == len(listed) - len(REFUSED) - len(read_all(recorded_data, large=False)[0])
    assert rows == {name: listed[name] for name in rows}


def test_milliseconds_and_microseconds_are_told_apart(recorded_data: Path) -> None:
    raw = recorded_data / "klines/raw-dump"
    before = read_klines(raw / "BTCUSDT-1m-2024-12-31.csv.gz", now_ms=NOW)
    after = read_klines(raw / "BTCUSDT-1m-2025-01-01.csv.gz", now_ms=NOW)
    assert (before.layout, after.layout) == ("K12raw", "K12raw")
    assert int(after.bars.open_time_ms[0]) == int(before.bars.open_time_ms[-1]) + MINUTE == 1_735_689_600_000
    assert int(after.bars.open_e8[0]) == 9_357_600_000_000 and int(after.bars.trades[0]) == 2_631


def test_halts_are_counted_and_exponents_read(recorded_data: Path, tmp_path: Path) -> None:
    halted = read_klines(recorded_data / "klines/raw-dump/BTCUSDT-1m-2021-02-11.csv.gz", now_ms=NOW)
    assert (halted.n_rows, halted.n_missing) == (1_361, 79)
    tiny = tmp_path / "PEPEUSDT-1h-x.csv"
    tiny.write_text("open_time,open,high,low,close,volume\n1704067200000,1.412e-05,5e-05,1.4e-05,3e-05,12.5\n")
    assert int(read_klines(tiny, now_ms=NOW).bars.open_e8[0]) == 1_412


def line(at: int, *, close: str = "101", opened: int | None = None, volume: int = 7) -> str:
    return f"{START + at * MINUTE if opened is None else opened},100,105,95,{close},{volume}"


def k6(folder: Path, *lines: str, name: str = "BTCUSDT-1m-x.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(["open_time,open,high,low,close,volume", *lines]) + "\n")
    return path


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([line(0), line(1).replace("95", "nan")], "x.csv:3: 'nan' is not a decimal number"),
        ([line(0), line(1).replace("95", "102")], "x.csv:3: low is above open or close"),
        ([line(0), line(2), line(1)], "x.csv:4: open time is before an earlier bar's .out_of_order."),
        ([line(0), line(1), line(1, close="102")], "x.csv:4: open time .* of line 3 comes again with other values"),
        ([line(0), line(0, opened=START + 1)], "x.csv:3: open time is off the grid"),
        ([line(0), line(0, opened=NOW // MINUTE * MINUTE)], "x.csv:3: the bar has not closed"),
        ([line(0), line(1) + ",9"], "x.csv:3: 7 columns where 6 are expected"),
        ([line(0), ""], "x.csv:3: 0 columns"),
        ([line(0), "12a,1,1,1,1,1"], "x.csv:3: '12a' is not a whole number"),
        ([line(0), line(1).replace(",7", ",0.000000001")], "x.csv:3: '0.000000001' cannot be held exactly"),
        ([line(0), line(1).replace(",7", ",-7")], "x.csv:3: volume is below zero"),
        ([], "holds no rows"),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_imported(
    desk_db: Path, tmp_path: Path, lines: list[str], words: str
) -> None:
    path = k6(tmp_path, *lines)
    with pytest.raises(DataError, match=words):
        read_klines(path, now_ms=NOW)
    with pytest.raises(CommandError) as caught:
        call_command("import_klines", str(path), stdout=StringIO())
    assert caught.value.returncode == 2 and not Bar.objects.exists()


def test_a_close_time_may_be_early_but_not_late(tmp_path: Path) -> None:
    row = f"{START},1,1,1,1,1,{{}},1,1,1,1,0\n"
    path = tmp_path / "BTCUSDT-1m-x.csv"
    path.write_text(row.format(START + 32_285))
    assert read_klines(path, now_ms=NOW).bars.n == 1
    for wrong in (START + MINUTE, START, START * 1000 + 1):
        path.write_text(row.format(wrong))
        with pytest.raises(DataError, match=":1: close time"):
            read_klines(path, now_ms=NOW)


def test_containers_and_names(tmp_path: Path) -> None:
    plain = k6(tmp_path, line(0), line(1), line(1), line(2))
    packed = tmp_path / "BTCUSDT-1m-x.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    zipped = tmp_path / "BTCUSDT-1m-x.zip"
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.write(plain, "a.csv")
    found = [read_klines(path, now_ms=NOW) for path in (plain, packed, zipped)]
    assert [(file.bars.n, file.n_repeated) for file in found] == [(3, 1)] * 3
    with zipfile.ZipFile(zipped, "a") as archive:
        archive.write(plain, "b.csv")
    with pytest.raises(DataError, match="holds 2 files"):
        read_klines(zipped, now_ms=NOW)
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(DataError, match="cannot be read"):
        read_klines(packed, now_ms=NOW)
    with pytest.raises(DataError, match="cannot be read"):
        read_klines(tmp_path / "BTCUSDT-1m-none.csv", now_ms=NOW)
    nameless = plain.rename(tmp_path / "prices.csv")
    with pytest.raises(InvalidInput, match="--symbol"):
        read_klines(nameless, now_ms=NOW)
    assert read_klines(nameless, symbol="ETHUSDT", interval="1m", now_ms=NOW).symbol == "ETHUSDT"
    with pytest.raises(InvalidInput, match="unknown interval"):
        read_klines(nameless, symbol="ETHUSDT", interval="7m", now_ms=NOW)


def test_the_command_imports_in_small_commits_and_says_what_it_did(desk_db: Path, tmp_path: Path) -> None:
    path = k6(tmp_path, *[line(at, volume=7 + at) for at in range(4_321) if at != 7])
    out = StringIO()
    call_command("import_klines", str(path), "--json", stdout=out)
    report = json.loads(out.getvalue())
    assert (report["inserted"], report["missing"], report["layout"]) == (4_320, 1, "K6")
    assert selectors.bars_count("BTCUSDT", "1m") == 4_320
    again = StringIO()
    call_command("import_klines", str(path), stdout=again)
    assert "0 inserted, 4320 unchanged" in again.getvalue()


def test_stored_bars_win_over_a_file_that_differs(desk_db: Path, tmp_path: Path) -> None:
    services.bars_store(symbol="BTCUSDT", interval="1m", bars=bars_at([0]), source="binance", ts_ms=NOW)
    with pytest.raises(CommandError) as caught:
        call_command(
            "import_klines", str(k6(tmp_path, line(0, close="104"), line(1), line(2, volume=8))), stdout=StringIO()
        )
    assert caught.value.returncode == 3
    assert selectors.bars_load("BTCUSDT", "1m").close_e8.tolist() == [101 * 10**8] * 3


def test_a_real_file_is_not_mixed_into_a_made_up_market(desk_db: Path, tmp_path: Path) -> None:
    services.bars_store(symbol="BTCUSDT", interval="1m", bars=bars_at([5]), source="simulated", ts_ms=NOW)
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("import_klines", str(k6(tmp_path, line(0))), stdout=out)
    assert "simulated" in out.getvalue() and selectors.bars_count("BTCUSDT", "1m") == 1


def test_a_bar_that_is_not_believed_is_held_and_one_that_the_next_bears_out_comes_back(
    desk_db: Path, tmp_path: Path
) -> None:
    prices = [100 + at % 7 for at in range(200)]
    prices[150:] = [price * 2 for price in prices[150:]]  # a move that stays
    prices[180] *= 9  # a print that nothing bears out
    bodies = [(before, after) for before, after in zip(prices, prices[1:], strict=False)]
    rows = [
        f"{START + at * MINUTE},{first},{max(first, last)},{min(first, last)},{last},{at + 5}"
        for at, (first, last) in enumerate(bodies)
    ]
    out = StringIO()
    with pytest.raises(CommandError, match="held in quarantine") as caught:
        call_command("import_klines", str(k6(tmp_path, *rows)), "--json", stdout=out)
    report = json.loads(out.getvalue())
    assert caught.value.returncode == 4
    assert report["pending"] >= 1 and report["inserted"] + report["released"] + report["pending"] == 199
    assert report["missingByState"] == {"held": report["pending"]}
    stored = selectors.bars_load("BTCUSDT", "1m")
    assert START + 179 * MINUTE not in stored.open_time_ms.tolist(), "the wild print waits"
    assert START + 149 * MINUTE in stored.open_time_ms.tolist(), "the true move is there"
    assert int(stored.close_e8.max()) < 300 * 10**8
