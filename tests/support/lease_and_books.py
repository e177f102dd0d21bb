"""On the database that DATABASE_URL names: who gets the lease, and does the reconciler see one unit of drift?

Prints one JSON object; run in a process of its own because settings are read once.
"""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from tradedesk.env import prepare_process

prepare_process()


def at_once(n: int, job: Any) -> list[Any]:
    from django.db import connections

    barrier, results = threading.Barrier(n), [None] * n

    def run(number: int) -> None:
        barrier.wait()
        results[number] = job(number)
        connections.close_all()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def leases() -> dict[str, Any]:
    """Sixteen ask at once; the winner renews, expires and is followed."""
    from apps.execution.lease import lease_take

    def take(holder: str) -> bool:
        return lease_take(name="autopilot", holder=holder, ttl_ms=300)

    winners = at_once(16, lambda number: take(f"p{number}/1/1/1"))
    winner = f"p{winners.index(True)}/1/1/1"
    renewed, early = take(winner), take("late/1/1/1")
    time.sleep(0.4)
    return {
        "winners": sum(winners),
        "renewed": renewed,
        "early": early,
        "late": take("late/1/1/1"),
        "old": take(winner),
    }


def books() -> dict[str, Any]:
    """A desk that bought and sold is balanced; one unit is found, in the account and in an old fill."""
    from apps.engine.decision import SOURCE_PERSON
    from apps.execution.facts import MarketFacts, mid_e8
    from apps.execution.models import Account, Fill
    from apps.execution.reconciler import Reconciler
    from apps.execution.requests import DecisionRequest, Prepared
    from apps.execution.services import decide_and_record
    from tests.support.desk import book_at, seed_desk

    seed_desk(("BTCUSDT",))
    book = book_at("BTCUSDT", 50_000.0, 1_700_000_000_000)
    facts = MarketFacts(book.ts_ms, {"BTCUSDT": mid_e8(book)}, 0, 0, book, book)
    for side in (1, 1, -1):
        asked = DecisionRequest("BTCUSDT", SOURCE_PERSON, "test", side=side, quantity_e8=10_000_000)
        decide_and_record(prepared=Prepared(asked, None, book, book.ts_ms), read_facts=lambda: facts)
    reconciler = Reconciler()
    found = []
    for model, column in ((None, ""), (Account, "cash_e8"), (Fill, "fee_e8")):
        if model is not None:
            row = model.objects.order_by("pk")[0]
            model.objects.filter(pk=row.pk).update(**{column: getattr(row, column) + 1})
        checked = reconciler.check(ts_ms=1_700_000_000_000)
        assert checked is not None
        found.append([entry.what for entry in checked.differences])
    return {"fills": Fill.objects.count(), "found": found}


def main() -> None:
    import django

    django.setup()
    print(json.dumps({**leases(), **books()}))


if __name__ == "__main__":
    main()
