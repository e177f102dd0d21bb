"""What a line that is late, or a frame from another time, does to the prices that are called fresh."""

from __future__ import annotations

import pytest

from apps.engine.stream_events import AggTradeEvent, BookTickerEvent, MarketEvent
from apps.marketdata.clock import MarketClock
from apps.marketdata.market import MarketView

START_MS = 1_767_225_600_000
STEP_MS = 250
STALE_MS = 5_000


class LateView:
    """A live view at the end of a line; the exchange tells a quote and a trade four times a second."""

    def __init__(self) -> None:
        self.s = 100.0
        self.n = 0
        self.view = MarketView(clock=MarketClock(monotonic=lambda: self.s, max_rate=1.0), symbols=("BTCUSDT",))
        self.view.clock.observe_server(self.true_ms)

    @property
    def true_ms(self) -> int:
        return START_MS + round((self.s - 100.0) * 1_000)

    @property
    def is_fresh(self) -> bool:
        return not self.view.is_stale("BTCUSDT", STALE_MS)

    def run(self, seconds: float, *, late_ms: int = 0) -> set[bool]:
        """Whether prices were called fresh, at any step."""
        found = set()
        for _ in range(round(seconds * 1_000 / STEP_MS)):
            self.s += STEP_MS / 1_000
            self.n += 1
            self.view.apply_all(self.told(self.true_ms - late_ms))
            found.add(self.is_fresh)
        return found

    def told(self, event_ms: int) -> list[MarketEvent]:
        return [
            BookTickerEvent("BTCUSDT", self.n, 100, 1, 101, 1),
            AggTradeEvent("BTCUSDT", event_ms, self.n, 100, 1, event_ms, False),
        ]


@pytest.mark.parametrize(("late_ms", "fresh"), [(0, True), (1_000, True), (8_000, False), (60_000, False)])
def test_prices_are_never_fresh_on_a_line_that_is_late_by_more_than_the_limit(late_ms: int, fresh: bool) -> None:
    desk = LateView()
    desk.run(10)
    desk.run(STALE_MS / 1_000, late_ms=late_ms)
    assert desk.run(120, late_ms=late_ms) == {fresh}


@pytest.mark.parametrize("ahead_ms", [10_000, 3_600_000, 86_400_000])
def test_a_trade_from_the_future_neither_blinds_the_desk_nor_passes_for_news(ahead_ms: int) -> None:
    desk = LateView()
    desk.run(10)
    desk.view.apply_all(desk.told(desk.true_ms + ahead_ms))
    assert desk.run(20) == {True}
    desk.s += 6.0  # the exchange's time stops, its quotes go on
    desk.view.apply(BookTickerEvent("BTCUSDT", desk.n + 1, 100, 1, 101, 1))
    assert not desk.is_fresh
