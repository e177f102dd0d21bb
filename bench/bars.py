"""How fast is a history written, and loaded again? Medians and ratios to the ORM's own ways, in one run.

    python bench/bars.py [--bars 1000000] [--written 200000] [--json]

Loading: all bars of a series into arrays, from the columns beside the rows, against `values_list` over the same rows.
Writing: the same rows in one transaction each, by `bars_store` and by `bulk_create` in batches of 2,000, with
SQLite's synchronous=FULL.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

MINUTE = 60_000
WRITE_BATCH = 5_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bars", type=int, default=1_000_000, help="bars that are loaded (default: %(default)s)")
    parser.add_argument("--written", type=int, default=200_000, help="bars that are written (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="runs a median is taken of (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRADEDESK_VAR"] = folder
        os.environ["DJANGO_SETTINGS_MODULE"] = "tradedesk.settings"
        import django

        django.setup()
        figures = _measure(options.bars, options.written, options.repeats)
    print(json.dumps(figures) if options.json else _table(figures))
    return 0


def _measure(n_bars: int, n_written: int, repeats: int) -> dict[str, float]:
    from django.core.management import call_command

    from apps.marketdata import services

    call_command("migrate", verbosity=0)
    stored, created = [], []
    for turn in range(min(repeats, 3)):
        block = _walk(n_written)
        stored.append(_seconds(lambda block=block, turn=turn: _store(services, f"W{turn}USDT", block)))
        created.append(_seconds(lambda block=block, turn=turn: _create(f"C{turn}USDT", block)))
    _store(services, "BTCUSDT", _walk(n_bars))
    return {
        "bars": n_bars,
        "written": n_written,
        "write_s": statistics.median(stored),
        "bulk_create_s": statistics.median(created),
        "write_ratio": statistics.median(created) / statistics.median(stored),
        **_loading(n_bars, repeats),
    }


def _loading(n_bars: int, repeats: int) -> dict[str, float]:
    import numpy as np

    from apps.marketdata import selectors
    from apps.marketdata.models import Bar

    def from_rows() -> Any:
        rows = Bar.objects.filter(symbol_id="BTCUSDT", interval="1m").order_by("open_time_ms")
        return np.array(list(rows.values_list(*selectors.BAR_COLUMNS)), np.int64)

    def from_columns() -> Any:
        return selectors.bars_load("BTCUSDT", "1m", folded_only=False)

    build_s = _seconds(from_columns)
    cold_s = _seconds(from_columns)
    warm = [_seconds(from_columns) for _ in range(repeats)]
    plain = [_seconds(from_rows) for _ in range(min(repeats, 3))]
    table, bars = from_rows(), from_columns()
    if bars.n != n_bars or not all((table[:, at] == column).all() for at, column in enumerate(bars)):
        raise SystemExit("the columns differ from the rows")
    return {
        "build_s": build_s,
        "load_second_ms": cold_s * 1e3,
        "load_ms": statistics.median(warm) * 1e3,
        "values_list_s": statistics.median(plain),
        "load_ratio": statistics.median(plain) / statistics.median(warm),
    }


def _walk(n: int) -> Any:
    import numpy as np

    from apps.engine.values import Bars

    rng = np.random.default_rng(7)
    close = (20_000_00 + np.cumsum(rng.integers(-500, 501, n))) * 1_000_000
    open_ = np.concatenate([close[:1], close[:-1]])
    spread = rng.integers(0, 300, n) * 1_000_000
    start = 1_577_836_800_000
    columns = (
        start + MINUTE * np.arange(n), open_, np.maximum(open_, close) + spread, np.minimum(open_, close) - spread,
        close, rng.integers(1, 10**10, n), rng.integers(1, 500, n),
    )  # fmt: skip
    return Bars(*(np.ascontiguousarray(column, np.int64) for column in columns))


def _store(services: Any, symbol: str, bars: Any) -> None:
    now_ms = int(bars.open_time_ms[-1]) + MINUTE
    for start in range(0, bars.n, WRITE_BATCH):
        block = bars.slice(start, start + WRITE_BATCH)
        services.bars_store(symbol=symbol, interval="1m", bars=block, source="bench", ts_ms=now_ms)


def _create(symbol: str, bars: Any) -> None:
    from django.db import transaction

    from apps.marketdata import services
    from apps.marketdata.models import Bar

    services.symbol_ensure(name=symbol)
    for start in range(0, bars.n, WRITE_BATCH):
        rows = zip(*(column.tolist() for column in bars.slice(start, start + WRITE_BATCH)), strict=True)
        with transaction.atomic():
            Bar.objects.bulk_create(
                [
                    Bar(
                        symbol_id=symbol, interval="1m", source="bench",
                        **dict(zip(type(bars)._fields, row, strict=True)),
                    )
                    for row in rows
                ],
                batch_size=2_000,
            )  # fmt: skip


def _seconds(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def _table(figures: dict[str, float]) -> str:
    return "\n".join(
        [
            f"write {figures['written']:,} bars: {figures['write_s']:.2f} s, "
            f"bulk_create {figures['bulk_create_s']:.2f} s: {figures['write_ratio']:.1f} x",
            f"load {figures['bars']:,} bars: {figures['load_ms']:.0f} ms, values_list {figures['values_list_s']:.2f} s:"
            f" {figures['load_ratio']:.0f} x (columns built in {figures['build_s']:.1f} s)",
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())
