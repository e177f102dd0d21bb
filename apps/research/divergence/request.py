"""Which span is compared, and under which rules would a backtest run over it now?"""

from __future__ import annotations

from typing import NamedTuple

from django.conf import settings

from apps.engine.errors import DataError, InvalidInput, UnknownName
from apps.engine.values import Bars
from apps.execution.spans import Epoch, epoch_current
from apps.marketdata import selectors as market
from apps.research.backtests.history import Window
from apps.research.backtests.request import BacktestRequest, Ruleset, request_default, ruleset
from apps.strategy.selectors import fact_rows, fold_start_ms


class Series(NamedTuple):
    """One symbol: its bars from the fold's first on, the control rows, and what a backtest would run under."""

    symbol: str
    start_ms: int
    bars: Bars
    folded: Bars
    facts: tuple[tuple[int, str, str, int], ...]
    request: BacktestRequest
    rules: Ruleset


class Span(NamedTuple):
    """Bars with first_ms <= open < end_ms. What was decided from the close of the first on, and before `end_ms`,
    is compared: those decisions have the bar they would fill at."""

    first_ms: int
    end_ms: int
    epoch: Epoch
    series: tuple[Series, ...]

    @property
    def start_ms(self) -> int:
        """When the first bar has closed: from here on both trade."""
        return self.first_ms + settings.INTERVAL_MS

    @property
    def is_from_the_first(self) -> bool:
        """Whether the account was still untouched."""
        return self.first_ms <= _first_ms(self.epoch)

    @property
    def n_bars(self) -> int:
        """Bars of the grid."""
        return (self.end_ms - self.first_ms) // settings.INTERVAL_MS


def span_of(window: Window) -> Span:
    """The span with everything that is read once. Raises DataError when there is nothing to compare."""
    epoch = epoch_current()
    if epoch is None:
        raise DataError("nothing was decided yet")
    series = tuple(_series(symbol) for symbol in settings.SYMBOLS)
    length = settings.INTERVAL_MS
    oldest = max([_first_ms(epoch), *(int(one.bars.open_time_ms[0]) for one in series)])
    newest = min(int(one.bars.open_time_ms[-1]) for one in series) + length
    first_ms = oldest if window.first_ms is None else max(oldest, -(-window.first_ms // length) * length)
    end_ms = newest if window.end_ms is None else min(newest, window.end_ms // length * length)
    if window.first_ms is not None and window.end_ms is not None and window.first_ms >= window.end_ms:
        raise InvalidInput("must be before the end of the span", field="from")
    if end_ms - first_ms < 2 * length:
        raise DataError("the desk has no two closed bars in this span")
    return Span(first_ms, end_ms, epoch, series)


def _first_ms(epoch: Epoch) -> int:
    """The bar of the first decision; of a person's, the newest that had closed."""
    closed_ms = epoch.first_ts_ms // settings.INTERVAL_MS * settings.INTERVAL_MS - settings.INTERVAL_MS
    return min(closed_ms, epoch.first_bar_ms)


def symbol_check(symbol: str) -> None:
    """Raises UnknownName for a symbol that the desk does not trade."""
    if symbol and symbol not in settings.SYMBOLS:
        raise UnknownName(f"unknown symbol {symbol!r}; known: {', '.join(settings.SYMBOLS)}", field="symbol")


def _series(symbol: str) -> Series:
    start_ms = fold_start_ms(symbol)
    if start_ms is None:
        raise DataError(f"no bar of {symbol} was folded yet: nothing was decided")
    bars, folded = (
        market.bars_load(symbol, settings.INTERVAL, start_ms=start_ms, folded_only=only) for only in (False, True)
    )
    if bars.n == 0:
        raise DataError(f"the bars of {symbol} that were folded are gone")
    request = request_default(symbol, settings.INTERVAL)
    rules = ruleset(request, market.filters_current(symbol))
    return Series(symbol, start_ms, bars, folded, tuple(fact_rows(symbol)), request, rules)
