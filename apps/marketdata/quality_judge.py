"""Does a bar look like the bars before it? The soft rules, asked against the last bars that were accepted."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from apps.engine.errors import UnknownName
from apps.engine.quality import Suspicion, schema_faults, suspicions
from apps.marketdata import quarantine, selectors
from apps.marketdata.exchange.intervals import interval_ms
from apps.marketdata.quarantine import Candle
from apps.marketdata.selectors import bars_from_rows, bars_load

N_HISTORY = 121  # the closes of 120 returns


class Judge(NamedTuple):
    """The yardstick of one series."""

    symbol: str
    interval: str
    tick_e8: int

    @property
    def interval_ms(self) -> int:
        return interval_ms(self.interval)

    def is_whole(self, candle: Candle, now_ms: int) -> bool:
        """Whether the candle by itself breaks no hard rule."""
        return not schema_faults(bars_from_rows([candle]), interval_ms=self.interval_ms, now_ms=now_ms)

    def suspicion(self, candle: Candle) -> Suspicion | None:
        """Why a whole candle is suspect after the bars stored before it; None when it is not."""
        found = self._suspicions([candle], self.history_before(candle[0]))
        return found[0] if found else None

    def suspicions(self, candles: Sequence[Candle], stored: Mapping[int, Candle]) -> dict[int, Suspicion]:
        """The suspects by open time among candles in order of time; those stored already are only looked back on."""
        accepted = self.history_before(candles[0][0]) if candles else []
        suspects: dict[int, Suspicion] = {}
        for run in _runs(candles, stored):
            if run[0][0] in stored:
                accepted += [stored[candle[0]] for candle in run]
                continue
            found = self._suspicions(run, accepted[-N_HISTORY:])
            suspects.update({run[entry.row][0]: entry for entry in found})
            doubted = {entry.row for entry in found if not entry.is_kept}
            accepted += [candle for row, candle in enumerate(run) if row not in doubted]
        return suspects

    def history_before(self, open_time_ms: int) -> list[Candle]:
        """The last accepted bars that open before a time, oldest first."""
        bars = bars_load(self.symbol, self.interval, end_ms=open_time_ms, limit=N_HISTORY, folded_only=False)
        return quarantine.candles_of(bars)

    def _suspicions(self, candles: Sequence[Candle], history: Sequence[Candle]) -> list[Suspicion]:
        return suspicions(
            bars_from_rows(candles), bars_from_rows(history), tick_e8=self.tick_e8, interval_ms=self.interval_ms
        )


def judge_of(symbol: str, interval: str) -> Judge:
    """The yardstick of a series; a tick of 1e-8 where the exchange's rules were never read."""
    try:
        return Judge(symbol, interval, selectors.filters_current(symbol).tick_e8)
    except UnknownName:
        return Judge(symbol, interval, 1)


def _runs(candles: Sequence[Candle], stored: Collection[int]) -> list[list[Candle]]:
    """Split into stretches that are stored already and stretches that are not."""
    runs: list[list[Candle]] = []
    for candle in candles:
        if runs and (runs[-1][-1][0] in stored) == (candle[0] in stored):
            runs[-1].append(candle)
        else:
            runs.append([candle])
    return runs
