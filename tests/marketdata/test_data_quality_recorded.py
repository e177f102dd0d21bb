"""The figures of docs/data-quality.md, measured on recorded bars: a part in every run, all of them in the soak."""

from __future__ import annotations

import csv
import json
import math
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from apps.engine.quality import LIMITS, agrees, borne_out
from apps.engine.values import Bars
from apps.marketdata.exchange.decimals import parse_e8
from apps.marketdata.quality_gate import bars_admit
from apps.marketdata.quarantine import candles_of
from apps.marketdata.replacing import act_on, suspects_of
from apps.marketdata.selectors import bars_load
from apps.marketdata.services import bars_store
from apps.marketdata.verdicts import Answer
from tests.support.quality_figures import (
    CRASHES,
    FILES,
    MINUTE_MS,
    N_HISTORY,
    QUICK_FILES,
    SIZES,
    Crash,
    Series,
    crash_bars,
    file_row,
    found,
    load,
    percent,
    pooled,
    recall,
    recalls,
)

pytestmark = pytest.mark.real
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "data-quality.md").read_text()
LEAST_RECALL, LEAST_CONTAMINATED, MOST_PER_DAY = 0.99, 0.95, 2.0


@pytest.fixture(scope="session")
def quick(recorded_data: Path) -> dict[str, Series]:
    return {name: load(recorded_data, name) for name in QUICK_FILES}


@pytest.fixture(scope="session")
def everything(recorded_data: Path) -> list[Series]:
    return [load(recorded_data, name) for name in FILES]


def one(bars: Bars, row: int) -> Bars:
    return bars.slice(row, row + 1)


@pytest.mark.parametrize("name", QUICK_FILES)
def test_the_figures_of_a_file_are_those_of_the_page(name: str, quick: dict[str, Series]) -> None:
    clean, contaminated = recalls(quick[name])
    row = file_row(quick[name], clean, contaminated)
    print(row)
    assert row in PAGE, row
    assert contaminated.share >= LEAST_CONTAMINATED


def crash_row(series: Series, crash: Crash) -> str:
    """Judge the bars of a crash, and let the desk take them in; the last figure is how many of them it then lacks."""
    history, bars = crash_bars(series, crash)
    entries = series.suspicions(bars, history)
    n_kept = sum(entry.is_kept for entry in entries)
    biggest = float(np.abs(np.diff(np.log(bars.close_e8))).max())
    return (
        f"| {crash.name} | {crash.first.replace('T', ' ')} to {crash.last.replace('T', ' ')} | {bars.n:,} "
        f"| {percent(np.expm1(biggest))} | {len(entries)} | {n_kept} | {len(entries) - n_kept} "
        f"| {n_lost(series.symbol, history, bars)} |"
    )


def n_lost(symbol: str, history: Bars, bars: Bars) -> int:
    """How many bars of a crash a desk lacks or has otherwise after the whole way: judged, held, asked about, released.

    They come in as a file does; where the next bar is silent, the exchange tells the same and a second endpoint prices
    0.4 % off.
    """
    told = {"symbol": symbol, "interval": "1m", "source": "binance", "ts_ms": int(bars.open_time_ms[-1]) + MINUTE_MS}
    bars_store(bars=history, **told)
    bars_admit(bars=bars, origin="import", **told)
    for suspect in suspects_of(symbol, "1m"):
        bar = one(bars, int(np.searchsorted(bars.open_time_ms, suspect.open_time_ms)))
        same, near = (Answer(candles_of(told_bar)[0]) for told_bar in (bar, shifted_by(bar, 0.004)))
        act_on(suspect, same, near, told["ts_ms"], bars_store)
    stored = bars_load(symbol, "1m", start_ms=int(bars.open_time_ms[0]), folded_only=False)
    here = set(candles_of(stored))
    assert here <= set(candles_of(bars)), "nothing is stored that was not told"
    return bars.n - len(here)


def shifted_by(bar: Bars, share: float) -> Bars:
    """The bar as a second source with slightly other prices tells it."""
    return bar._replace(
        **{name: np.rint(getattr(bar, name) * (1 + share)).astype(np.int64) for name in bar._fields[1:5]}
    )


