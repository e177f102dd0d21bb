"""`manage.py walkforward`: parameters chosen on the past, judged on what came after."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from apps.engine.codec import sha256_hex
from apps.engine.errors import InvalidInput
from apps.engine.fills import HALF_SPREAD
from apps.engine.policies import POLICIES, Policy, arms
from apps.engine.policies.files import load_policy_file
from apps.research.backtests import request as desk_request
from apps.research.progress import ProgressBar
from apps.research.report.study_page import study_page
from apps.research.validation.asked import add_bar_arguments, history_asked, told_errors
from apps.research.validation.search import GRID, RANDOM
from apps.research.validation.studies import walkforward
from apps.research.validation.study_text import study_lines
from apps.research.validation.walkforward import DESK, StudyRequest, request_check

ACTOR = "command line"


class Command(BaseCommand):
    help = (
        "Chooses a policy's parameters on training spans and measures them on the spans after, with purge and embargo; "
        "the desk (router) is measured as it learns. Every evaluation is counted and kept. Exit status: 0 done, 1 an "
        "error, 2 an argument cannot be used, 3 the same study once gave another result, 4 there are no bars."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("policy", help=f"id of a policy, a file that holds one, or {DESK}")
        parser.add_argument("--folds", type=int, default=6, help="test spans; default: %(default)s")
        parser.add_argument("--draws", type=int, default=50, help="sets of parameters tried; default: %(default)s")
        parser.add_argument("--search", choices=(RANDOM, GRID), default=RANDOM, help="default: %(default)s")
        parser.add_argument("--horizon", type=int, help="bars of a period, and of the purge; default: HORIZON_BARS")
        parser.add_argument("--embargo", type=int, help="default: what the slowest parameters need, at least a period")
        parser.add_argument("--train-blocks", type=int, default=2, help="test spans to train on; default: %(default)s")
        parser.add_argument("--rolling", action="store_true", help="train on so many, not on all there is")
        parser.add_argument("--cost-bps", type=float, help="of each fill; default: FEE_BPS and the half-spread")
        parser.add_argument("--report", metavar="FILE", help="write the page here")
        add_bar_arguments(parser, bars=100_000)

    def handle(self, *args: Any, **options: Any) -> None:
        with told_errors():
            report = _report_path(options["report"])
            policy, source_hash = _policy(options["policy"])
            request = _request(options, policy)
            request_check(request)
            if options["param"]:
                raise InvalidInput("parameters are what is searched; see backtest --param", field="param")
            history = history_asked(options)
            desk = None
            if policy is None:
                desk = desk_request.request_default(history.symbol, history.interval)
                desk = replace(desk, horizon_bars=request.horizon, seed=request.seed)
                desk_request.request_check(desk)
            draws = 1 if policy is None else request.draws
            shown = options["verbosity"] > 0
            with ProgressBar(self.stderr, history.bars.n * draws, is_shown=shown, what="walkforward") as progress:
                told, found = walkforward(
                    request=request, history=history, policy=policy, desk=desk, source_hash=source_hash,
                    actor=ACTOR, ts_ms=time.time_ns() // 1_000_000, progress=progress.advance,
                )  # fmt: skip
        if report is not None:
            report.write_text(study_page(told, found), encoding="utf-8")
        self.stdout.write(json.dumps(told) if options["json"] else "\n".join(study_lines(told)))


def _policy(named: str) -> tuple[Policy | None, str]:
    """The policy and the hash of the file it comes from; None is the desk."""
    if named == DESK:
        return None, ""
    if not named.endswith(".py"):
        if named not in POLICIES:
            known = ", ".join(policy.policy_id for policy in arms())
            raise InvalidInput(f"unknown policy {named!r}; known: {DESK}, {known}, or a file", field="policy")
        return POLICIES.get(named), ""
    path = Path(named).resolve()
    if not path.is_file():
        raise InvalidInput(f"{path} is not a file", field="policy")
    found = load_policy_file(str(path))
    if len(found) != 1:
        raise InvalidInput(f"{path} holds {len(found)} policies; a study is of one", field="policy")
    return found[0], sha256_hex(path.read_bytes())


def _request(options: dict[str, Any], policy: Policy | None) -> StudyRequest:
    cost = settings.FEE_BPS + 1e4 * HALF_SPREAD if options["cost_bps"] is None else options["cost_bps"]
    return StudyRequest(
        policy=DESK if policy is None else policy.policy_id,
        folds=options["folds"],
        draws=options["draws"],
        search=options["search"],
        seed=options["seed"],
        horizon=settings.HORIZON_BARS if options["horizon"] is None else options["horizon"],
        embargo=options["embargo"],
        train_blocks=options["train_blocks"],
        is_rolling=options["rolling"],
        cost_bps=cost,
    )


def _report_path(named: str | None) -> Path | None:
    if not named:
        return None
    path = Path(named)
    if not path.parent.is_dir() or path.is_dir():
        raise InvalidInput(f"{path} cannot be written: no such folder, or a folder itself", field="report")
    return path
