"""Which of these bars may be stored? Every path by which a bar gets here asks this, and no bar is stored around it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from django.db import transaction

from apps.engine.quality import FAULT_TEXT, BarFault, schema_faults
from apps.engine.values import Bars
from apps.marketdata import quarantine, services
from apps.marketdata.exchange.intervals import interval_ms
from apps.marketdata.models import Quarantine
from apps.marketdata.quality_judge import judge_of
from apps.marketdata.quarantine import STREAM, STRICT, Candle, Finding, Note
from apps.marketdata.selectors import bars_from_rows, bars_load
from apps.marketdata.services import NOTHING_STORED, StoreResult

if TYPE_CHECKING:
    from apps.marketdata.sync import BarStore

BORNE_OUT = "the next bar keeps the move"
_ORDER = frozenset({BarFault.DUPLICATE, BarFault.OUT_OF_ORDER})


class Admitted(NamedTuple):
    """What became of a block: how it was stored, the open times held back, and those stored though suspect."""

    stored: StoreResult
    held: tuple[int, ...]
    noted: tuple[int, ...]


class _Fate(Enum):
    """What is done with one bar: stored or not, and the row about it."""

    PASS = "stored, no row"
    NOTE = "stored, a noted row"
    BORNE_OUT = "stored, a row that is confirmed at once"
    HOLD = "not stored, a pending row"
    REFUSE = "not stored: a person discarded this very candle"

    @property
    def is_stored(self) -> bool:
        return self not in {_Fate.HOLD, _Fate.REFUSE}


class _Block(NamedTuple):
    """A block of bars, where it came from, what is stored of its window and what is known of its bad candles."""

    symbol: str
    interval: str
    candles: list[Candle]
    source: str
    origin: str
    ts_ms: int
    mode: str
    raw: Mapping[int, str]
    stored: Mapping[int, Candle]
    seen: Mapping[Candle, str]

    def finding(self, candle: Candle, reason: str, detail: str, score: float | None = None) -> Finding:
        raw = self.raw.get(candle[0]) or quarantine.candle_text(candle)
        return Finding(
            *(self.symbol, self.interval, candle[0], reason, detail, raw, self.origin, self.source, candle, score)
        )


class _Ruling(NamedTuple):
    candle: Candle
    fate: _Fate
    finding: Finding | None = None


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
        *(symbol, interval, quarantine.candles_of(bars), source, origin, ts_ms, quarantine.quality_mode(), raw or {}),
        stored={candle[0]: candle for candle in quarantine.candles_of(known)},
        seen=quarantine.statuses_between(symbol, interval, first_ms, last_ms),
    )
    return _admit(block, _rulings(block), store)


def _admit(block: _Block, rulings: Sequence[_Ruling], store: BarStore) -> Admitted:
    """Store what passed, then write rows, counters and records."""
    passed = [ruling.candle for ruling in rulings if ruling.fate.is_stored]
    stored = _store(block, passed, store)
    here = {candle[0]: candle for candle in passed} | dict(block.stored)
    notes = _record(block, rulings, {_Fate.HOLD, _Fate.BORNE_OUT}, Quarantine.PENDING)
    notes += _record(block, rulings, {_Fate.NOTE}, Quarantine.NOTED)
    why = {ruling.candle[0]: BORNE_OUT for ruling in rulings if ruling.fate is _Fate.BORNE_OUT}
    notes += quarantine.settle_stored(
        symbol=block.symbol, interval=block.interval, stored=here, ts_ms=block.ts_ms, why=why
    )
    _count(block, rulings)
    quarantine.notes_write(notes)
    held = {ruling.candle[0] for ruling in rulings if not ruling.fate.is_stored} - here.keys()
    noted = [ruling.candle[0] for ruling in rulings if ruling.fate is _Fate.NOTE]
    return Admitted(stored, tuple(sorted(held)), tuple(noted))


def _rulings(block: _Block) -> list[_Ruling]:
    """What is to be done with each bar of the block."""
    faults = _faults(block)
    held = [_Ruling(block.candles[row], _Fate.HOLD, finding) for row, finding in faults.items()]
    whole = [candle for row, candle in enumerate(block.candles) if row not in faults]
    refused = [candle for candle in whole if block.seen.get(candle) == Quarantine.DISCARDED]
    asked = [candle for candle in whole if candle not in refused] if refused else whole
    suspects = judge_of(block.symbol, block.interval).suspicions(asked, block.stored)
    rulings = held + [_Ruling(candle, _Fate.REFUSE) for candle in refused]
    for candle in asked:
        suspicion = suspects.get(candle[0])
        if suspicion is None:
            rulings.append(_Ruling(candle, _Fate.PASS))
            continue
        fate = _fate(block, is_kept=suspicion.is_kept)
        finding = block.finding(candle, suspicion.reason.value, suspicion.detail, suspicion.score)
        rulings.append(_Ruling(candle, fate, finding))
    return sorted(rulings, key=lambda ruling: ruling.candle[0])


def _fate(block: _Block, *, is_kept: bool) -> _Fate:
    """Of a suspect. A file or a page of history tells what came next; the stream has to ask for a second word."""
    if is_kept and block.origin != STREAM:
        return _Fate.BORNE_OUT
    return _Fate.HOLD if block.mode == STRICT else _Fate.NOTE


def _faults(block: _Block) -> dict[int, Finding]:
    """What breaks a rule of shape. A bar with an impossible time does not put those after it out of order."""
    length = interval_ms(block.interval)

    def broken(rows: Sequence[int]) -> dict[int, BarFault]:
        bars = bars_from_rows(block.candles[row] for row in rows)
        return {rows[fault.row]: fault.reason for fault in schema_faults(bars, interval_ms=length, now_ms=block.ts_ms)}

    everything = range(len(block.candles))
    alone = {row: reason for row, reason in broken(everything).items() if reason not in _ORDER}
    among_others = broken([row for row in everything if row not in alone])
    return {
        row: block.finding(block.candles[row], reason.value, FAULT_TEXT[reason])
        for row, reason in sorted({**alone, **among_others}.items())
    }


def _store(block: _Block, candles: Sequence[Candle], store: BarStore) -> StoreResult:
    if not candles:
        return NOTHING_STORED
    bars, ts_ms = bars_from_rows(candles), block.ts_ms
    return store(symbol=block.symbol, interval=block.interval, bars=bars, source=block.source, ts_ms=ts_ms)


def _record(block: _Block, rulings: Sequence[_Ruling], fates: Collection[_Fate], status: str) -> list[Note]:
    news = [
        ruling.finding
        for ruling in rulings
        if ruling.finding is not None and ruling.fate in fates and ruling.candle not in block.seen
    ]
    return quarantine.findings_record(findings=news, mode=block.mode, status=status, ts_ms=block.ts_ms)


def _count(block: _Block, rulings: Sequence[_Ruling]) -> None:
    """Count each candle once: those stored before, or written down as bad before, have been counted."""
    news = [
        ruling
        for ruling in rulings
        if ruling.candle not in block.seen and (ruling.finding is not None or ruling.candle[0] not in block.stored)
    ]
    accepted = sum(ruling.fate in {_Fate.PASS, _Fate.NOTE} for ruling in news)
    quarantine.count_judged(symbol=block.symbol, interval=block.interval, checked=len(news), accepted=accepted)
