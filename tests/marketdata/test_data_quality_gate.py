"""The gate: what may be stored, what is held back, and the rows and records that say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apps.engine.values import Bars
from apps.marketdata.models import Bar, QualityCount, Quarantine
from apps.marketdata.quality_gate import Admitted, bars_admit
from apps.marketdata.selectors import bars_from_rows
from tests.marketdata.builders import E8, MINUTE, START, bars_at

FAR = START + 100_000 * MINUTE
LOW_ABOVE = (START + 2 * MINUTE, 100 * E8, 105 * E8, 101 * E8, 101 * E8, 7 * E8, 3)


def with_row(bars: Bars, *rows: tuple[int, ...]) -> Bars:
    """The bars with these rows in place of, or after, those of the same open time."""
    kept = [row for row in zip(*(column.tolist() for column in bars), strict=True)]
    for row in rows:
        at = next((place for place, other in enumerate(kept) if other[0] == row[0]), None)
        kept[slice(at, at + 1) if at is not None else slice(len(kept), None)] = [row]
    return bars_from_rows(kept)


def admit(bars: Bars, **more: Any) -> Admitted:
    options = {"symbol": "BTCUSDT", "interval": "1m", "source": "test", "origin": "rest", "ts_ms": FAR}
    return bars_admit(bars=bars, **{**options, **more})


def stored_opens() -> list[int]:
    return [
        (opened - START) // MINUTE
        for opened in Bar.objects.order_by("open_time_ms").values_list("open_time_ms", flat=True)
    ]


def test_a_bad_candle_raises_the_quarantine_count_and_the_good_ones_are_stored(desk_db: Path) -> None:
    assert Quarantine.objects.count() == 0
    admitted = admit(with_row(bars_at(range(5)), LOW_ABOVE))
    assert (admitted.stored.inserted, admitted.held, admitted.noted) == (4, (START + 2 * MINUTE,), ())
    assert stored_opens() == [0, 1, 3, 4]
    row = Quarantine.objects.get()
    assert (row.reason, row.status, row.origin, row.source) == ("low_above_body", "pending", "rest", "test")
    assert row.raw == f'[{LOW_ABOVE[0]},"100","105","101","101","7",3]' and row.evidence["candle"] == list(LOW_ABOVE)
    counted = QualityCount.objects.get()
    assert (counted.symbol_id, counted.checked, counted.accepted) == ("BTCUSDT", 5, 4)
