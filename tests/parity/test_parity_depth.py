"""Live, batch and replay on recorded bars: a part in every run, more than a hundred thousand bars in the soak.

Every policy, lot, price, verdict, fill and equity is compared to the unit, every statistic to the bit, and then the log
is replayed down to the bars.
"""

from __future__ import annotations

import json
import time
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from apps.engine.values import Bars
from tests.parity.shells import (
    batch_run,
    compare,
    compare_rows,
    live_run,
    rebuilt_is_stored,
    recorded_bars,
    span_of,
)
from tests.support.desk import seed_desk

pytestmark = [pytest.mark.usefixtures("compiled", "desk_db"), pytest.mark.real]
ONE, THREE = ("BTCUSDT",), ("BTCUSDT", "ETHUSDT", "DOGEUSDT")
APRIL_20_21H_MS = 1_618_952_400_000


def prove(symbols: tuple[str, ...], blocks: list[Bars], *, least_filled: int) -> Any:
    """Run all shells and compare them; the batch's decisions."""
    seed_desk(symbols)
    started = time.process_time()
    live_run(symbols, blocks)
    lived = time.process_time()
    batch = batch_run(symbols, blocks)
    found = compare(symbols, batch)
    assert found.filled >= least_filled, "the parity of a desk that does not trade proves nothing"
    compare_rows(symbols, blocks, batch)
    rebuilt_is_stored(symbols)
    compared = time.process_time()
    replay_down_to_the_bars(symbols, blocks, len(batch.decisions))
    ended = time.process_time()
    n_bars = sum(block.n for block in blocks)
    # Seconds of CPU: those of the wall say more of whoever else runs on the machine.
    print(f"\n{n_bars:,} bars of {', '.join(symbols)}: {found.told()}; ", end="")
    print(f"CPU: live {lived - started:.0f} s, compared {compared - lived:.0f} s, replayed {ended - compared:.0f} s")
    return batch.decisions


def replay_down_to_the_bars(symbols: tuple[str, ...], blocks: list[Bars], n_decisions: int) -> None:
    out = StringIO()
    call_command("replay", "--all", "--deep", "--json", stdout=out, stderr=StringIO())
    told = json.loads(out.getvalue())
    assert told["replayed"] >= n_decisions and told["different"] == {}
    deep = told["deep"]
    assert deep["named"] == {"checked": n_decisions, "foreign": 0} and deep["different"] == []
    assert deep["symbols"] == {
        symbol: {"bars": block.n, "views": block.n, "foreign": 0} for symbol, block in zip(symbols, blocks, strict=True)
    }


def desk_of(settings: Any, symbols: tuple[str, ...], **changed: Any) -> None:
    settings.FILLS, settings.HORIZON_BARS, settings.SYMBOLS = "bars", 5, symbols
    for name, value in changed.items():
        setattr(settings, name, value)


def test_ten_thousand_recorded_bars(settings: Any, recorded_data: Path, tmp_path: Path) -> None:
    """April 2021, with a hole of four and a half hours."""
    desk_of(settings, ONE)
    bars = recorded_bars(recorded_data, "BTCUSDT-1m-2021-04-15_2021-05-31.csv.gz", tmp_path, 7_000, 10_000)
    assert bars.n == 10_000 and int(bars.open_time_ms[-1] - bars.open_time_ms[0]) > 10_000 * 60_000
    assert len(prove(ONE, [bars], least_filled=20)) >= 2_000


@pytest.mark.soak
@pytest.mark.timeout(7_200)
def test_a_hundred_thousand_recorded_bars(settings: Any, recorded_data: Path, tmp_path: Path) -> None:
    """January to March 2020, with its holes."""
    desk_of(settings, ONE)
    prove(ONE, [recorded_bars(recorded_data, "BTCUSDT-1m-2020.csv.gz", tmp_path, 0, 100_000)], least_filled=200)


@pytest.mark.soak
@pytest.mark.timeout(7_200)
def test_three_symbols_and_a_nervous_desk(settings: Any, recorded_data: Path, tmp_path: Path) -> None:
    """A month of three symbols, one with dust prices, no fees and tight limits: every breaker has its say."""
    desk_of(settings, THREE, FEE_BPS=0, MAX_DD=Decimal("0.001"), BREAKER_MINUTES=30, ORDERS_PER_MINUTE=1)
    names = ("BTCUSDT-1m-2021-04-15_2021-05-31", *(f"{symbol}-1m-2021-04-20_2021-05-20" for symbol in THREE[1:]))
    whole = [recorded_bars(recorded_data, f"{name}.csv.gz", tmp_path, 0, 10**6) for name in names]
    decisions = prove(THREE, [span_of(bars, APRIL_20_21H_MS, 34_000) for bars in whole], least_filled=500)
    assert decisions["is_tripped"].sum() >= 3 and decisions["is_rearmed"].sum() >= 3
