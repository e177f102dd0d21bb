"""Which of these bars may be stored? Every path by which a bar gets here asks this, and no bar is stored around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from django.db import transaction

from apps.engine.quality import FAULT_TEXT, BarFault, schema_faults
from apps.engine.values import Bars
from apps.marketdata import quarantine, services
from apps.marketdata.exchange.intervals import interval_ms
from apps.marketdata.models import Quarantine
from apps.marketdata.quarantine import Candle, Finding
from apps.marketdata.selectors import bars_from_rows, bars_load
from apps.marketdata.services import NOTHING_STORED, StoreResult

if TYPE_CHECKING:
    from apps.marketdata.sync import BarStore

_ORDER = frozenset({BarFault.DUPLICATE, BarFault.OUT_OF_ORDER})


class Admitted(NamedTuple):
    """What became of a block: how it was stored, the open times held back, and those stored though suspect."""

    stored: StoreResult
    held: tuple[int, ...]
    noted: tuple[int, ...]


class _Block(NamedTuple):
    """A block of bars and where it came from."""

    symbol: str
    interval: str
    candles: list[Candle]
    source: str
    origin: str
    ts_ms: int
    raw: Mapping[int, str]

    def finding(self, row: int, reason: str, detail: str, score: float | None = None) -> Finding:
        candle = self.candles[row]
        raw = self.raw.get(candle[0]) or quarantine.candle_text(candle)
        return Finding(
            *(self.symbol, self.interval, candle[0], reason, detail, raw, self.origin, self.source, candle, score)
        )


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
    block = _Block(symbol, interval, quarantine.candles_of(bars), source, origin, ts_ms, raw or {})
    services.symbol_ensure(name=symbol)
    return _admit(block, quarantine.quality_mode(), store)


def _admit(block: _Block, mode: str, store: BarStore) -> Admitted:
    opens = [candle[0] for candle in block.candles]
    known = _known(block, min(opens), max(opens))
    verdicts = quarantine.statuses_between(block.symbol, block.interval, min(opens), max(opens))
    faults = _hard_faults(block)
    whole = [row for row in range(len(opens)) if row not in faults]
    refused = {row for row in whole if verdicts.get(block.candles[row]) == Quarantine.DISCARDED}
    passed = [row for row in whole if row not in refused]
    stored = _store(block, passed, store)
    here = {**{opens[row]: block.candles[row] for row in passed}, **known}
    news = [finding for row, finding in faults.items() if block.candles[row] not in verdicts]
    notes = quarantine.findings_record(findings=news, mode=mode, status=Quarantine.PENDING, ts_ms=block.ts_ms)
    notes += quarantine.settle_stored(symbol=block.symbol, interval=block.interval, stored=here, ts_ms=block.ts_ms)
    fresh = sum(opens[row] not in known for row in passed)
    quarantine.count_judged(symbol=block.symbol, interval=block.interval, checked=fresh + len(news), accepted=fresh)
    quarantine.notes_write(notes)
    held = {opens[row] for row in (*faults, *refused)} - here.keys()
    return Admitted(stored, tuple(sorted(held)), ())


def _hard_faults(block: _Block) -> dict[int, Finding]:
    """What breaks a rule of shape. A bar with an impossible time does not put those after it out of order."""
    length = interval_ms(block.interval)

    def broken(rows: Sequence[int]) -> dict[int, BarFault]:
        faults = schema_faults(_bars(block, rows), interval_ms=length, now_ms=block.ts_ms)
        return {rows[fault.row]: fault.reason for fault in faults}

    everything = range(len(block.candles))
    by_itself = {row: reason for row, reason in broken(everything).items() if reason not in _ORDER}
    among_others = broken([row for row in everything if row not in by_itself])
    return {
        row: block.finding(row, reason.value, FAULT_TEXT[reason])
        for row, reason in sorted({**by_itself, **among_others}.items())
    }


def _known(block: _Block, first_ms: int, last_ms: int) -> dict[int, Candle]:
    """The bars of a window that are rows already, by open time."""
    bars = bars_load(block.symbol, block.interval, start_ms=first_ms, end_ms=last_ms + 1, folded_only=False)
    return {candle[0]: candle for candle in quarantine.candles_of(bars)}


def _store(block: _Block, rows: Sequence[int], store: BarStore) -> StoreResult:
    if not rows:
        return NOTHING_STORED
    return store(
        symbol=block.symbol,
        interval=block.interval,
        bars=_bars(block, rows),
        source=block.source,
        ts_ms=block.ts_ms,
    )


def _bars(block: _Block, rows: Sequence[int]) -> Bars:
    return bars_from_rows(block.candles[row] for row in rows)