@pytest.mark.parametrize(
    "crash", [crash for crash in CRASHES if crash.file in QUICK_FILES], ids=lambda entry: entry.name
)
def test_a_true_crash_is_released_and_none_of_it_is_lost(crash: Crash, quick: dict[str, Series], desk_db: Path) -> None:
    row = crash_row(quick[crash.file], crash)
    assert row.endswith("| 0 |") and row in PAGE, row


def test_a_second_source_agrees_within_half_a_percent(quick: dict[str, Series]) -> None:
    _, bars = crash_bars(quick[FILES[7]], CRASHES[3])
    for row in range(bars.n):
        bar = one(bars, row)
        assert agrees(bar, shifted_by(bar, 0.004)) and agrees(bar, shifted_by(bar, -0.004))
        assert not agrees(bar, shifted_by(bar, 0.006)) and not agrees(bar, shifted_by(bar, -0.006))
        assert not agrees(bar, bar._replace(open_time_ms=bar.open_time_ms + MINUTE_MS))


def test_the_rule_of_the_next_bar_is_the_one_for_a_single_pending_bar(quick: dict[str, Series]) -> None:
    """The kernel's `is_kept` over a whole file, against `borne_out` asked for each suspect by itself."""
    series = quick[FILES[7]]
    history, bars = crash_bars(series, CRASHES[3])
    entries = series.suspicions(bars, history)
    assert (
        len(entries) > 10 and {entry.is_kept for entry in entries} == {True, False} or all(e.is_kept for e in entries)
    )
    believed = int(history.close_e8[-1])
    pending = {entry.row: entry for entry in entries}
    for row in range(bars.n - 1):
        entry = pending.get(row)
        if entry is not None:
            told = borne_out(reason=entry.reason, before_e8=believed, suspect=one(bars, row), after=one(bars, row + 1))
            assert told == entry.is_kept, entry
        if entry is None or entry.is_kept:
            believed = int(bars.close_e8[row])


def test_candles_that_the_exchange_revised_agree_with_what_they_became(recorded_data: Path) -> None:
    """70 real candles as first served and as archived: all of them differ, and all within the tolerance."""
    with (recorded_data / "klines/defects/BTCUSDT-1m-revised-2021-04.csv").open(newline="") as text:
        rows = list(csv.DictReader(text))
    served, archived = (revised(rows, suffix) for suffix in ("served_2021_05", "archive"))
    assert len(rows) == 70
    told = [agrees(mine, theirs) for mine, theirs in zip(served, archived, strict=True)]
    print(f"{sum(told)} of {len(told)} revised candles agree within 0.5 %")
    assert f"{sum(told)} of {len(told)} revised candles agree" in " ".join(PAGE.split())


def revised(rows: list[dict[str, str]], suffix: str) -> list[Bars]:
    prices = ("open", "high", "low", "close", "volume")
    table = [[int(row["open_time"]), *(parse_e8(row[f"{name}_{suffix}"]) for name in prices), 0] for row in rows]
    return [Bars(*(np.array([value]) for value in row)) for row in table]


@pytest.mark.soak
def test_all_files(everything: list[Series]) -> None:
    pairs = [recalls(series) for series in everything]
    rows = [file_row(series, *pair) for series, pair in zip(everything, pairs, strict=True)]
    n_suspects = sum(found(series).n_suspects for series in everything)
    per_day = n_suspects / sum(series.days for series in everything)
    clean, contaminated = ([pair[at].share for pair in pairs] for at in (0, 1))
    n_bars = sum(series.bars.n for series in everything)
    rows.append(
        f"| all, pooled | {n_bars:,} | {n_suspects} | {per_day:.2f} "
        f"| {sum(found(series).n_borne_out for series in everything)} | {percent(pooled(everything, clean))} "
        f"| {percent(pooled(everything, contaminated))} "
        f"| {percent(pooled(everything, [pair[0].n_wrongly_kept / pair[0].n for pair in pairs]))} |"
    )
    print("\n".join(rows))
    assert pooled(everything, clean) >= LEAST_RECALL and float(np.mean(clean)) >= LEAST_RECALL
    assert pooled(everything, contaminated) >= LEAST_CONTAMINATED and min(contaminated) >= LEAST_CONTAMINATED
    assert per_day <= MOST_PER_DAY
    assert "\n".join(rows) in PAGE, "\n".join(rows)


