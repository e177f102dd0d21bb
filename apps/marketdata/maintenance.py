"""When was the exchange known to be closed? Halts of the whole spot market, each with who says so.

A bar is excused when it lies wholly inside a halt: the exchange makes no bars while nothing trades, and nobody can
fetch them later. Only what a source states is listed; a bar missing for another reason is asked for and, when the
exchange does not have it, is written down as absent.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from apps.engine.values import IntArray1d


class Halt(NamedTuple):
    """Nothing traded from `start_ms` up to `end_ms`."""

    start_ms: int
    end_ms: int
    source: str


_ISSUE = "github.com/binance/binance-public-data/issues/"
_RECORDED = "bars recorded from the exchange's archive"
_KNOWN = (
    ("2017-09-06 16:00", "2017-09-06 23:00", _ISSUE + "365"),
    ("2017-12-04 06:01", "2017-12-04 06:49", _ISSUE + "365"),
    ("2017-12-18 10:01", "2017-12-18 10:14", _ISSUE + "365"),
    ("2017-12-18 12:30", "2017-12-18 13:34", _ISSUE + "365"),
    ("2018-01-04 03:01", "2018-01-04 05:06", _ISSUE + "365"),
    ("2018-02-08 00:29", "2018-02-09 10:00", _ISSUE + "365"),
    ("2018-02-10 06:00", "2018-02-10 06:15", _ISSUE + "365"),
    ("2018-02-11 04:01", "2018-02-11 04:35", _ISSUE + "365"),
    ("2018-06-26 02:00", "2018-06-26 12:00", _ISSUE + "365"),
    ("2018-06-27 13:00", "2018-06-27 14:45", _ISSUE + "365"),
    ("2018-07-04 00:23", "2018-07-04 08:00", _ISSUE + "365"),
    ("2018-10-19 06:00", "2018-10-19 09:30", _ISSUE + "365"),
    ("2018-11-14 02:00", "2018-11-14 09:00", _ISSUE + "365"),
    ("2019-03-12 02:00", "2019-03-12 08:00", _ISSUE + "365"),
    ("2019-05-15 03:00", "2019-05-15 13:00", _ISSUE + "365"),
    ("2019-06-07 21:14", "2019-06-07 22:15", _ISSUE + "365"),
    ("2019-08-15 02:00", "2019-08-15 10:00", _RECORDED),
    ("2019-11-13 02:00", "2019-11-13 04:00", _RECORDED),
    ("2019-11-25 02:00", "2019-11-25 04:00", _RECORDED),
    ("2020-02-09 02:00", "2020-02-09 03:00", _ISSUE + "368"),
    ("2020-02-19 11:36", "2020-02-19 17:30", _ISSUE + "368"),
    ("2020-03-04 09:22", "2020-03-04 11:30", _ISSUE + "368"),
    ("2020-04-25 02:00", "2020-04-25 04:30", _ISSUE + "368"),
    ("2020-06-28 02:00", "2020-06-28 05:30", _ISSUE + "368"),
    ("2020-11-30 06:00", "2020-11-30 07:00", "github.com/ccxt/ccxt/issues/8068"),
    ("2020-12-21 13:48", "2020-12-21 18:00", _ISSUE + "368"),
    ("2020-12-25 02:00", "2020-12-25 03:00", _ISSUE + "368"),
    ("2021-02-11 03:41", "2021-02-11 05:00", _ISSUE + "368"),
    ("2021-03-06 02:00", "2021-03-06 03:30", _ISSUE + "368"),
    ("2021-04-20 02:00", "2021-04-20 04:30", _ISSUE + "368"),
    ("2021-04-25 04:01", "2021-04-25 08:45", _ISSUE + "368"),
    ("2021-08-13 02:00", "2021-08-13 06:00", "github.com/ccxt/ccxt/issues/9854"),
    ("2021-09-29 07:00", "2021-09-29 09:00", "help.bituniverse.org/announcements/2021-09-29"),
    ("2023-03-24 12:40", "2023-03-24 14:00", "binance.com/en/news/flash/7520134"),
)


def _epoch_ms(minute: str) -> int:
    return int(datetime.fromisoformat(f"{minute}+00:00").timestamp()) * 1000


HALTS = tuple(Halt(_epoch_ms(start), _epoch_ms(end), source) for start, end, source in _KNOWN)
_STARTS = np.array([halt.start_ms for halt in HALTS], dtype=np.int64)
_ENDS = np.array([halt.end_ms for halt in HALTS], dtype=np.int64)


def in_halt(opens: IntArray1d, length_ms: int) -> npt.NDArray[np.bool_]:
    """Which of the bars that open at these times lie wholly inside a known halt."""
    place = np.searchsorted(_STARTS, opens, side="right") - 1
    return (place >= 0) & (opens + length_ms <= _ENDS[np.maximum(place, 0)])
