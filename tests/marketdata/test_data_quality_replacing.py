"""Held candles and their second word: confirmed, replaced, or held on with an alert."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from channels.db import database_sync_to_async

from apps.audit.selectors import audit_latest
from apps.engine.errors import Conflict, InvalidInput, Unavailable
from apps.engine.values import Bars
from apps.marketdata import quarantine, releasing, replacing
from apps.marketdata.exchange.binance import venue
from apps.marketdata.market import MarketView
from apps.marketdata.models import Bar, Quarantine
from apps.marketdata.quality_gate import BORNE_OUT, bars_admit
from apps.marketdata.replacing import Replacer, backoff_ms, second_client
from apps.marketdata.services import bars_store
from tests.marketdata.builders import MINUTE, START
from tests.marketdata.quality_samples import Candle, bars_of, spiked, times, walk

MARKET = walk(160)
OTHER_HOST = "https://api.binance.com"
SERIES = {"symbol": "BTCUSDT", "interval": "1m"}
NOW = START + 135 * MINUTE
LOOPBACK = venue("simulated", rest_url="http://127.0.0.1:1", ws_url="ws://127.0.0.1:1")


class Endpoint:
    """An exchange that tells the candles it was given, by open time, and counts the questions."""

    def __init__(self, *candles: Candle, error: Exception | None = None, source: str = "test") -> None:
        self.venue = LOOPBACK._replace(source=source)
        self.told = {candle[0]: candle for candle in candles}
        self.error = error
        self.asked: list[int] = []

    async def kline(self, symbol: str, interval: str, open_time_ms: int) -> Bars | None:
        self.asked.append(open_time_ms)
        if self.error is not None:
            raise self.error
        return bars_of([self.told[open_time_ms]]) if open_time_ms in self.told else None


@pytest.fixture
def view(desk_db: Path) -> MarketView:
    fresh = MarketView(symbols=["BTCUSDT"])
    fresh.clock.observe(NOW)
    return fresh


def hold(*candles: Candle, first: int = 130, ts_ms: int = NOW) -> list[Quarantine]:
    """Store a quiet market up to `first`, then let these come in by the stream."""
    told = {**SERIES, "source": "test", "ts_ms": ts_ms}
    bars_store(bars=bars_of(MARKET[:first]), **told)
    bars_admit(bars=bars_of(candles), origin="stream", **told)
    return list(Quarantine.objects.order_by("open_time_ms"))


def replacer(view: MarketView, first: Endpoint, second: Endpoint | None) -> Replacer:
    return Replacer(first, second, bars_store, view)  # type: ignore[arg-type] # it answers the one call that is made


def stored_opens(after: int = 130) -> list[int]:
    opens = Bar.objects.filter(open_time_ms__gte=START + after * MINUTE).order_by("open_time_ms")
    return [(opened - START) // MINUTE for opened in opens.values_list("open_time_ms", flat=True)]


def bar(at: int) -> Candle | None:
    return releasing.stored_candle("BTCUSDT", "1m", START + at * MINUTE)


def sync(function: Any) -> Any:
    return database_sync_to_async(function)


def record_kinds() -> list[str]:
    return [record.kind for record in reversed(audit_latest(20))]


async def test_a_true_crash_is_confirmed_stored_as_it_came_and_announced(view: MarketView) -> None:
    crash = spiked(MARKET[130], 0.8)
    await sync(hold)(crash)
    told: list[tuple[str, int]] = []
    view.on_bar_closed(lambda symbol, opened: told.append((symbol, opened)))
    asker = replacer(view, Endpoint(crash), Endpoint(times(crash, 1.001)))
    await asker.round(NOW)
    assert view.is_unconfirmed("BTCUSDT") and told == [], "it waits two seconds before it asks"
    await asker.round(NOW + 2_000)
    row = await sync(Quarantine.objects.get)()
    assert (row.status, row.resolved_by, row.resolved_ts_ms, row.replacement) == ("confirmed", "feed", NOW + 2_000, "")
    assert row.evidence["exchange"] == quarantine.candle_text(crash)
    assert await sync(bar)(130) == crash and told == [("BTCUSDT", crash[0])]
    assert not view.is_unconfirmed("BTCUSDT")


async def test_a_wrong_value_is_replaced_and_the_original_kept(view: MarketView) -> None:
    bad = spiked(MARKET[130], 1.3)
    await sync(hold)(bad)
    await replacer(view, Endpoint(MARKET[130]), Endpoint(error=Unavailable("down"))).round(NOW + 2_000)
    row = await sync(Quarantine.objects.get)()
    assert (row.status, row.replacement) == ("replaced", quarantine.candle_text(MARKET[130]))
    assert quarantine.candle_of(row) == bad and row.evidence["second"] == "down"
    assert await sync(bar)(130) == MARKET[130]
    assert await sync(record_kinds)() == ["marketdata.quarantine.found", "marketdata.quarantine.resolved"]


async def test_another_value_that_is_suspect_too_does_not_replace_it(view: MarketView) -> None:
    await sync(hold)(spiked(MARKET[130], 1.3))
    await replacer(view, Endpoint(spiked(MARKET[130], 1.1)), None).round(NOW + 2_000)
    assert (await sync(Quarantine.objects.get)()).status == "pending" and await sync(stored_opens)() == []


async def test_two_that_disagree_leave_it_held_and_are_asked_more_and_more_rarely(view: MarketView) -> None:
    bad = spiked(MARKET[130], 1.3)
    await sync(hold)(bad)
    first = Endpoint(bad)
    asker = replacer(view, first, Endpoint(MARKET[130]))
    for now in range(NOW, NOW + 60_000, 500):
        await asker.round(now)
    assert len(first.asked) == 4, "after 2, 6, 14 and 30 s"
    row = await sync(Quarantine.objects.get)()
    assert (row.status, row.attempts, row.evidence["why"]) == ("pending", 4, "the two disagree")
    assert await sync(stored_opens)() == []


async def test_what_waits_for_a_minute_raises_one_alert(view: MarketView, caplog: pytest.LogCaptureFixture) -> None:
    await sync(hold)(spiked(MARKET[130], 1.3))
    asker = replacer(view, Endpoint(error=Unavailable("down")), None)
    await asker.round(NOW + 59_999)
    assert (await sync(Quarantine.objects.get)()).alerted_ts_ms is None
    with caplog.at_level(logging.ERROR):
        await asker.round(NOW + 60_000)
        await asker.round(NOW + 61_000)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert (await sync(Quarantine.objects.get)()).alerted_ts_ms == NOW + 60_000
    assert (await sync(record_kinds)())[-1] == "marketdata.quarantine.alert"


async def test_bars_suspect_only_for_what_was_held_before_them_go_with_it(view: MarketView) -> None:
    crash = spiked(MARKET[130], 0.8)
    after = times(MARKET[131], 0.8)
    await sync(hold)(crash)
    await sync(hold)(after)
    assert await sync(stored_opens)() == []
    await replacer(view, Endpoint(crash), Endpoint(crash)).round(NOW + 2_000)
    rows = await sync(lambda: list(Quarantine.objects.order_by("open_time_ms").values_list("status", flat=True)))()
    assert rows == ["confirmed", "confirmed"] and await sync(stored_opens)() == [130, 131]


async def test_an_unreadable_candle_is_replaced_by_what_the_exchange_says(view: MarketView) -> None:
    await sync(hold)()
    await sync(quarantine.unreadable_hold)(
        **SERIES, open_time_ms=MARKET[130][0], raw="{}", detail="?", origin="stream", source="test", ts_ms=NOW
    )
    await replacer(view, Endpoint(MARKET[130]), None).round(NOW + 2_000)
    assert (await sync(Quarantine.objects.get)()).status == "replaced" and await sync(stored_opens)() == [130]


async def test_a_bar_that_had_not_closed_waits_until_it_has(view: MarketView) -> None:
    early = MARKET[136]
    await sync(hold)(early)
    assert not (await sync(quarantine.unconfirmed_symbols)(["BTCUSDT"], NOW)), "the future is not the newest bar"
    asker = replacer(view, Endpoint(), Endpoint())
    await asker.round(NOW + 2_000)
    assert (await sync(Quarantine.objects.get)()).reason == "in_future"
    await replacer(view, Endpoint(times(early, 1.0002)), Endpoint()).round(early[0] + 2 * MINUTE)
    assert (await sync(Quarantine.objects.get)()).status == "replaced"


def test_a_symbol_is_in_doubt_while_its_newest_bar_is_held_and_not_stored_otherwise(desk_db: Path) -> None:
    hold(spiked(MARKET[130], 1.3))
    assert quarantine.unconfirmed_symbols(["BTCUSDT", "ETHUSDT"], NOW) == {"BTCUSDT"}
    assert quarantine.unconfirmed_symbols(["ETHUSDT"], NOW) == set()
    bars_store(**SERIES, bars=bars_of([MARKET[130]]), source="test", ts_ms=NOW)
    assert quarantine.unconfirmed_symbols(["BTCUSDT"], NOW) == set()


async def test_candles_of_another_market_are_not_asked_about(view: MarketView) -> None:
    await sync(hold)(spiked(MARKET[130], 1.3))
    other = Endpoint(MARKET[130], source="simulated")
    await replacer(view, other, other).round(NOW + 2_000)
    assert other.asked == []


async def test_two_processes_do_not_decide_twice(view: MarketView) -> None:
    (row,) = await sync(hold)(spiked(MARKET[130], 1.3))
    suspects = await sync(replacing.suspects_of)("BTCUSDT", "1m")
    asker = replacer(view, Endpoint(MARKET[130]), None)
    answers = await asker.resolve_many([*suspects, *suspects], NOW)
    assert [found.why for found in answers][1] == "somebody else has decided"
    assert (await sync(record_kinds)()).count("marketdata.quarantine.resolved") == 1
    assert row.pk == suspects[0].row_id


async def test_a_failing_round_does_not_end_the_task(view: MarketView, caplog: pytest.LogCaptureFixture) -> None:
    await sync(hold)(spiked(MARKET[130], 1.3))

    class Stop(Exception):
        pass

    naps = iter([None, None])

    async def nap(seconds: float) -> None:
        view.clock.observe(NOW + 2_000)
        if next(naps, Stop) is Stop:
            raise Stop

    broken = Endpoint(error=RuntimeError("a bug"))
    asker = Replacer(broken, None, bars_store, view, sleep=nap)  # type: ignore[arg-type]
    with pytest.raises(Stop):
        await asker.run()
    assert len(broken.asked) == 2 and "trying again" in caplog.text


def test_a_file_of_bars_confirms_what_the_next_bar_keeps(desk_db: Path) -> None:
    crash, spike = spiked(MARKET[130], 0.8), spiked(times(MARKET[140], 0.8), 1.2)
    told: dict[str, Any] = {**SERIES, "source": "import", "origin": "import", "ts_ms": NOW}
    after = [times(candle, 0.8) for candle in MARKET[131:150]]
    late = START + 200 * MINUTE
    bars_admit(bars=bars_of([*MARKET[:130], crash]), **told)
    assert Quarantine.objects.get().status == "pending", "the block ends here: nobody knows what comes next"
    bars_admit(bars=bars_of([*after[:9], spike, *after[10:]]), **{**told, "ts_ms": late})
    released = releasing.release_kept(**SERIES, ts_ms=late, store=bars_store)
    assert released.opens == (crash[0],)
    by_open = {row.open_time_ms: row for row in Quarantine.objects.all()}
    assert (by_open[crash[0]].status, by_open[crash[0]].evidence["why"]) == ("confirmed", BORNE_OUT)
    assert by_open[spike[0]].status == "pending" and bar(140) is None and bar(130) == crash


def test_a_person_confirms_discards_or_asks_again(desk_db: Path) -> None:
    rows = hold(spiked(MARKET[130], 1.3))
    by = {"row_id": rows[0].pk, "actor": "owner:alice", "ts_ms": NOW + 9}
    releasing.candle_ask_again(**by)
    assert Quarantine.objects.get().next_try_ts_ms == NOW + 9
    released = releasing.candle_confirm(**by, reason="seen on a second screen")
    row = Quarantine.objects.get()
    assert released.opens == (MARKET[130][0],) and bar(130) == spiked(MARKET[130], 1.3)
    assert (row.status, row.resolved_by) == ("confirmed", "owner:alice")
    for act in (releasing.candle_discard, releasing.candle_confirm):
        with pytest.raises(Conflict):
            act(**by, reason="too late")
    record = audit_latest(1)[0]
    assert (record.actor, record.content["evidence"]) == ("owner:alice", {"why": "seen on a second screen"})
    assert "marketdata.quarantine.asked_again" in record_kinds()


def test_nobody_can_confirm_what_breaks_a_hard_rule(desk_db: Path) -> None:
    (row,) = hold((*MARKET[130][:3], MARKET[130][2], *MARKET[130][4:]))
    with pytest.raises(InvalidInput):
        releasing.candle_confirm(row_id=row.pk, actor="owner:alice", reason="no", ts_ms=NOW)
    releasing.candle_discard(row_id=row.pk, actor="owner:alice", reason="nonsense", ts_ms=NOW)
    assert Quarantine.objects.get().status == "discarded" and bar(130) is None


def test_waiting_doubles_up_to_five_minutes() -> None:
    assert [backoff_ms(n) for n in (1, 2, 3, 7, 8, 9, 1_000)] == [4_000, 8_000, 16_000, 256_000, *[300_000] * 3]


@pytest.mark.parametrize(
    ("first", "url", "expected"),
    [
        (venue("binance"), "", (OTHER_HOST, "/api/v3/klines")),
        (
            venue("binance", rest_url="https://api.binance.com"),
            "",
            ("https://data-api.binance.vision", "/api/v3/klines"),
        ),
        (venue("binance"), "https://api2.binance.com", ("https://api2.binance.com", "/api/v3/klines")),
        (LOOPBACK, "", ("http://127.0.0.1:1", "/api/v3/uiKlines")),
        (LOOPBACK, "http://127.0.0.1:2", ("http://127.0.0.1:2", "/api/v3/klines")),
    ],
)
def test_the_second_endpoint_is_never_the_first_call_again(first: Any, url: str, expected: tuple[str, str]) -> None:
    client = second_client(first, url)
    assert (client.venue.rest_url, client.klines_path) == expected
