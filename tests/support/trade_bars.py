"""Run in a process of its own: seed the desk of this environment, trade synthetic bars, print its report as JSON."""

from __future__ import annotations

import json

import django

from tradedesk.env import prepare_process

prepare_process()
django.setup()


def main() -> None:
    from django.conf import settings

    from apps.execution.bars_autopilot import BarsAutopilot
    from apps.execution.desk_thread import desk_thread
    from apps.execution.reporting import desk_report
    from tests.support.bars import walk_bars
    from tests.support.desk import seed_desk, store
    from tradedesk.startup import kernels_ready

    kernels_ready(lambda line: None)
    seed_desk(settings.SYMBOLS)
    for seed, symbol in enumerate(settings.SYMBOLS):
        store(symbol, walk_bars(700, seed=seed + 1, sigma=0.003))
    BarsAutopilot().step()
    desk_thread().stop()
    print(json.dumps(desk_report()))


if __name__ == "__main__":
    main()
