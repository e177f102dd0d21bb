"""What did a guard stop for longer than one order, and who may let it go on?

A guard that latches leaves a trip; a release is a control of its own, and so is a new epoch of the account. A latch
stands while its trip is younger than both, so nothing has to be kept in step and a restart changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Max

from apps.audit.selectors import ControlValue, controls_current
from apps.risk.models import BreakerTrip
from apps.risk.states import DESK, EPOCH_KEY, released_key

ROLLING, DAILY, HARD, REPEATED = "rolling_drawdown", "daily_loss", "hard_drawdown", "repeated_orders"
_LATCHING = frozenset({DAILY, HARD, REPEATED})


class Latch(NamedTuple):
    """A guard that stays shut. `symbol` is "" for the whole desk; `until_ms` is 0 where only a person releases it."""

    name: str
    symbol: str
    since_ms: int
    until_ms: int
    reason: str

    @property
    def is_released_by_people(self) -> bool:
        return self.until_ms == 0


def trips_newest(*, using: str = DEFAULT_DB_ALIAS) -> list[BreakerTrip]:
    """The newest trip of every kind and symbol."""
    newest = BreakerTrip.objects.using(using).order_by().values("kind", "symbol").annotate(newest=Max("id"))
    rows = BreakerTrip.objects.using(using).filter(id__in=newest.values("newest"))
    return list(rows.order_by("kind", "symbol"))


def released_sequence(controls: Mapping[str, ControlValue], symbol: str = DESK) -> int:
    """The record that last released the desk's latches, or those of a symbol: its own release or the desk's."""
    keys = {released_key(DESK), released_key(symbol)}
    return max((controls[key].sequence for key in keys if key in controls), default=0)


def latches_of(trips: Iterable[BreakerTrip], controls: Mapping[str, ControlValue], *, ts_ms: int) -> list[Latch]:
    """The latches that stand at market time `ts_ms`."""
    epoch = controls[EPOCH_KEY].sequence if EPOCH_KEY in controls else 0
    return [
        Latch(trip.kind, trip.symbol, trip.tripped_at_ms, trip.until_ms, trip.reason)
        for trip in trips
        if trip.kind in _LATCHING and trip.audit_sequence > epoch and _holds(trip, controls, ts_ms)
    ]


def _holds(trip: BreakerTrip, controls: Mapping[str, ControlValue], ts_ms: int) -> bool:
    if trip.until_ms:
        return ts_ms < trip.until_ms
    return trip.audit_sequence > released_sequence(controls, trip.symbol)


def latches_current(*, ts_ms: int, using: str = DEFAULT_DB_ALIAS) -> list[Latch]:
    """Every latch that stands."""
    return latches_of(trips_newest(using=using), controls_current(using=using), ts_ms=ts_ms)


def latches_to_release(scope: str, *, ts_ms: int, using: str = DEFAULT_DB_ALIAS) -> list[Latch]:
    """What an owner's release of the desk, or of one symbol, lets go."""
    standing = latches_current(ts_ms=ts_ms, using=using)
    return [latch for latch in standing if latch.is_released_by_people and scope in (DESK, latch.symbol)]
