"""Which of these bars may be stored? Every path by which a bar gets here asks this, and no bar is stored around it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
from django.db import transaction

from apps.engine.quality import FAULT_TEXT, BarFault, schema_faults
from apps.engine.values import Bars
from apps.marketdata import quarantine, services
from apps.marketdata.exchange.intervals import interval_ms
from apps.marketdata.models import Quarantine
from apps.marketdata.quality_judge import judge_of
from apps.marketdata.quarantine import STREAM, STRICT, Candle, Finding, Note
from apps.marketdata.selectors import bars_load
from apps.marketdata.services import NOTHING_STORED, StoreResult
from apps.marketdata.storing import BarStore

BORNE_OUT = "the next bar keeps the move"
_ORDER = frozenset({BarFault.DUPLICATE, BarFault.OUT_OF_ORDER})


class Admitted(NamedTuple):
    """What became of a block: how it was stored, the open times held back, and those stored though suspect."""

    stored: StoreResult
    held: tuple[int, ...]
    noted: tuple[int, ...]


class _Fate(Enum):
    """What is done with a bar that does not simply pass: stored or not, and the row about it."""

    NOTE = "stored, a noted row"
    BORNE_OUT = "stored, a row that is confirmed at once"
    HOLD = "not stored, a pending row"
    REFUSE = "not stored: a person discarded this very candle"

    @property
    def is_stored(self) -> bool:
        return self not in {_Fate.HOLD, _Fate.REFUSE}


class _Ruling(NamedTuple):
    """What is done with one bar that does not simply pass."""

    candle: Candle
    fate: _Fate
    finding: Finding | None = None


class _Block(NamedTuple):
    """A block of bars, where it came from, what is stored of its window and what is known of its bad candles."""

    symbol: str
    interval: str
    bars: Bars
    source: str
    origin: str
    ts_ms: int
    mode: str
    raw: Mapping[int, str]
    stored: Mapping[int, Candle]
    seen: Mapping[Candle, str]

    def candle(self, row: int) -> Candle:
        return tuple(int(column[row]) for column in self.bars)

    def ruling(self, row: int, fate: _Fate, reason: str, detail: str, score: float | None = None) -> _Ruling:
        candle = self.candle(row)
        raw = self.raw.get(candle[0]) or quarantine.candle_text(candle)
        where, whence = (self.symbol, self.interval), (self.origin, self.source)
        return _Ruling(candle, fate, Finding(*where, candle[0], reason, detail, raw, *whence, candle, score))


@transaction.atomic
def bars_admit(
    *,
    symbol: str,
    interval: str,
    bars: Bars,
    source: str,
    origin: str,
    ts_ms: int,
    store: BarStore = services.bars_store,
    raw: Mapping[int, str] | None = None,
) -> Admitted:
    """Judge a block of bars and store what may be stored, in one transaction.

    What breaks a hard rule is never stored. A suspect is held back when DataQuality is strict, and stored and noted
    when it is relaxed. `raw` holds payloads by open time; without one a candle's own values are kept. A bar whose open
    time is stored already is not judged again. The same bad candle makes one row, however often it comes.
    """
    if bars.n == 0:
        return Admitted(NOTHING_STORED, (), ())
    services.symbol_ensure(name=symbol)
    first_ms, last_ms = int(bars.open_time_ms.min()), int(bars.open_time_ms.max())
    known = bars_load(symbol, interval, start_ms=first_ms, end_ms=last_ms + 1, folded_only=False)
    block = _Block(
        *(symbol, interval, bars, source, origin, ts_ms, quarantine.quality_mode(), raw or {}),
        stored={candle[0]: candle for candle in quarantine.candles_of(known)},
        seen=quarantine.statuses_between(symbol, interval, first_ms, last_ms),
    )
    return _admit(block, _rulings(block), store)


def _admit(block: _Block, rulings: Mapping[int, _Ruling], store: BarStore) -> Admitted:
    """Store what passed, then write rows, counters and records."""
    barred = {row: ruling.candle[0] for row, ruling in rulings.items() if not ruling.fate.is_stored}
    passed = _without(block.bars, barred)
    told: dict[str, Any] = {"symbol": block.symbol, "interval": block.interval, "ts_ms": block.ts_ms}
    stored = store(bars=passed, source=block.source, **told) if passed.n else NOTHING_STORED
    # Unreadable candles have no values to be known by, so whether any waits is asked of the table.
    span = (int(block.bars.open_time_ms.min()), int(block.bars.open_time_ms.max()))
    waits = quarantine.pending(block.symbol, block.interval).filter(open_time_ms__range=span).exists()
    here = _here(block, passed) if rulings or waits else {}
    notes = _record(block, rulings, {_Fate.HOLD, _Fate.BORNE_OUT}, Quarantine.PENDING)
    notes += _record(block, rulings, {_Fate.NOTE}, Quarantine.NOTED)
    why = {ruling.candle[0]: BORNE_OUT for ruling in rulings.values() if ruling.fate is _Fate.BORNE_OUT}
    notes += quarantine.settle_stored(stored=here, why=why, **told)
    _count(block, rulings)
    quarantine.notes_write(notes)
    noted = [ruling.candle[0] for ruling in rulings.values() if ruling.fate is _Fate.NOTE]
    return Admitted(stored, tuple(sorted(set(barred.values()) - here.keys())), tuple(sorted(noted)))


def _here(block: _Block, passed: Bars) -> dict[int, Candle]:
    """The bars that are stored now in the window of the block; what was stored first stays."""
    return {candle[0]: candle for candle in quarantine.candles_of(passed)} | dict(block.stored)


def _rulings(block: _Block) -> dict[int, _Ruling]:
    """What is to be done with the bars that do not simply pass, by row."""
    rulings = {
        row: block.ruling(row, _Fate.HOLD, reason.value, FAULT_TEXT[reason]) for row, reason in _faults(block).items()
    }
    if Quarantine.DISCARDED in block.seen.values():
        for row in range(block.bars.n):
            if row not in rulings and block.seen.get(block.candle(row)) == Quarantine.DISCARDED:
                rulings[row] = _Ruling(block.candle(row), _Fate.REFUSE)
    rows = [row for row in range(block.bars.n) if row not in rulings]
    asked = _without(block.bars, rulings)
    for suspicion in judge_of(block.symbol, block.interval).suspicions(asked, block.stored):
        row, fate = rows[suspicion.row], _fate(block, is_kept=suspicion.is_kept)
        rulings[row] = block.ruling(row, fate, suspicion.reason.value, suspicion.detail, suspicion.score)
    return dict(sorted(rulings.items()))


def _fate(block: _Block, *, is_kept: bool) -> _Fate:
    """Of a suspect. A file or a page of history tells what came next; the stream has to ask for a second word."""
    if is_kept and block.origin != STREAM:
        return _Fate.BORNE_OUT
    return _Fate.HOLD if block.mode == STRICT else _Fate.NOTE


def _faults(block: _Block) -> dict[int, BarFault]:
    """What breaks a rule of shape. A bar with an impossible time does not put those after it out of order."""
    length = interval_ms(block.interval)

    def broken(skipped: Collection[int]) -> dict[int, BarFault]:
        rows = [row for row in range(block.bars.n) if row not in skipped]
        faults = schema_faults(_without(block.bars, skipped), interval_ms=length, now_ms=block.ts_ms)
        return {rows[fault.row]: fault.reason for fault in faults}

    found = broken(())
    alone = {row: reason for row, reason in found.items() if reason not in _ORDER}
    return found if not alone else {**alone, **broken(alone)}


def _without(bars: Bars, rows: Collection[int]) -> Bars:
    if not rows:
        return bars
    keep = np.ones(bars.n, dtype=np.bool_)
    keep[list(rows)] = False
    return Bars(*(np.ascontiguousarray(column[keep]) for column in bars))


def _record(block: _Block, rulings: Mapping[int, _Ruling], fates: Collection[_Fate], status: str) -> list[Note]:
    news = [
        ruling.finding
        for ruling in rulings.values()
        if ruling.finding is not None and ruling.fate in fates and ruling.candle not in block.seen
    ]
    return quarantine.findings_record(findings=news, mode=block.mode, status=status, ts_ms=block.ts_ms)


def _count(block: _Block, rulings: Mapping[int, _Ruling]) -> None:
    """Count each candle once: those stored before, or written down as bad before, have been counted."""
    odd = [ruling for ruling in rulings.values() if ruling.finding is not None and ruling.candle not in block.seen]
    rest = _without(block.bars, rulings)
    plain = rest.n
    if block.stored or block.seen:
        candles = quarantine.candles_of(rest)
        plain = sum(candle[0] not in block.stored and candle not in block.seen for candle in candles)
    accepted = plain + sum(ruling.fate is _Fate.NOTE for ruling in odd)
    quarantine.count_judged(symbol=block.symbol, interval=block.interval, checked=plain + len(odd), accepted=accepted)
