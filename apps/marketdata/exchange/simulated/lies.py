"""Which bars does the exchange tell wrongly, late or not at all? Drawn from its seed, so that a lie can be repeated."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from apps.marketdata.exchange.simulated.bars import Bar, BarTable, table_of
from apps.marketdata.exchange.simulated.faults import Faults
from apps.marketdata.exchange.simulated.noise import key_of, mixed, mixed_array
from apps.marketdata.exchange.simulated.symbols import Spec
from apps.marketdata.exchange.simulated.tape import Kline


class HonestBars:
    """Tells every bar as it is."""

    def streamed(self, symbol: str, interval: str, kline: Kline) -> Kline | None:
        """The closing frame's bar; None when the stream does not tell it."""
        return kline

    def served(self, symbol: str, interval: str, table: BarTable, now_ms: int) -> BarTable:
        """The bars as GET klines tells them at this moment."""
        return table

    def served_again(self, symbol: str, interval: str, table: BarTable) -> BarTable:
        """The bars as the second endpoint, GET uiKlines, tells them: without mistakes."""
        return table


class LyingBars(HonestBars):
    """Tells some bars wrongly: `wrong-bar`, `late-correction` and `missing-bar`."""

    def __init__(self, faults: Faults, seed: int, specs: dict[str, Spec]) -> None:
        self._faults = faults
        self._seed = seed
        self._specs = specs

    def streamed(self, symbol: str, interval: str, kline: Kline) -> Kline | None:
        opened = np.array([kline.bar.open_ms], dtype=np.int64)
        if self._drawn("missing-bar", symbol, interval, opened)[0]:
            return None
        tick_e8 = self._specs[symbol].tick_e8
        if self._drawn("wrong-bar", symbol, interval, opened)[0]:
            return kline._replace(bar=wrong(kline.bar, tick_e8))
        if self._drawn("late-correction", symbol, interval, opened)[0]:
            return kline._replace(bar=first_thought(kline.bar, tick_e8))
        return kline

    def served(self, symbol: str, interval: str, table: BarTable, now_ms: int) -> BarTable:
        table = self.served_again(symbol, interval, table)
        late = self._drawn("late-correction", symbol, interval, table.open_ms)
        if late.any():
            wait_ms = int(self._faults["late-correction"].seconds * 1000)
            late &= (table.close_ms < now_ms) & (table.close_ms + wait_ms >= now_ms)
        if not late.any():
            return table
        tick_e8 = self._specs[symbol].tick_e8
        thought = [first_thought(bar, tick_e8) if lies else bar for bar, lies in zip(table.rows(), late, strict=True)]
        return table_of(thought)

    def served_again(self, symbol: str, interval: str, table: BarTable) -> BarTable:
        missing = self._drawn("missing-bar", symbol, interval, table.open_ms)
        return table.part(~missing) if missing.any() else table

    def _drawn(self, name: str, symbol: str, interval: str, opens: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which of these bars the fault hits."""
        setting = self._faults.get(name)
        return drawn(setting.chance if setting else 0.0, key_of(self._seed, name, symbol, interval), opens)


def drawn(chance: float, key: int, places: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Whether chance hits each place; the same whenever it is asked."""
    if chance <= 0.0:
        return np.zeros(places.shape, dtype=np.bool_)
    draws: npt.NDArray[np.bool_] = mixed_array(places.astype(np.uint64) ^ np.uint64(key)) < chance * 2.0**64
    return draws


def wrong(bar: Bar, tick_e8: int) -> Bar:
    """A bar with one of the classic mistakes: a fat finger, ten times the price, or high and low exchanged."""
    mistake = mixed(bar.open_ms) % 3
    if mistake == 0:
        close_e8 = bar.close_e8 * 11 // 10 // tick_e8 * tick_e8
        return bar._replace(close_e8=close_e8, high_e8=max(bar.high_e8, close_e8))
    if mistake == 1:
        prices = {name: getattr(bar, name) * 10 for name in ("open_e8", "high_e8", "low_e8", "close_e8")}
        return bar._replace(**prices)
    return bar._replace(high_e8=bar.low_e8 - tick_e8, low_e8=bar.high_e8)


def first_thought(bar: Bar, tick_e8: int) -> Bar:
    """A bar before its correction: half the volume, and a close on the way."""
    close_e8 = (bar.open_e8 + bar.close_e8) // 2 // tick_e8 * tick_e8
    return bar._replace(close_e8=max(close_e8, bar.low_e8), volume_e8=bar.volume_e8 // 2, quote_e8=bar.quote_e8 // 2)
