"""The whole desk over any stretch of bars, for checks that run it many times; nothing of it is kept."""

from __future__ import annotations

import numpy as np

from apps.engine.observer import Observer
from apps.engine.run import RunResult, run
from apps.engine.values import Bars
from apps.research.backtests.request import BacktestRequest, Ruleset

DESK = "desk"  # asked for instead of a policy


def desk_run(bars: Bars, request: BacktestRequest, rules: Ruleset) -> RunResult:
    """Decisions and equity of a desk that knows nothing before the first of these bars."""
    observer = Observer(rules.observe)
    settings = rules.run_settings(request, request.fills)
    inactive = np.zeros(len(observer.runs), np.int64)
    return run([observer], [bars], [rules.filters], settings, inactive=inactive, is_bocpd=rules.is_bocpd)
