"""Which bar does a moment belong to, and when does that bar end?"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MINUTE_MS = 60_000
DAY_MS = 86_400_000
INTERVALS_MS = {
    **{"1m": MINUTE_MS, "3m": 3 * MINUTE_MS, "5m": 5 * MINUTE_MS, "15m": 15 * MINUTE_MS, "30m": 30 * MINUTE_MS},
    **{"1h": 60 * MINUTE_MS, "2h": 120 * MINUTE_MS, "4h": 240 * MINUTE_MS, "6h": 360 * MINUTE_MS},
    **{"8h": 480 * MINUTE_MS, "12h": 720 * MINUTE_MS, "1d": DAY_MS, "3d": 3 * DAY_MS, "1w": 7 * DAY_MS},
    "1M": 31 * DAY_MS,
}
# The epoch was a Thursday; weeks open on Monday.
_MONDAY_MS = 4 * DAY_MS


def interval_opens(interval: str, times_ms: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The open of the bar each time lies in, as if every bar existed. 1M follows the calendar."""
    if interval == "1M":
        months = times_ms.astype("datetime64[ms]").astype("datetime64[M]")
        return months.astype("datetime64[ms]").astype(np.int64)
    step = INTERVALS_MS[interval]
    shift = _MONDAY_MS if interval == "1w" else 0
    return (times_ms - shift) // step * step + shift


def interval_open(interval: str, ts_ms: int) -> int:
    return int(interval_opens(interval, np.array([ts_ms], dtype=np.int64))[0])


def interval_end(interval: str, open_ms: int) -> int:
    """The first moment after the bar that opens here."""
    if interval == "1M":
        return interval_open("1M", open_ms + 31 * DAY_MS)
    return open_ms + INTERVALS_MS[interval]


def serves(base_ms: int, interval: str) -> bool:
    """Whether bars of `base_ms` can be summed to this interval."""
    return interval in INTERVALS_MS and (INTERVALS_MS[interval] % base_ms == 0)


def name_of(interval_ms: int) -> str | None:
    """The name of a bar length, or None when the protocol has none for it."""
    return next((name for name, ms in INTERVALS_MS.items() if ms == interval_ms and name != "1M"), None)
