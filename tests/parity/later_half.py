"""Run in a process of its own: go on with a saved run or with the desk of a database, and say where it got to."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from apps.engine.decision import FILL_BARS, N_ARMS
from apps.engine.ledger import BookState, book_state
from apps.engine.observer import Observer, ObserveSettings
from apps.engine.router import RouterParams
from apps.engine.run import RunResult, RunSettings, run
from apps.engine.values import Bars
from tests.support.bars import FILTERS, MINUTE_MS
from tests.support.engine import CASH_E8, build_limits, build_terms

SYMBOLS, H = ("BTCUSDT", "ETHUSDT"), 5
NONE_INACTIVE = np.zeros(N_ARMS, np.int64)
COLUMNS = ("decisions", "floats", "probabilities", "symbol", "regime", "equity_e8")


def observers() -> list[Observer]:
    lively = RouterParams(v=2.0, eps=0.3)
    return [Observer(ObserveSettings(symbol, MINUTE_MS, H, params=lively)) for symbol in SYMBOLS]


def run_part(desk: list[Observer], book: BookState, blocks: list[Bars], first: int, end: int) -> RunResult:
    """The steps from bar index `first` to `end` of a run over these bars."""
    terms = build_terms(
        unit_e8=0, horizon_bars=H, bars_per_year=525_600, weight_e9=500_000_000, fill_kind=FILL_BARS
    )  # fmt: skip
    limits = build_limits(max_notional_e8=10**14, symbol_notional_cap_e8=10**14, max_drawdown_bps=10_000)
    settings = RunSettings(20260101, CASH_E8, limits, terms, 50, 86_400_000)
    edges = np.array([first, end]) * MINUTE_MS
    inside = [block.slice(*map(int, np.searchsorted(block.open_time_ms, edges))) for block in blocks]
    return run(desk, inside, [FILTERS] * 2, settings, inactive=NONE_INACTIVE, is_bocpd=True, book=book,
               span=(first, end))  # fmt: skip


def save_run(path: Path, desk: list[Observer], book: BookState, blocks: list[Bars]) -> None:
    """States, account and bars in one file."""
    arrays = {f"book_{name}": column for name, column in zip(BookState._fields, book, strict=True)}
    for number, (observer, block) in enumerate(zip(desk, blocks, strict=True)):
        arrays |= {f"state_{number}_{place}": array for place, array in enumerate(observer.save())}
        arrays |= {f"bars_{number}_{name}": column for name, column in zip(Bars._fields, block, strict=True)}
    np.savez(path, **arrays)


def load_run(path: Path) -> tuple[list[Observer], BookState, list[Bars]]:
    desk, book = observers(), book_state(len(SYMBOLS), CASH_E8)
    with np.load(path) as saved:
        for name, column in zip(BookState._fields, book, strict=True):
            column[...] = saved[f"book_{name}"]
        for number, observer in enumerate(desk):
            observer.load([saved[f"state_{number}_{place}"] for place in range(len(observer.save()))])
        blocks = [Bars(*(saved[f"bars_{number}_{name}"] for name in Bars._fields)) for number in range(len(desk))]
    return desk, book, blocks


def go_on_with_run(path: Path, first: int, end: int) -> dict[str, Any]:
    """The rest of the run in one piece; then once more from the same file, folded bar by bar as live does."""
    desk, book, blocks = load_run(path)
    result = run_part(desk, book, blocks, first, end)
    np.savez(path.with_name("rest.npz"), **{name: getattr(result, name) for name in COLUMNS}, **book._asdict())
    single, _, _ = load_run(path)
    for observer, block in zip(single, blocks, strict=True):
        for row in range(int(np.searchsorted(block.open_time_ms, first * MINUTE_MS)), block.n):
            observer.observe(block.slice(row, row + 1), inactive=NONE_INACTIVE, is_bocpd=True)
    states = [[observer.state_hash() for observer in observers] for observers in (desk, single)]
    return {"batch": states[0], "single": states[1]}


def go_on_with_desk(database: Path, folder: Path) -> dict[str, Any]:
    """Warm up on what is stored, then trade the bars that come next."""
    import django

    django.setup()
    from django.db import connections

    given = connections["default"].settings_dict
    given["NAME"] = str(database)
    given["OPTIONS"]["init_command"] = given["OPTIONS"]["init_command"].replace("synchronous=FULL", "synchronous=OFF")
    from apps.audit.selectors import audit_head
    from apps.execution.bars_autopilot import BarsAutopilot
    from apps.execution.desk_thread import desk_thread
    from tests.support.desk import store

    autopilot = BarsAutopilot()
    autopilot.warm()
    for symbol in SYMBOLS:
        with np.load(folder / f"{symbol}.npz") as saved:
            store(symbol, Bars(*(saved[name] for name in Bars._fields)))
    autopilot.step()
    desk_thread().stop()
    return {"head": list(audit_head())}


if __name__ == "__main__":
    from tradedesk.env import prepare_process

    prepare_process()
    if sys.argv[1] == "run":
        told = go_on_with_run(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        told = go_on_with_desk(Path(sys.argv[2]), Path(sys.argv[3]))
    print(json.dumps(told))
