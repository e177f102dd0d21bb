"""Running backtests and keeping what came of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from apps.engine.codec import canonical_bytes, digest_id, float_text, sha256_hex
from apps.engine.errors import IntegrityBreach
from apps.research.backtests import figures, outcome
from apps.research.backtests.history import History
from apps.research.backtests.request import FILL_SETTINGS, BacktestRequest, Ruleset, parameters, request_check, ruleset
from apps.research.backtests.simulation import Progress, Simulated, simulate
from apps.research.columns import columns_hash, columns_pack
from apps.research.models import BacktestRun
from apps.research.selectors import Backtest, backtest_of

ID_PREFIX = "bt_"


def backtest(
    *, request: BacktestRequest, history: History, ts_ms: int, progress: Progress = lambda bars: None
) -> Backtest:
    """Run the desk over a history under all three fill settings, and keep it as one row.

    The trades are those of `request.fills`. The same inputs give the same row, bit for bit. Raises IntegrityBreach
    when the same code once made something else of them.
    """
    request_check(request)
    rules = ruleset(request, history.filters)
    runs = {fills: simulate(history, request, rules, fills, progress) for fills in FILL_SETTINGS}
    columns = _columns(runs, request, history, rules)
    asked = {**parameters(request, rules), "symbol": history.symbol, "interval": history.interval}
    found = _figures(runs, columns, request, history, rules)
    return _save(request, history, asked, found, columns, ts_ms)


def _columns(
    runs: Mapping[str, Simulated], request: BacktestRequest, history: History, rules: Ruleset
) -> dict[str, Any]:
    """Every long column of a backtest."""
    market, run = outcome.market_of(history, request.interval_ms), runs[request.fills]
    first = history.first_ms // request.interval_ms
    fills = outcome.fill_columns(run, first, market, rules, request.fills)
    worth = int(run.book.positions[0]) * int(market.close_ticks[-1]) * rules.terms.unit_e8
    return {
        **{f"equity_{name}_e8": runs[name].equity_e8 for name in runs},
        "buy_and_hold_e8": outcome.buy_and_hold(market, request, rules),
        "close_ticks": market.close_ticks,
        **outcome.decision_columns(run, first),
        **fills,
        **outcome.trade_columns(fills, worth),
    }


def _figures(
    runs: Mapping[str, Simulated],
    columns: Mapping[str, Any],
    request: BacktestRequest,
    history: History,
    rules: Ruleset,
) -> dict[str, Any]:
    """All statistics, as JSON values."""
    market, run, cash = outcome.market_of(history, request.interval_ms), runs[request.fills], request.cash_e8
    per_year = rules.terms.bars_per_year
    hold = figures.curve_figures(cash, columns["buy_and_hold_e8"], per_year)
    return {
        "equity_e8": int(run.equity_e8[-1]),
        "hold_equity_e8": int(columns["buy_and_hold_e8"][-1]),
        "desk": figures.told(figures.desk_figures(run, columns, market, rules, cash)),
        "buy_and_hold": figures.told(hold),
        "counts": figures.counts(run, columns),
        "costs": figures.cost_figures(columns),
        "rehearsal": figures.rehearsal_figures(run),
        "fill_settings": {name: _side(name, runs[name], request, history, rules) for name in FILL_SETTINGS},
    }


def _side(fills: str, run: Simulated, request: BacktestRequest, history: History, rules: Ruleset) -> dict[str, Any]:
    """One fill setting, for the comparison."""
    market = outcome.market_of(history, request.interval_ms)
    columns = outcome.fill_columns(run, history.first_ms // request.interval_ms, market, rules, fills)
    worth = int(run.book.positions[0]) * int(market.close_ticks[-1]) * rules.terms.unit_e8
    columns |= outcome.trade_columns(columns, worth)
    desk = figures.desk_figures(run, columns, market, rules, request.cash_e8)
    return {
        "equity_e8": int(run.equity_e8[-1]),
        "figures": figures.told(desk),
        "costs": figures.cost_figures(columns),
        "fills": int(columns["fill_step"].shape[0]),
        "trades": figures.counts(run, columns)["trades"],
    }


def _data(history: History) -> dict[str, Any]:
    """What was traded on and what was left out."""
    return {
        "origin": history.origin,
        "sources": list(history.sources),
        "bars": history.bars.n,
        "bars_hash": columns_hash(outcome.bars_digest_columns(history.bars)),
        "missing": history.n_missing,
        "holes": [list(hole) for hole in history.holes],
        "doubted": [list(one) for one in history.doubted],
        "is_inferred": history.is_inferred,
        "off_tick": history.n_off_tick,
    }


def _save(
    request: BacktestRequest,
    history: History,
    asked: dict[str, Any],
    found: dict[str, Any],
    columns: Mapping[str, Any],
    ts_ms: int,
) -> Backtest:
    data, version = _data(history), code_version()
    # Where the bars came from is told, not judged: the same bars of a file and of the database are the same inputs.
    known = {name: value for name, value in data.items() if name not in {"origin", "sources"}}
    bounds = {"first_ms": history.first_ms, "end_ms": history.end_ms}
    inputs_hash = sha256_hex(canonical_bytes(exact({"parameters": asked, "data": known, **bounds})))
    result_hash = sha256_hex(canonical_bytes(exact({"figures": found, "columns": columns_hash(columns)})))
    run_id = digest_id(ID_PREFIX, sha256_hex(f"{inputs_hash} {version} {result_hash}".encode()))
    row = BacktestRun(
        run_id=run_id,
        symbol=history.symbol,
        interval=history.interval,
        **bounds,
        policy=request.policy,
        fills=request.fills,
        inputs_hash=inputs_hash,
        result_hash=result_hash,
        engine_hash=settings.ENGINE_HASH,
        code_version=version,
        parameters=asked,
        data=data,
        figures=found,
        columns=columns_pack(columns),
        created_ts_ms=ts_ms,
    )
    return backtest_of(_keep(row))


@transaction.atomic
def _keep(row: BacktestRun) -> BacktestRun:
    """Write the row, or meet the one that is there."""
    earlier = BacktestRun.objects.filter(inputs_hash=row.inputs_hash, code_version=row.code_version)
    for other in earlier:
        if other.result_hash != row.result_hash:
            raise IntegrityBreach(
                f"the same inputs gave {other.result_hash[:12]} in {other.run_id}, and now {row.result_hash[:12]}"
            )
        return other
    row.save(force_insert=True)
    return row


def exact(value: Any) -> Any:
    """JSON values inside the domain of canonical bytes: floats and whole numbers as their exact text."""
    if isinstance(value, dict):
        return {name: exact(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [exact(inner) for inner in value]
    if isinstance(value, float):
        return float_text(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value


@cache
def code_version() -> str:
    """Version of the desk, hash of the engine, and hash of the sources here that shape a result."""
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for path in (here / "columns.py", here / "services.py", *sorted((here / "backtests").glob("*.py"))):
        digest.update(path.read_bytes())
    return f"{settings.VERSION}+{settings.ENGINE_HASH}.{digest.hexdigest()[:8]}"