@pytest.mark.soak
def test_all_sizes(everything: list[Series]) -> None:
    rows = []
    for size in SIZES:
        shares = [
            [recall(series, size=size, contaminated=is_contaminated).share for series in everything]
            for is_contaminated in (False, True)
        ]
        worst = min(range(len(everything)), key=lambda at: shares[0][at])
        rows.append(
            f"| {percent(size)} | {percent(pooled(everything, shares[0]))} | {percent(pooled(everything, shares[1]))} "
            f"| {percent(shares[0][worst])} ({everything[worst].symbol}) |"
        )
    print("\n".join(rows))
    assert "\n".join(rows) in PAGE, "\n".join(rows)


@pytest.mark.soak
def test_all_crashes(everything: list[Series], new_desk_db: Callable[[str], Path]) -> None:
    by_name = {f"{series.name}.csv.gz": series for series in everything}
    rows = []
    for at, crash in enumerate(CRASHES):
        new_desk_db(f"crash{at}")
        rows.append(crash_row(by_name[crash.file], crash))
    print("\n".join(rows))
    assert all(row.endswith("| 0 |") for row in rows)
    assert "\n".join(rows) in PAGE, "\n".join(rows)


@pytest.mark.soak
def test_the_known_jumps(everything: list[Series], recorded_data: Path) -> None:
    """What becomes of the jumps that the data's own list of defects names, in one-minute files."""
    defects = json.loads((recorded_data / "defects.json").read_text())
    fates: Counter[str] = Counter()
    for series in everything:
        entries = {entry.row: entry for entry in series.suspicions(series.bars, series.bars.slice(0, 0))}
        for defect in defects:
            if defect["file"] == f"klines/1m/{series.name}.csv.gz" and defect["kind"] == "jump_close_to_close":
                at_ms = int(np.datetime64(defect["open_time"].rstrip("Z"), "ms").astype(np.int64))
                entry = entries.get(int(np.searchsorted(series.bars.open_time_ms, at_ms)))
                fates["believed" if entry is None else "borne out" if entry.is_kept else "asked"] += 1
    told = (
        f"Of the {fates.total()} largest one-minute jumps in the data's own list of oddities, {fates['believed']} are "
        f"believed at once, {fates['borne out']} borne out by the next bar, {fates['asked']} left to a second endpoint."
    )
    print(told)
    assert told in " ".join(PAGE.split()), told


@pytest.mark.soak
def test_ten_deviations_alone_would_not_do(everything: list[Series]) -> None:
    limits = LIMITS._replace(quiet_k=math.inf)
    shares = [recall(series, size=None, contaminated=False, limits=limits).share for series in everything]
    told = f"The rule of ten alone catches {percent(pooled(everything, shares))} of the spikes below"
    print(told)
    assert pooled(everything, shares) < LEAST_RECALL
    assert told in " ".join(PAGE.split()), told


@pytest.mark.soak
def test_a_year_of_minutes_is_judged_in_seconds(everything: list[Series]) -> None:
    series = everything[0]
    began = time.perf_counter()
    found(series)
    took = time.perf_counter() - began
    print(f"{series.bars.n:,} bars in {took:.2f} s, {1e6 * took / series.bars.n:.2f} us a bar")
    assert took < 10


def test_a_bar_is_judged_by_the_past_alone(quick: dict[str, Series]) -> None:
    """Bars judged one at a time, as they arrive, get the verdicts that a whole block gets."""
    series = quick[FILES[7]]
    history, bars = crash_bars(series, CRASHES[3])
    believed, alone = history, {}
    whole = {entry.row: entry for entry in series.suspicions(bars, history)}
    for row in range(bars.n):
        entries = series.suspicions(one(bars, row), believed.slice(max(0, believed.n - N_HISTORY), believed.n))
        if entries:
            alone[row] = entries[0]
        # A suspect that the next bar bears out has been confirmed by the time that one is judged.
        if not entries or whole[row].is_kept:
            believed = Bars(*(np.concatenate(pair) for pair in zip(believed, one(bars, row), strict=True)))
    assert {row: entry.reason for row, entry in alone.items()} == {row: entry.reason for row, entry in whole.items()}
    assert [entry.score for entry in alone.values()] == pytest.approx([entry.score for entry in whole.values()])
