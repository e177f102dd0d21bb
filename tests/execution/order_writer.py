"""A process with a desk thread of its own that places one order after another once the start file appears.

Arguments: database, start file, ready file, seed, number of orders.
"""

from __future__ import annotations

import random
import sys
import time
from functools import partial
from pathlib import Path

BASE_MS = 1_700_000_000_000
PRICE = 50_000.0


def main(database: str, start: Path, ready: Path, seed: int, n_orders: int) -> None:
    import django
    from django.db import connections

    django.setup()
    connections.databases["default"]["NAME"] = database
    from apps.engine.decision import SOURCE_PERSON
    from apps.execution.desk_thread import desk_thread
    from apps.execution.facts import MarketFacts, mid_e8
    from apps.execution.requests import DecisionRequest, Prepared
    from apps.execution.services import decide_and_record
    from tests.support.desk import book_at

    chance = random.Random(seed)
    book = book_at("BTCUSDT", PRICE, BASE_MS)
    facts = MarketFacts(BASE_MS, {"BTCUSDT": mid_e8(book)}, 0, 0, book, book)
    requests = [
        DecisionRequest(
            "BTCUSDT", SOURCE_PERSON, f"process-{seed}", side=1, quantity_e8=chance.randint(1, 40) * 100_000
        )
        for _ in range(n_orders)
    ]
    desk_thread().run(lambda: connections["default"].ensure_connection())
    ready.touch()
    while not start.exists():
        time.sleep(0.001)
    for request in requests:
        prepared = Prepared(request, None, book, BASE_MS)
        desk_thread().run(partial(decide_and_record, prepared=prepared, read_facts=lambda: facts))
        # SQLite hands its lock to whoever asks first: without a pause one process would be done before the other began.
        time.sleep(chance.random() * 0.02)
    desk_thread().stop()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
