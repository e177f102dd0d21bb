"""The gate: what may be stored, what is held back, and the rows and records that say so."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from apps.audit.selectors import audit_latest
from apps.flags.services import flags_set
from apps.marketdata import quarantine
from apps.marketdata.models import Bar, QualityCount, Quarantine
from apps.marketdata.quality_gate import BORNE_OUT, Admitted, bars_admit
from tests.marketdata.builders import E8, MINUTE, START
from tests.marketdata.quality_samples import Candle, bars_of, spiked, times, walk

FAR = START + 100_000 * MINUTE
MARKET = walk(160)


@pytest.fixture(autouse=True)
def database(desk_db: Path) -> None:
    """Every test here has a desk of its own."""


def admit(candles: Iterable[Candle], **more: Any) -> Admitted:
    options = {"symbol": "BTCUSDT", "interval": "1m", "source": "test", "origin": "stream", "ts_ms": FAR}
    return bars_admit(bars=bars_of(candles), **{**options, **more})


def stored() -> list[Candle]:
    columns = ("open_time_ms", "open_e8", "high_e8", "low_e8", "close_e8", "volume_e8", "trades")
    return list(Bar.objects.order_by("open_time_ms").values_list(*columns))


def counts() -> tuple[int, int]:
    counted = QualityCount.objects.get()
    return counted.checked, counted.accepted


def kinds() -> list[str]:
    return [record.content["kind"] for record in reversed(audit_latest(50))]


def relax() -> None:
    flags_set(changes={"DataQuality": "relaxed"}, actor="test", reason="a test", ts_ms=1)


def with_low_above(candle: Candle) -> Candle:
    return (*candle[:3], candle[2], *candle[4:])


def test_a_bad_candle_raises_the_quarantine_count_and_the_good_ones_are_stored() -> None:
    bad = with_low_above(MARKET[2])
    admitted = admit([*MARKET[:2], bad, *MARKET[3:5]])
    assert (admitted.stored.inserted, admitted.held, admitted.noted) == (4, (bad[0],), ())
    assert stored() == [*MARKET[:2], *MARKET[3:5]]
    row = Quarantine.objects.get()
    assert (row.reason, row.status, row.origin, row.source) == ("low_above_body", "pending", "stream", "test")
    assert (row.found_ts_ms, row.next_try_ts_ms, row.mode) == (FAR, FAR + 2_000, "strict")
    assert quarantine.candle_of(row) == bad and counts() == (5, 4)


@pytest.mark.parametrize("mode", ["strict", "relaxed"])
def test_no_mode_stores_what_breaks_a_hard_rule(mode: str) -> None:
    flags_set(changes={"DataQuality": mode}, actor="test", reason="a test", ts_ms=1)
    admitted = admit([with_low_above(MARKET[0])])
    assert (admitted.stored.inserted, admitted.held, stored()) == (0, (MARKET[0][0],), [])
    assert Quarantine.objects.get().mode == mode


def test_a_spike_is_held_with_its_score_and_judges_nobody_after_it() -> None:
    admit(MARKET[:130])
    bad = spiked(MARKET[130], 1.05)
    admitted = admit([bad, *MARKET[131:140]])
    assert (admitted.held, admitted.stored.inserted) == ((bad[0],), 9)
    assert bad not in stored()
    row = Quarantine.objects.get()
    assert row.reason == "spike" and row.score is not None and row.score > 10
    assert counts() == (140, 139)


def test_relaxed_stores_a_spike_and_writes_it_down() -> None:
    relax()
    admit(MARKET[:130])
    bad = spiked(MARKET[130], 1.05)
    admitted = admit([bad, *MARKET[131:140]])
    assert (admitted.held, admitted.noted, admitted.stored.inserted) == ((), (bad[0],), 10)
    assert bad in stored()
    row = Quarantine.objects.get()
    assert (row.status, row.mode, row.next_try_ts_ms) == ("noted", "relaxed", None)
    assert counts() == (140, 140)


def test_the_same_bad_candle_makes_one_row_and_is_counted_once() -> None:
    admit(MARKET[:130])
    bad = spiked(MARKET[130], 1.05)
    payload = {bad[0]: "as the stream wrote it"}
    assert [admit([bad], raw=payload).held, admit([bad]).held, admit([bad], origin="rest").held] == [(bad[0],)] * 3
    assert Quarantine.objects.count() == 1 and Quarantine.objects.get().raw == "as the stream wrote it"
    assert counts() == (131, 130) and kinds().count("marketdata.quarantine.found") == 1


def test_another_bad_value_of_the_same_bar_is_another_row() -> None:
    admit(MARKET[:130])
    admit([spiked(MARKET[130], 1.05)])
    admit([spiked(MARKET[130], 1.06)])
    assert Quarantine.objects.count() == 2


def test_a_passing_value_of_a_held_bar_replaces_it_and_both_hashes_are_recorded() -> None:
    admit(MARKET[:130])
    bad = spiked(MARKET[130], 1.05)
    admit([bad])
    admitted = admit([MARKET[130]], origin="rest")
    assert (admitted.stored.inserted, admitted.held) == (1, ())
    row = Quarantine.objects.get()
    assert (row.status, row.replacement) == ("replaced", quarantine.candle_text(MARKET[130]))
    assert quarantine.candle_of(row) == bad, "the original is kept"
    record = audit_latest(1)[0].content
    assert record["kind"] == "marketdata.quarantine.resolved"
    assert (record["rawHash"], record["replacementHash"]) == (row.raw_hash, row.replacement_hash)


def test_every_held_candle_and_every_verdict_is_a_record() -> None:
    admit([*MARKET[:130], with_low_above(MARKET[130]), *MARKET[131:135]])
    admit([MARKET[130]])
    assert kinds() == ["marketdata.quarantine.found", "marketdata.quarantine.resolved"]


def test_history_that_keeps_a_crash_confirms_it_and_it_measures_what_follows() -> None:
    crash = [times(candle, 0.8) for candle in MARKET[131:160]]
    fall = spiked(MARKET[130], 0.8)
    admitted = admit([*MARKET[:130], fall, *crash], origin="import")
    assert (admitted.held, admitted.stored.inserted) == ((), 160)
    row = Quarantine.objects.get()
    assert (row.open_time_ms, row.status, row.evidence["why"]) == (fall[0], "confirmed", BORNE_OUT)


def test_the_stream_asks_for_a_second_word_even_when_the_next_bar_keeps_the_move() -> None:
    admit(MARKET[:130])
    fall = spiked(MARKET[130], 0.8)
    admitted = admit([fall, *(times(candle, 0.8) for candle in MARKET[131:135])])
    assert (admitted.held, admitted.stored.inserted) == ((fall[0],), 4)


def test_a_repeated_bar_is_written_down_and_settled_by_the_one_that_is_stored() -> None:
    admitted = admit([*MARKET[:3], MARKET[2]])
    assert (admitted.held, admitted.stored.inserted) == ((), 3)
    row = Quarantine.objects.get()
    assert (row.reason, row.status) == ("duplicate", "confirmed")


def test_an_impossible_time_does_not_spoil_the_bars_after_it() -> None:
    late = (FAR + 10 * MINUTE, *MARKET[2][1:])
    admitted = admit([*MARKET[:2], late, *MARKET[3:6]])
    assert (admitted.held, admitted.stored.inserted) == ((late[0],), 5)
    assert Quarantine.objects.get().reason == "in_future"


def test_text_that_no_database_takes_is_kept_in_another_spelling() -> None:
    told = {"symbol": "BTCUSDT", "interval": "1m", "origin": "stream", "source": "test", "ts_ms": FAR}
    quarantine.unreadable_hold(open_time_ms=START, raw="a\ud800b\x00c", detail="\ud800", **told)
    row = Quarantine.objects.get()
    assert (row.raw, row.detail) == ("a\\ud800b\\u0000c", "\\ud800")


@pytest.mark.parametrize("opened", [2**63 - 1, -(2**63), -MINUTE, START + 1])
def test_no_time_is_too_strange_to_be_written_down(opened: int) -> None:
    admitted = admit([MARKET[0], (opened, *MARKET[1][1:]), MARKET[2]])
    assert (admitted.held, admitted.stored.inserted) == ((opened,), 2)
    assert Quarantine.objects.get().open_time_ms == opened


def test_what_is_stored_is_not_judged_again_and_stays_as_first_observed() -> None:
    admit(MARKET[:140])
    admitted = admit([*MARKET[:135], times(MARKET[135], 2.0), *MARKET[136:145]])
    assert (admitted.stored.conflicting, admitted.stored.inserted, admitted.held) == (1, 5, ())
    assert MARKET[135] in stored() and Quarantine.objects.count() == 0 and counts() == (145, 145)


def test_later_bars_are_judged_by_what_is_stored_not_by_what_came_instead_of_it() -> None:
    admit(MARKET[:140])
    admitted = admit([times(MARKET[139], 1.3), *MARKET[140:145]])
    assert (admitted.stored.conflicting, admitted.stored.inserted, admitted.held) == (1, 5, ())


def test_what_passed_earlier_in_the_block_measures_what_comes_later_in_it() -> None:
    admit([MARKET[60]])
    bad = spiked(MARKET[70], 1.05)
    admitted = admit([*MARKET[:70], bad, *MARKET[71:75]])
    assert (admitted.held, admitted.stored.inserted, admitted.stored.unchanged) == ((bad[0],), 73, 1)


def test_a_hole_is_judged_by_the_bars_around_it() -> None:
    admit([*MARKET[:130], *MARKET[135:140]])
    bad = spiked(MARKET[132], 0.9)
    admitted = admit([*MARKET[128:132], bad, *MARKET[133:138]])
    assert (admitted.held, admitted.stored.inserted) == ((bad[0],), 4)


def test_a_discarded_candle_stays_out_without_a_second_row() -> None:
    bad = with_low_above(MARKET[0])
    admit([bad])
    Quarantine.objects.update(status="discarded")
    assert admit([bad]).held == (bad[0],) and Quarantine.objects.get().status == "discarded"
    admit(MARKET[:130])
    spike = spiked(MARKET[130], 1.05)
    admit([spike])
    Quarantine.objects.filter(reason="spike").update(status="discarded")
    relax()
    assert admit([spike]).held == (spike[0],) and spike not in stored()


def test_nothing_is_left_of_a_block_whose_store_fails() -> None:
    def fail(**asked: Any) -> Any:
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        admit([with_low_above(MARKET[0]), *MARKET[1:3]], store=fail)
    assert (Quarantine.objects.count(), QualityCount.objects.count(), kinds()) == (0, 0, [])


def test_the_store_is_the_one_given_and_sees_only_what_passed() -> None:
    seen: list[int] = []

    def spy(**asked: Any) -> Any:
        from apps.marketdata.services import bars_store

        seen.extend(asked["bars"].open_time_ms.tolist())
        return bars_store(**asked)

    admit([with_low_above(MARKET[0]), *MARKET[1:3]], store=spy)
    assert seen == [MARKET[1][0], MARKET[2][0]]


def test_an_unreadable_payload_is_kept_as_it_came() -> None:
    told = {"symbol": "BTCUSDT", "interval": "1m", "origin": "stream", "source": "test", "ts_ms": FAR}
    for _ in range(2):
        quarantine.unreadable_hold(open_time_ms=START, raw='{"c":"NaN\x00"}', detail="'NaN' is no number", **told)
    row = Quarantine.objects.get()
    assert (row.reason, row.status, row.raw) == ("unreadable", "pending", '{"c":"NaN\\u0000"}')
    assert quarantine.candle_of(row) is None and kinds() == ["marketdata.quarantine.found"]


def test_what_does_not_even_tell_its_bar_holds_nothing_and_is_only_noted() -> None:
    told = {"symbol": "BTCUSDT", "interval": "1m", "origin": "stream", "source": "test", "ts_ms": FAR}
    quarantine.unreadable_hold(open_time_ms=None, raw="<html>", detail="no JSON", **told)
    assert Quarantine.objects.get().status == "noted"


def test_a_later_value_of_a_stored_bar_is_noted_beside_it() -> None:
    admit(MARKET[:2])
    newer = times(MARKET[1], 1.001)
    told = {"symbol": "BTCUSDT", "interval": "1m", "source": "test", "ts_ms": FAR}
    quarantine.mismatch_record(stored=MARKET[1], newer=newer, **told)
    row = Quarantine.objects.get()
    assert (row.reason, row.status, row.origin) == ("rest_mismatch", "noted", "check")
    assert row.raw == quarantine.candle_text(newer) and stored() == MARKET[:2]


def test_candles_are_written_as_the_exchange_writes_them() -> None:
    assert quarantine.candle_text((START, 100 * E8, 105 * E8, 95 * E8, 101 * E8, E8 // 2, 3)) == (
        f'[{START},"100","105","95","101","0.5",3]'
    )
