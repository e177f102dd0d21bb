"""`python -m tests.support.fire '{"race": {...}, ...}'`: prepare the desk, do what is asked, print it as JSON."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from tradedesk.env import prepare_process

prepare_process()


def main(asked: dict[str, dict[str, Any]]) -> dict[str, Any]:
    import django
    from django.db import connections

    django.setup()
    # Threads that are not the desk thread take part: each has a connection of its own.
    connections.databases["default"]["OPTIONS"].pop("pool", None)
    from tests.support.fire import ground, parts

    ground.prepare()
    told: dict[str, Any] = {}
    for name, given in asked.items():
        begun = time.monotonic()
        told[name] = parts.PARTS[name](**given)
        told[name]["seconds"] = round(time.monotonic() - begun, 1)
    return told


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
