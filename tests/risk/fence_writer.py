"""A process that commits one record after another under the shared fence, until the stop file appears."""

from __future__ import annotations

import sys
import time
from pathlib import Path

if __name__ == "__main__":
    stop, ready, database = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]

    # No django.setup(): fence and audit need no models, and a process without them starts sooner.
    from django.db import connections

    connections.databases["default"]["NAME"] = database

    from apps.audit.services import audit_append
    from apps.risk import fence

    ready.touch()
    while not stop.exists():
        try:
            with fence.shared():
                audit_append(kind="probe", actor="writer", ts_ms=1, body={})
        except fence.Halted:
            time.sleep(0.001)
