"""`manage.py startup_check`: how many bars before a signal no longer depends on where it began?"""

from __future__ import annotations

import json
import math
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from apps.engine.errors import InvalidInput
from apps.research.backtests.history import History
from apps.research.progress import ProgressBar
from apps.research.validation import desk_startup, startup
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
from apps.research.validation.desk_run import DESK
from apps.research.validation.desk_startup import startup_desk
from apps.research.validation.policy_process import PolicyHost
from apps.research.validation.startup import SHARE, SLACK, AtLength, StartupReport, startup_policy


class Command(BaseCommand):
    help = (
        "Runs a policy (an id, a file, or all) or the whole desk (desk) from many starts and compares it with one that "
        "began long before: says whether the declared warm-up is enough, and which length would be. Exit status: 0 it "
        "is enough, 2 an argument cannot be used, 3 it is too short, 4 there are no bars."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("policy", help="id of a policy, a policy file, all, or desk")
        parser.add_argument("--starts", type=int, help="places to start from; default: 200 (desk: 60)")
        parser.add_argument("--tolerance", type=float, help="difference that counts; default: 1e-6 (desk: 0.1)")
        parser.add_argument(
            "--share", type=float, default=SHARE, help="of starts that may differ; default: %(default)s"
        )
        parser.add_argument(
            "--slack", type=float, default=SLACK, help="times the declared warm-up it may take; default: %(default)s"
        )
        parser.add_argument("--horizon", type=int, help="desk: bars between decisions; default: HORIZON_BARS")
        add_bar_arguments(parser, bars=20_000)

    def handle(self, *args: Any, **options: Any) -> None:
        with told_errors():
            is_desk = options["policy"] == DESK
            settings = _settings(options, is_desk=is_desk)
            history = history_asked(options)
            reports = (self._desk if is_desk else self._policies)(history, settings, options)
        holds = all(report.holds for report in reports)
        if options["json"]:
            told = [{**asdict(report), "holds": report.holds} for report in reports]
            self.stdout.write(json.dumps({"holds": holds, "data": told_history(history), "reports": told}))
        else:
            self.stdout.write("\n".join(line for report in reports for line in lines(report)))
        if not holds:
            sys.exit(FOUND_EXIT)

    def _policies(
        self, history: History, settings: dict[str, Any], options: dict[str, Any]
    ) -> list[StartupReport]:  # fmt: skip
        slack = options["slack"]
        with PolicyHost() as host:
            sources = host.sources(options["policy"], values_asked(options))
            with self._progress(2 * history.bars.n * len(sources), options) as progress:
                return [
                    startup_policy(host, source, history.bars, slack=slack, progress=progress.advance, **settings)
                    for source in sources
                ]

    def _desk(self, history: History, settings: dict[str, Any], options: dict[str, Any]) -> list[StartupReport]:
        request, rules = desk_asked(history, options)
        total = history.bars.n + settings["starts"] * desk_startup.LENGTHS[-1]
        with self._progress(total, options) as progress:
            return [startup_desk(history, request, rules, progress=progress.advance, **settings)]

    def _progress(self, total: int, options: dict[str, Any]) -> ProgressBar:
        return ProgressBar(self.stderr, total, is_shown=options["verbosity"] > 0, what="startup_check")


def _settings(options: dict[str, Any], *, is_desk: bool) -> dict[str, Any]:
    """Starts, tolerance and share. Raises InvalidInput naming the one at fault."""
    default = (desk_startup.STARTS, desk_startup.TOLERANCE) if is_desk else (startup.STARTS, startup.TOLERANCE)
    starts = default[0] if options["starts"] is None else options["starts"]
    tolerance = default[1] if options["tolerance"] is None else options["tolerance"]
    require_whole(starts, 2, 10_000, "starts")
    for name, value, low, high in (
        ("tolerance", tolerance, 0.0, 2.0),
        ("share", options["share"], 0.0, 1.0),
        ("slack", options["slack"], 1.0, 100.0),
    ):
        if not (math.isfinite(value) and low <= value <= high):
            raise InvalidInput(f"must be from {low:g} to {high:g}, not {value!r}", field=name)
    return {"starts": starts, "tolerance": tolerance, "share": options["share"]}


def lines(report: StartupReport) -> list[str]:
    """What was found, for people."""
    told = [f"{report.name}: from {report.starts} starts, against a run that began long before"]
    told += [_row(f"{one.bars:>6,} bars", one) for one in report.at_lengths]
    if report.name != DESK:
        told.append(_row(f"{report.declared:>6,} declared", report.at_declared))
    if report.enough is None:
        return [*told, "  FAILED  no length that was tried is enough"]
    if report.holds:
        return [*told, f"  ok      {report.enough:,} bars are enough"]
    return [*told, f"  FAILED  {report.declared:,} bars are declared, {report.enough:,} would do"]


def _row(name: str, one: AtLength) -> str:
    return f"  {name:16} {one.share:6.1%} of starts differ, at most by {one.largest:.3g}"
