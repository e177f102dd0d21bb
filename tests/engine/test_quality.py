"""The hard rules of a bar's shape: each broken once, and none broken by a good block."""

from __future__ import annotations

import numpy as np
import pytest

from apps.engine.quality import FAULT_TEXT, HARD, SOFT, BarFault, schema_faults
from apps.engine.values import Bars

MINUTE = 60_000
START = 1_600_000_020_000 // MINUTE * MINUTE
NOW = START + 1_000 * MINUTE


def block(n: int = 5, dtype: type = np.int64) -> Bars:
    opens = START + MINUTE * np.arange(n, dtype=np.int64)
    flat = np.full(n, 100, dtype=dtype)
    return Bars(opens, flat.copy(), flat + 5, flat - 5, flat + 1, np.zeros(n, dtype=dtype), np.zeros(n, dtype=np.int64))


def broken(column: str, row: int, value: float, *, dtype: type = np.int64) -> Bars:
    bars = block(dtype=dtype)
    getattr(bars, column)[row] = value
    return bars


def test_a_good_block_has_no_faults() -> None:
    assert schema_faults(block(500), interval_ms=MINUTE, now_ms=NOW) == []
    assert schema_faults(block(0), interval_ms=MINUTE, now_ms=NOW) == []


@pytest.mark.parametrize(
    ("bars", "row", "reason"),
    [
        (broken("open_e8", 2, np.nan, dtype=np.float64), 2, BarFault.NOT_FINITE),
        (broken("high_e8", 1, np.inf, dtype=np.float64), 1, BarFault.NOT_FINITE),
        (broken("volume_e8", 1, np.nan, dtype=np.float64), 1, BarFault.NOT_FINITE),
        (broken("low_e8", 0, 0), 0, BarFault.NOT_POSITIVE),
        (broken("close_e8", 3, -4), 3, BarFault.NOT_POSITIVE),
        (broken("low_e8", 2, 101), 2, BarFault.LOW_ABOVE_BODY),
        (broken("high_e8", 2, 100), 2, BarFault.HIGH_BELOW_BODY),
        (broken("open_e8", 4, 106), 4, BarFault.HIGH_BELOW_BODY),
        (broken("volume_e8", 4, -1), 4, BarFault.NEGATIVE_VOLUME),
        (broken("trades", 4, -1), 4, BarFault.NEGATIVE_TRADES),
        (broken("open_time_ms", 1, START + MINUTE + 1), 1, BarFault.OFF_GRID),
        (broken("open_time_ms", 0, -MINUTE), 0, BarFault.OFF_GRID),
        (broken("open_time_ms", 3, START + 2 * MINUTE), 3, BarFault.DUPLICATE),
        (broken("open_time_ms", 3, START), 3, BarFault.OUT_OF_ORDER),
        (broken("open_time_ms", 4, NOW + MINUTE), 4, BarFault.IN_FUTURE),
    ],
)
def test_each_rule_names_the_row_and_the_reason(bars: Bars, row: int, reason: BarFault) -> None:
    assert [(fault.row, fault.reason) for fault in schema_faults(bars, interval_ms=MINUTE, now_ms=NOW)] == [
        (row, reason)
    ]


def test_a_bar_counts_once_it_has_closed() -> None:
    bars = block(3)
    closes = START + 3 * MINUTE
    assert schema_faults(bars, interval_ms=MINUTE, now_ms=closes, slack_ms=0) == []
    faults = schema_faults(bars, interval_ms=MINUTE, now_ms=closes - 1, slack_ms=0)
    assert [(fault.row, fault.reason) for fault in faults] == [(2, BarFault.NOT_CLOSED)]
    assert schema_faults(bars, interval_ms=MINUTE, now_ms=closes - 1_500) == []


def test_a_bar_far_ahead_makes_every_later_one_out_of_order() -> None:
    bars = broken("open_time_ms", 1, START + 100 * MINUTE)
    assert [fault.row for fault in schema_faults(bars, interval_ms=MINUTE, now_ms=NOW)] == [2, 3, 4]


def test_every_fault_has_its_words() -> None:
    assert set(FAULT_TEXT) == set(BarFault) == set(HARD) | set(SOFT)
    assert set(HARD).isdisjoint(SOFT)


def test_a_ragged_block_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="equally long"):
        schema_faults(block(3)._replace(trades=np.zeros(2, dtype=np.int64)), interval_ms=MINUTE, now_ms=NOW)
