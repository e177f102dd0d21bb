"""How does a held candle get out? By a second word, by the bar after it or by a person; each is one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from django.db import transaction

from apps.engine.errors import Conflict, InvalidInput
from apps.engine.quality import MOVES, BarFault, borne_out
from apps.marketdata import quarantine
from apps.marketdata.models import Quarantine
from apps.marketdata.quality_gate import BORNE_OUT
from apps.marketdata.quality_judge import Judge, judge_of
from apps.marketdata.quarantine import Candle, Note
from apps.marketdata.selectors import bars_from_rows, bars_load
from apps.marketdata.storing import BarStore, desk_store

FITS_NOW = "it fits the bars before it, now that they are known"
FOLLOWERS = 1_000


class Released(NamedTuple):
    """Open times of the bars of one series that a release stored."""

    symbol: str
    interval: str
    opens: tuple[int, ...]


def candle_confirm(*, row_id: int, actor: str, reason: str, ts_ms: int, store: BarStore | None = None) -> Released:
    """A person vouches for a held candle: store it as it came. Raises Conflict, and InvalidInput for a hard fault."""
    with transaction.atomic():
        row = locked(row_id)
        candle = quarantine.candle_of(row)
        if candle is None or not judge_of(row.symbol_id, row.interval).is_whole(candle, ts_ms):
            raise InvalidInput("breaks a rule that no bar may break; it can only be replaced or discarded", field="id")
        return release(row, candle, actor=actor, ts_ms=ts_ms, why=reason, store=store)


def candle_discard(*, row_id: int, actor: str, reason: str, ts_ms: int) -> None:
    """A person judges a held candle wrong. The bar stays missing until another value comes. Raises Conflict."""
    with transaction.atomic():
        row = locked(row_id)
        note = quarantine.resolve(row, status=Quarantine.DISCARDED, actor=actor, ts_ms=ts_ms, evidence={"why": reason})
        quarantine.notes_write([note])


def candle_ask_again(*, row_id: int, actor: str, ts_ms: int) -> None:
    """Ask the exchanges about a held candle at once and from the beginning. Raises Conflict."""
    with transaction.atomic():
        row = locked(row_id)
        row.next_try_ts_ms, row.attempts = ts_ms, 0
        row.save(update_fields=["next_try_ts_ms", "attempts"])
        quarantine.notes_write([quarantine.note_of(row, "asked_again", actor, ts_ms)])


def locked(row_id: int) -> Quarantine:
    """A pending row under its lock. Raises Conflict when there is no such row or it has its verdict."""
    row = Quarantine.objects.select_for_update().filter(pk=row_id).first()
    if row is None or row.status != Quarantine.PENDING:
        raise Conflict(f"candle {row_id} does not wait for a verdict")
    return row


def release(
    row: Quarantine,
    candle: Candle,
    *,
    actor: str,
    ts_ms: int,
    why: str,
    said: Mapping[str, Any] | None = None,
    store: BarStore | None = None,
) -> Released:
    """Store a candle for a locked row and close it, then those after it that were suspect only for its absence."""
    store = store or desk_store()
    judge = judge_of(row.symbol_id, row.interval)
    opens = [candle[0]]
    notes = [_store_and_settle(row, candle, actor=actor, ts_ms=ts_ms, why=why, said=said, store=store)]
    for follower in _followers(row, judge, ts_ms):
        seen = quarantine.candle_of(follower)
        if seen is None or judge.suspicion(seen) is not None:
            continue
        notes.append(
            _store_and_settle(follower, seen, actor=quarantine.ACTOR, ts_ms=ts_ms, why=FITS_NOW, said=None, store=store)
        )
        opens.append(seen[0])
    quarantine.notes_write(notes)
    return Released(row.symbol_id, row.interval, tuple(opens))


def release_kept(*, symbol: str, interval: str, ts_ms: int, store: BarStore | None = None) -> Released:
    """Confirm the held moves of a series that the next bar bears out: the second word that bars alone can give."""
    opens: list[int] = []
    with transaction.atomic():
        judge = judge_of(symbol, interval)
        waiting = quarantine.pending(symbol, interval).filter(reason__in=[reason.value for reason in MOVES])
        for row_id in list(waiting.values_list("pk", flat=True)):
            row = Quarantine.objects.select_for_update().get(pk=row_id)
            candle = _kept_candle(judge, row)
            if candle is not None:
                opens += release(row, candle, actor=quarantine.ACTOR, ts_ms=ts_ms, why=BORNE_OUT, store=store).opens
    return Released(symbol, interval, tuple(opens))


def _store_and_settle(
    row: Quarantine,
    candle: Candle,
    *,
    actor: str,
    ts_ms: int,
    why: str,
    said: Mapping[str, Any] | None,
    store: BarStore,
) -> Note:
    store(symbol=row.symbol_id, interval=row.interval, bars=bars_from_rows([candle]), source=row.source, ts_ms=ts_ms)
    # What is stored first stays: the table knows better than this row what the bar is now.
    here = stored_candle(row.symbol_id, row.interval, candle[0]) or candle
    return quarantine.settle(row, stored=here, ts_ms=ts_ms, why=why, actor=actor, said=said)


def stored_candle(symbol: str, interval: str, open_time_ms: int) -> Candle | None:
    """The stored bar of an open time."""
    bars = bars_load(symbol, interval, start_ms=open_time_ms, end_ms=open_time_ms + 1, folded_only=False)
    return quarantine.candles_of(bars)[0] if bars.n else None


def _followers(row: Quarantine, judge: Judge, ts_ms: int) -> list[Quarantine]:
    rows = quarantine.pending(row.symbol_id, row.interval).filter(open_time_ms__gt=row.open_time_ms)
    held = [(follower, quarantine.candle_of(follower)) for follower in rows.select_for_update()[:FOLLOWERS]]
    return [follower for follower, candle in held if candle is not None and judge.is_whole(candle, ts_ms)]


def _kept_candle(judge: Judge, row: Quarantine) -> Candle | None:
    """The candle of a row that still waits, when the bar stored after it bears it out."""
    candle = quarantine.candle_of(row)
    if candle is None or row.status != Quarantine.PENDING:
        return None  # an earlier release of the same call has taken this one along
    before = judge.history_before(candle[0])
    after = stored_candle(judge.symbol, judge.interval, candle[0] + judge.interval_ms)
    if not before.n or after is None:
        return None
    is_kept = borne_out(
        reason=BarFault(row.reason),
        before_e8=int(before.close_e8[-1]),
        suspect=bars_from_rows([candle]),
        after=bars_from_rows([after]),
    )
    return candle if is_kept else None
