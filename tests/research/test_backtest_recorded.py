"""A month of recorded bars through the whole backtest."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import Any

import pytest

from apps.research.backtests.history import HELD, Window, history_file
from apps.research.backtests.request import request_default
from apps.research.services import backtest

FILE = "klines/1m/ETHUSDT-1m-2021-04-20_2021-05-20.csv.gz"
MINUTE_MS = 60_000


@pytest.mark.real
@pytest.mark.usefixtures("compiled", "desk_db")
def test_a_month_with_a_halt_and_a_crash(recorded_data: Path, settings: Any) -> None:
    """What is missing is counted from the file's own times; a held bar is one more than the file lacks."""
    settings.HORIZON_BARS = 60
    path = recorded_data / FILE
    with gzip.open(path, "rt", newline="") as text:
        opens = [int(row[0]) for row in csv.reader(text) if row[0].isdecimal()]
    lacking = (opens[-1] - opens[0]) // MINUTE_MS + 1 - len(set(opens))
    history = history_file(path, symbol="", interval="", window=Window(), now_ms=opens[-1] + 10**6)
    held = [one for one in history.doubted if one.status == HELD]
    assert history.n_missing == lacking + len(held) and history.bars.n == len(set(opens)) - len(held)
    assert lacking > 200 and len(history.doubted) > len(held), "a crash that went on is traded"
    run = backtest(request=request_default(history.symbol, history.interval), history=history, ts_ms=1)
    assert run.figures["counts"]["fills"] >= 50
    assert int(run.columns["trade_profit_e8"].sum()) == run.figures["equity_e8"] - run.parameters["cash_e8"]
    sides = run.figures["fill_settings"]
    assert sides["optimistic"]["costs"]["impact_e8"] == 0 < sides["base"]["costs"]["impact_e8"]
