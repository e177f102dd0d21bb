"""`manage.py lookahead_check`: does a policy, or the desk, know what it cannot know?"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from apps.research.backtests.history import History
from apps.research.progress import ProgressBar
from apps.research.validation.asked import (
    FOUND_EXIT,
    add_bar_arguments,
    desk_asked,
    history_asked,
    require_whole,
    told_errors,
    told_history,
    values_asked,
)
from apps.research.validation.desk_lookahead import lookahead_desk
from apps.research.validation.desk_run import DESK
from apps.research.validation.lookahead import CHECKS, CUTS, LookaheadReport, lookahead_policy
from apps.research.validation.policy_process import PolicyHost
from apps.web.values import iso_ms

MAX_CUTS = 1_000


class Command(BaseCommand):
    help = (
        "Looks for a future in the signals of a policy (an id, a file, or all) or in the decisions of the whole desk "
        "(desk): the first bars alone, other futures, memory, files, a shift. Names the first bar and the signal both "
        "ways. Exit status: 0 nothing found, 2 an argument cannot be used, 3 it looks ahead, 4 there are no bars."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("policy", help="id of a policy, a policy file, all, or desk")
        parser.add_argument("--cuts", type=int, default=CUTS, help="places to cut off the future; default: %(default)s")
        parser.add_argument("--horizon", type=int, help="desk: bars between decisions; default: HORIZON_BARS")
        add_bar_arguments(parser, bars=3_000)

    def handle(self, *args: Any, **options: Any) -> None:
        with told_errors():
            require_whole(options["cuts"], 1, MAX_CUTS, "cuts")
            history = history_asked(options)
            reports = self._desk(history, options) if options["policy"] == DESK else self._policies(history, options)
        if options["json"]:
            found = {"holds": all(report.holds for report in reports), "data": told_history(history)}
            self.stdout.write(json.dumps({**found, "reports": [_document(report) for report in reports]}))
        else:
            self.stdout.write("\n".join(line for report in reports for line in lines(report)))
        if not all(report.holds for report in reports):
            sys.exit(FOUND_EXIT)

    def _policies(self, history: History, options: dict[str, Any]) -> list[LookaheadReport]:
        bars, cuts, seed = history.bars, options["cuts"], options["seed"]
        with PolicyHost() as host:
            sources = host.sources(options["policy"], values_asked(options))
            with self._progress(3 * bars.n * len(sources), options) as progress:
                return [
                    lookahead_policy(host, source, bars, cuts=cuts, seed=seed, progress=progress.advance)
                    for source in sources
                ]

    def _desk(self, history: History, options: dict[str, Any]) -> list[LookaheadReport]:
        (request, rules), cuts = desk_asked(history, options), options["cuts"]
        with self._progress(history.bars.n * (1 + cuts * 3 // 2), options) as progress:
            return [
                lookahead_desk(
                    history, request, rules, cuts=cuts, seed=options["seed"], progress=progress.advance
                )
            ]  # fmt: skip

    def _progress(self, total: int, options: dict[str, Any]) -> ProgressBar:
        return ProgressBar(self.stderr, total, is_shown=options["verbosity"] > 0, what="lookahead_check")


def lines(report: LookaheadReport) -> list[str]:
    """What was found, for people."""
    told = [f"{report.name}: {report.bars:,} bars, the future cut off at {report.cuts} places"]
    by_check = {leak.check: leak for leak in report.leaks}
    for check in report.checks:
        leak = by_check.get(check)
        if leak is None:
            told.append(f"  ok      {check:11} {CHECKS[check]}")
            continue
        both = f"{_signal(leak.blind)} from the past alone, {_signal(leak.sighted)} with more at hand"
        told.append(f"  FAILED  {check:11} bar {leak.bar} ({iso_ms(leak.open_time_ms)}): {both}; {leak.detail}")
    first = report.first
    verdict = "nothing found" if first is None else f"looks ahead, first at bar {first.bar}"
    return [*told, f"  {verdict}"]


def _signal(value: float | None) -> str:
    return "no signal" if value is None else f"{value:.6g}"


def _document(report: LookaheadReport) -> dict[str, Any]:
    return {**asdict(report), "holds": report.holds, "first": asdict(report.first) if report.first else None}
