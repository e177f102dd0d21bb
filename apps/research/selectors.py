"""Reading research: backtests, newest first or one by its id, with their columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from apps.engine.decimals import e8_text
from apps.engine.errors import UnknownName
from apps.marketdata.exchange.intervals import interval_ms
from apps.research.columns import columns_unpack
from apps.research.models import BacktestRun
from apps.web.values import iso_ms

_SMALL = (
    *("run_id", "symbol", "interval", "first_ms", "end_ms", "policy", "fills", "inputs_hash", "result_hash"),
    *("engine_hash", "code_version", "parameters", "data", "figures", "created_ts_ms"),
)


@dataclass(frozen=True)
class Backtest:
    """One backtest as a value; its columns are unpacked when they are first asked for."""

    run_id: str
    symbol: str
    interval: str
    first_ms: int
    end_ms: int
    policy: str
    fills: str
    inputs_hash: str
    result_hash: str
    engine_hash: str
    code_version: str
    parameters: Mapping[str, Any]
    data: Mapping[str, Any]
    figures: Mapping[str, Any]
    created_ts_ms: int
    packed: bytes

    @cached_property
    def columns(self) -> dict[str, Any]:
        return columns_unpack(self.packed)

    @property
    def interval_ms(self) -> int:
        return interval_ms(self.interval)


def backtest_of(row: BacktestRun) -> Backtest:
    """A row as a value."""
    return Backtest(**{name: getattr(row, name) for name in _SMALL}, packed=bytes(row.columns))


def backtest_get(run_id: str) -> Backtest:
    """One backtest. Raises UnknownName."""
    row = BacktestRun.objects.filter(run_id=run_id).first()
    if row is None:
        raise UnknownName("there is no such backtest", field="run_id")
    return backtest_of(row)


def backtests_latest(limit: int) -> list[dict[str, Any]]:
    """The newest backtests without their columns."""
    rows = BacktestRun.objects.order_by("-created_ts_ms", "run_id").defer("columns")[:limit]
    return [summary(row) for row in rows]


def summary(run: BacktestRun | Backtest) -> dict[str, Any]:
    """What fits on a line."""
    desk, hold = run.figures["desk"], run.figures["buy_and_hold"]
    return {
        "run_id": run.run_id,
        "symbol": run.symbol,
        "interval": run.interval,
        "from": iso_ms(run.first_ms),
        "to": iso_ms(run.end_ms),
        "policy": run.policy,
        "fills": run.fills,
        "cash": e8_text(run.parameters["cash_e8"]),
        "equity": e8_text(run.figures["equity_e8"]),
        "total_return": value_of(desk, "total_return"),
        "buy_and_hold_return": value_of(hold, "total_return"),
        "sharpe": value_of(desk, "sharpe"),
        "max_drawdown": value_of(desk, "max_drawdown"),
        "trades": run.figures["counts"]["trades"],
        "bars": run.data["bars"],
        "result_hash": run.result_hash,
        "created": iso_ms(run.created_ts_ms),
    }


def document(run: Backtest) -> dict[str, Any]:
    """All of a backtest but its long columns; money is exact decimal text."""
    return {
        **summary(run),
        "inputs_hash": run.inputs_hash,
        "engine_hash": run.engine_hash,
        "code_version": run.code_version,
        "parameters": told(run.parameters),
        "data": {
            **{name: value for name, value in run.data.items() if name not in {"holes", "doubted"}},
            "holes": [
                {"from": iso_ms(first), "to": iso_ms(end), "state": state} for first, end, state in run.data["holes"]
            ],
            "doubted": [
                {"open_time": iso_ms(opened), "reason": reason, "status": status}
                for opened, reason, status in run.data["doubted"]
            ],
        },
        "figures": told(run.figures),
    }


def value_of(figures: Mapping[str, Any], name: str) -> float | None:
    """The number of a figure; None where it is null or was never made."""
    found = figures.get(name)
    return found["value"] if found else None


def told(value: Any) -> Any:
    """Counts of 1e-8 as decimal text under a name without the suffix; everything else as it is."""
    if not isinstance(value, Mapping):
        return value
    return {
        name.removesuffix("_e8"): e8_text(inner) if name.endswith("_e8") and isinstance(inner, int) else told(inner)
        for name, inner in value.items()
    }
