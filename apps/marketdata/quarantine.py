"""What becomes of a candle that is not believed? It is kept as it came, and every verdict on it is a row and a record.

The functions here write rows and return notes for the audit; whoever holds the transaction writes those last.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import F, Max, QuerySet

from apps.audit.services import audit_append
from apps.engine.decimals import e8_text
from apps.engine.values import Bars
from apps.flags.selectors import flag_value
from apps.marketdata.models import QualityCount, Quarantine
from apps.marketdata.selectors import bar_last
from apps.marketdata.services import symbol_ensure
from apps.web.values import LATEST_MS, iso_ms

STRICT, RELAXED = "strict", "relaxed"
STREAM, REST, IMPORT, CHECK = "stream", "rest", "import", "check"
UNREADABLE, REST_MISMATCH = "unreadable", "rest_mismatch"
FIRST_WAIT_MS = 2_000
RAW_LIMIT = 16_384  # characters kept of a payload; the hash covers all of it
ACTOR = "feed"
CAME_AGAIN = "it came again and passed"
Candle = tuple[int, ...]  # the columns of Bars, in their order


class Finding(NamedTuple):
    """Why one candle is not believed. `candle` is None when its payload could not be read."""

    symbol: str
    interval: str
    open_time_ms: int | None
    reason: str
    detail: str
    raw: str
    origin: str
    source: str
    candle: Candle | None = None
    score: float | None = None


class Note(NamedTuple):
    """A record that the audit is owed for a change made in the same transaction."""

    kind: str
    actor: str
    ts_ms: int
    body: dict[str, Any]


def quality_mode() -> str:
    """`strict` holds suspects back; `relaxed` stores them and writes down that they were suspect."""
    return str(flag_value("DataQuality"))


def candle_text(candle: Sequence[int]) -> str:
    """A candle as the exchange would write it: open time, four prices, volume, number of trades."""
    opened, *numbers, trades = candle
    return json.dumps([opened, *(e8_text(number) for number in numbers), trades], separators=(",", ":"))


def time_text(ts_ms: int) -> str:
    """A time as people read it; one that no calendar holds as the number it came as."""
    return iso_ms(ts_ms) if 0 <= ts_ms <= LATEST_MS else str(ts_ms)


def candle_of(row: Quarantine) -> Candle | None:
    """The candle a row holds back; None when its payload could not be read."""
    seen = row.evidence.get("candle")
    return tuple(seen) if seen else None


def candles_of(bars: Bars) -> list[Candle]:
    """The rows of a block of bars."""
    return list(zip(*(column.tolist() for column in bars), strict=True))


@transaction.atomic
def unreadable_hold(
    *, symbol: str, interval: str, open_time_ms: int | None, raw: str, detail: str, origin: str, source: str, ts_ms: int
) -> None:
    """A payload that should have been a closed candle and cannot be read. It waits when it tells at least which bar."""
    symbol_ensure(name=symbol)
    finding = Finding(symbol, interval, open_time_ms, UNREADABLE, detail, raw, origin, source)
    status = Quarantine.NOTED if open_time_ms is None else Quarantine.PENDING
    notes_write(findings_record(findings=[finding], mode=quality_mode(), status=status, ts_ms=ts_ms))


@transaction.atomic
def mismatch_record(
    *, symbol: str, interval: str, stored: Candle, newer: Candle, source: str, ts_ms: int, origin: str = CHECK
) -> None:
    """The exchange now tells another value for a stored bar, which stays as first observed: a noted row keeps both."""
    finding = Finding(
        *(symbol, interval, newer[0], REST_MISMATCH, f"stored is {candle_text(stored)}", candle_text(newer)),
        *(origin, source, newer),
    )
    notes_write(findings_record(findings=[finding], mode=quality_mode(), status=Quarantine.NOTED, ts_ms=ts_ms))


def findings_record(*, findings: Iterable[Finding], mode: str, status: str, ts_ms: int) -> list[Note]:
    """A row for each finding that has none yet."""
    notes = []
    for finding in findings:
        row, is_new = Quarantine.objects.get_or_create(
            **_identity(finding), defaults=_first(finding, mode, status, ts_ms)
        )
        if is_new:
            notes.append(note_of(row, "found", ACTOR, ts_ms))
    return notes


def resolve(
    row: Quarantine, *, status: str, actor: str, ts_ms: int, evidence: Mapping[str, Any], stored: Candle | None = None
) -> Note:
    """Close a row. `stored` is the candle that is in the bar table now; the row shows it where it is another one."""
    row.status, row.resolved_ts_ms, row.resolved_by, row.next_try_ts_ms = status, ts_ms, actor[:64], None
    row.evidence = {**row.evidence, **evidence}
    if stored is not None and stored != candle_of(row):
        row.replacement = candle_text(stored)
        row.replacement_hash = _sha256(row.replacement)
    row.save()
    return note_of(row, "resolved", actor, ts_ms, evidence=dict(evidence))


def settle_stored(
    *, symbol: str, interval: str, stored: Mapping[int, Candle], ts_ms: int, why: Mapping[int, str] | None = None
) -> list[Note]:
    """Close the pending rows of bars that are stored now: confirmed when they said the same, replaced when not."""
    if not stored:
        return []
    notes, reasons = [], why or {}
    for row in pending(symbol, interval).filter(open_time_ms__range=(min(stored), max(stored))).select_for_update():
        opened = row.open_time_ms
        if opened is not None and opened in stored:
            notes.append(settle(row, stored=stored[opened], ts_ms=ts_ms, why=reasons.get(opened, CAME_AGAIN)))
    return notes


def settle(
    row: Quarantine, *, stored: Candle, ts_ms: int, why: str, actor: str = ACTOR, said: Mapping[str, Any] | None = None
) -> Note:
    """Close a row whose bar is stored: it was true after all when the stored values are its own."""
    status = Quarantine.CONFIRMED if stored == candle_of(row) else Quarantine.REPLACED
    evidence = {"why": why, **(said or {})}
    return resolve(row, status=status, actor=actor, ts_ms=ts_ms, evidence=evidence, stored=stored)


def pending(symbol: str = "", interval: str = "") -> QuerySet[Quarantine]:
    """Rows that wait for a verdict, of one series when it is named, oldest bar first."""
    rows = Quarantine.objects.filter(status=Quarantine.PENDING)
    rows = rows.filter(symbol_id=symbol) if symbol else rows
    rows = rows.filter(interval=interval) if interval else rows
    return rows.order_by("open_time_ms", "id")


def unconfirmed_symbols(symbols: Iterable[str], now_ms: int) -> set[str]:
    """The symbols whose newest closed bar is held: nothing stored opens at or after it."""
    waiting = pending().filter(symbol_id__in=list(symbols), open_time_ms__lte=now_ms).order_by()
    newest = waiting.values_list("symbol_id", "interval").annotate(newest=Max("open_time_ms"))
    return {symbol for symbol, interval, opened in newest if (bar_last(symbol, interval) or 0) < opened}


def statuses_between(symbol: str, interval: str, first_ms: int, last_ms: int) -> dict[Candle, str]:
    """What became of the candles of a window that were not believed."""
    rows = Quarantine.objects.filter(
        symbol_id=symbol, interval=interval, open_time_ms__range=(first_ms, last_ms)
    ).order_by("id")
    return {candle: row.status for row in rows if (candle := candle_of(row)) is not None}


def count_judged(*, symbol: str, interval: str, checked: int, accepted: int) -> None:
    """Move the counters of a series."""
    if checked:
        symbol_ensure(name=symbol)
        QualityCount.objects.get_or_create(symbol_id=symbol, interval=interval)
        QualityCount.objects.filter(symbol_id=symbol, interval=interval).update(
            checked=F("checked") + checked, accepted=F("accepted") + accepted
        )


def notes_write(notes: Iterable[Note]) -> None:
    """Append what the audit is owed, as the last statements of the transaction."""
    for note in notes:
        audit_append(kind=note.kind, actor=note.actor, ts_ms=note.ts_ms, body=note.body)


def _identity(finding: Finding) -> dict[str, Any]:
    return {
        "symbol_id": finding.symbol,
        "interval": finding.interval,
        "open_time_ms": finding.open_time_ms,
        "reason": finding.reason,
        "raw_hash": _sha256(finding.raw),
    }


def _first(finding: Finding, mode: str, status: str, ts_ms: int) -> dict[str, Any]:
    is_known = finding.score is not None and math.isfinite(finding.score)
    return {
        "score": finding.score if is_known else None,
        "detail": _storable(finding.detail)[:240],
        "origin": finding.origin,
        "source": finding.source,
        "raw": _storable(finding.raw)[:RAW_LIMIT],
        "mode": mode,
        "status": status,
        "replacement": "",
        "replacement_hash": "",
        "evidence": {"candle": list(finding.candle)} if finding.candle else {},
        "found_ts_ms": ts_ms,
        "next_try_ts_ms": ts_ms + FIRST_WAIT_MS if status == Quarantine.PENDING else None,
        "resolved_by": "",
    }


def note_of(row: Quarantine, event: str, actor: str, ts_ms: int, **more: Any) -> Note:
    """What a record says of a row: floats as exact text, both payloads by hash."""
    told = {
        "symbol": row.symbol_id,
        "interval": row.interval,
        "openTimeMs": _exact(row.open_time_ms),
        "reason": row.reason,
        "score": None if row.score is None else row.score.hex(),
        "detail": row.detail,
        "origin": row.origin,
        "source": row.source,
        "mode": row.mode,
        "status": row.status,
        "rawHash": row.raw_hash,
        "replacement": row.replacement,
        "replacementHash": row.replacement_hash,
    }
    return Note(f"marketdata.quarantine.{event}", actor, ts_ms, told | more)


def _storable(text: str) -> str:
    """Text that every database takes: no NUL, nothing that is not Unicode."""
    return text.replace("\x00", "\\u0000").encode("utf-8", "backslashreplace").decode()


def _exact(ts_ms: int | None) -> int | str | None:
    """A time as a record holds it: a number that no reader of JSON rounds, else its digits."""
    return ts_ms if ts_ms is None or abs(ts_ms) < 2**53 else str(ts_ms)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
