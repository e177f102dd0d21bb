"""Keep the settings of a decision once: they seldom change, so this process remembers what the store already holds."""

from __future__ import annotations

from functools import partial

from django.db import connections, transaction

from apps.audit import services as audit
from apps.engine.decision import DecisionInputs
from apps.engine.record import settings_bytes

MOST = 256

# Per database: the bytes that a committed transaction has stored. A set is added to and asked by single operations.
_stored: set[tuple[str, bytes]] = set()


def settings_keep(inputs: DecisionInputs, *, using: str) -> None:
    """Put limits, router and filters into the store, unless an earlier COMMIT did. The caller holds a transaction."""
    entry = (_database(using), settings_bytes(inputs))
    if entry in _stored:
        return
    audit.snapshot_put(body=entry[1], using=using)
    # Not before: a transaction that is rolled back takes its snapshot with it.
    transaction.on_commit(partial(_remember, entry), using=using)


def forget() -> None:
    """Ask the store again, for whoever empties or replaces a database under a running process."""
    _stored.clear()


def _remember(entry: tuple[str, bytes]) -> None:
    if len(_stored) >= MOST:
        _stored.clear()
    _stored.add(entry)


def _database(using: str) -> str:
    place = connections[using].settings_dict
    return f"{place.get('HOST')}:{place.get('PORT')}/{place['NAME']}"
