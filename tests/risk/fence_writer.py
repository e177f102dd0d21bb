"""A process that commits one record after another under the shared fence, until the stop file appears."""

from __future__ import annotations

import sys
import time
from pathlib import Path

if __name__ == "__main__":
    stop, ready = Path(sys.argv[1]), Path(sys.argv[2])
    database = sys.argv[3] if len(sys.argv) > 3 else None

    import django

    django.setup()

    from django.db import connections

    if database:
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
