"""Keeping walk-forward studies: announced before the first evaluation, so that one that was broken off counts too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.db import transaction
from django.db.models import Sum

from apps.audit.services import audit_append
from apps.engine.codec import canonical_bytes, digest_id, sha256_hex
from apps.engine.errors import IntegrityBreach
from apps.engine.policies import Policy
from apps.engine.values import Array1d
from apps.execution.assembling import YEAR_MS
from apps.marketdata.exchange.intervals import interval_ms
from apps.research.backtests import outcome
from apps.research.backtests.history import History
from apps.research.backtests.request import BacktestRequest, ruleset
from apps.research.columns import columns_hash
from apps.research.models import Study, StudyResult
from apps.research.services import exact
from apps.research.validation.desk_run import desk_run
from apps.research.validation.walkforward import (
    Outcome,
    Plan,
    StudyRequest,
    equity_of,
    evaluate,
    plan_of,
    request_check,
)

ID_PREFIX = "wf_"
SOURCES = ("folds", "period_figures", "search", "walkforward", "desk_run")
ANNOUNCED, FINISHED = "research.study", "research.study_result"


def walkforward(
    *,
    request: StudyRequest,
    history: History,
    policy: Policy | None,
    desk: BacktestRequest | None = None,
    source_hash: str = "",
    actor: str,
    ts_ms: int,
    progress: Callable[[int], None] = lambda n: None,
) -> tuple[dict[str, Any], Outcome]:
    """Announce the study, evaluate it, keep the result. Without a policy, `desk` is what runs.

    The same question under the same code is one study and no new trials. Raises IntegrityBreach when it once gave
    another result, InvalidInput when a member cannot be used.
    """
    request_check(request)
    plan = plan_of(policy, history.bars.n, request)
    study = _announce(request, plan, history, source_hash, desk, actor, ts_ms)
    curve_of, per_year = _curves(request, history, policy, desk), YEAR_MS / interval_ms(history.interval)
    found = evaluate(
        plan, curve_of, outcome.quote_of(history.bars.close_e8), request,
        bars_per_year=per_year, family_trials=max(plan.trials, trials_of(request.policy)), progress=progress,
    )  # fmt: skip
    return _keep(study, document(study, plan, found), found, actor, ts_ms), found


def trials_of(policy: str) -> int:
    """Evaluations ever announced for a policy, whether or not they were brought to an end."""
    return int(Study.objects.filter(policy=policy).aggregate(total=Sum("trials"))["total"] or 0)


def _curves(
    request: StudyRequest, history: History, policy: Policy | None, desk: BacktestRequest | None
) -> Callable[[Mapping[str, float]], Array1d]:
    if policy is not None:
        return lambda values: equity_of(policy, values, history.bars, request.cost_bps)
    assert desk is not None
    rules, length = ruleset(desk, history.filters), desk.interval_ms
    # The desk marks its account at every step of the grid, also where a bar is missing.
    steps = (history.bars.open_time_ms - int(history.bars.open_time_ms[0])) // length
    return lambda values: outcome.quote_of(desk_run(history.bars, desk, rules).equity_e8[steps])


@transaction.atomic
def _announce(
    request: StudyRequest, plan: Plan, history: History, source_hash: str, desk: BacktestRequest | None, actor: str,
    ts_ms: int,
) -> Study:  # fmt: skip
    """The row and the audit record of a study, before its first evaluation; or the row that is there."""
    asked = {
        **asdict(request),
        "desk": asdict(desk) if desk else None,
        "source_hash": source_hash,
        "draws": [dict(values) for values in plan.draws],
        "folds": [list(fold) for fold in plan.folds],
        "embargo": plan.embargo,
    }
    data = {
        "symbol": history.symbol,
        "interval": history.interval,
        "origin": history.origin,
        "bars": history.bars.n,
        "bars_hash": columns_hash(outcome.bars_digest_columns(history.bars)),
        "first_ms": history.first_ms,
        "end_ms": history.end_ms,
    }
    inputs = exact({"parameters": asked, "data": {**data, "origin": ""}, "code": code_version()})
    inputs_hash = sha256_hex(canonical_bytes(inputs))
    study_id = digest_id(ID_PREFIX, inputs_hash)
    earlier = Study.objects.filter(study_id=study_id).first()
    if earlier is not None:
        return earlier
    study = Study.objects.create(
        study_id=study_id, policy=request.policy, trials=plan.trials, inputs_hash=inputs_hash,
        code_version=code_version(), parameters=asked, data=data, created_ts_ms=ts_ms,
    )  # fmt: skip
    body = {"study_id": study_id, "policy": request.policy, "trials": plan.trials, "inputs_hash": inputs_hash}
    audit_append(kind=ANNOUNCED, actor=actor, ts_ms=ts_ms, body=body)
    return study


def document(study: Study, plan: Plan, found: Outcome) -> dict[str, Any]:
    """A study as JSON values, one entry for each fold."""
    opens_ms = study.data["first_ms"]
    folds = []
    for fold in plan.folds:
        mine = [one for one in found.evaluations if one.fold == fold.number]
        test = next(one for one in mine if one.is_test)
        chosen = next(one for one in mine if not one.is_test and one.draw == test.draw)
        folds.append(
            {
                "fold": fold.number,
                "rows": fold._asdict(),
                "chosen": dict(plan.draws[test.draw]),
                "in_sample": dict(chosen.figures),
                "out_of_sample": dict(test.figures),
            }
        )
    return {
        "study_id": study.study_id,
        "policy": study.policy,
        "inputs_hash": study.inputs_hash,
        "code_version": study.code_version,
        "data": study.data,
        "parameters": {name: value for name, value in study.parameters.items() if name not in {"draws", "folds"}},
        "draws": len(plan.draws),
        "first_ms": opens_ms,
        "folds": folds,
        "summary": dict(found.summary),
    }


@transaction.atomic
def _keep(study: Study, told: dict[str, Any], found: Outcome, actor: str, ts_ms: int) -> dict[str, Any]:
    """Write the result with every evaluation, or meet the one that is there."""
    evaluations = [asdict(one) for one in found.evaluations]
    # How many trials the family has had by now is no part of what these bars gave.
    moving = {"family_trials", "dsr", "expected_best_sharpe"}
    fixed = {name: value for name, value in told["summary"].items() if name not in moving}
    result_hash = sha256_hex(canonical_bytes(exact({"folds": told["folds"], "all": evaluations, "summary": fixed})))
    earlier = StudyResult.objects.filter(study_id=study.study_id).first()
    if earlier is not None and earlier.result_hash != result_hash:
        raise IntegrityBreach(
            f"the study {study.study_id} once gave {earlier.result_hash[:12]}, now {result_hash[:12]}"
        )
    if earlier is None:
        StudyResult.objects.create(
            study=study, result_hash=result_hash, evaluations=evaluations, result=told, created_ts_ms=ts_ms
        )
        body = {"study_id": study.study_id, "policy": study.policy, "result_hash": result_hash}
        audit_append(kind=FINISHED, actor=actor, ts_ms=ts_ms, body=body)
    return {**told, "result_hash": result_hash}


def code_version() -> str:
    """Version of the desk, hash of the engine, and hash of the sources that shape a study."""
    sources = b"".join((Path(__file__).parent / f"{name}.py").read_bytes() for name in SOURCES)
    return f"{settings.VERSION}+{settings.ENGINE_HASH}.{sha256_hex(sources)[:8]}"


def joined_curves(found: Outcome) -> dict[str, Array1d]:
    """What 1 became over the test spans, one after the other."""
    return {
        name: np.concatenate([[1.0], np.cumprod(1.0 + returns)])
        for name, returns in (("chosen", found.returns), ("hold", found.hold_returns))
    }
