"""What is asked of a backtest, checked before anything is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from apps.canary import selectors as canary
from apps.engine.decision import FILL_BARS, SOURCE_ROUTER, TermsRecord
from apps.engine.errors import InvalidInput, UnknownName
from apps.engine.observer import ObserveSettings
from apps.engine.policies import POLICIES, arms, validate_values
from apps.engine.run import RunSettings
from apps.engine.values import E8, Filters
from apps.execution.assembling import YEAR_MS, limit_record, terms_record
from apps.execution.controls import Controls
from apps.flags import selectors as flags
from apps.marketdata.exchange.intervals import interval_ms
from apps.risk import selectors as risk
from apps.strategy.fold import router_params

ROUTER = "router"
# The named settings of bar fills: how often the half-spread and the impact are charged.
FILL_SETTINGS = {"optimistic": 0, "base": 1, "pessimistic": 2}
WEIGHT_ONE_E9 = 10**9
MAX_CASH_E8 = 10**17
MAX_HORIZON = 10_000
MAX_SEED = 2**53 - 1


@dataclass(frozen=True)
class BacktestRequest:
    """One backtest as a person asks for it. `values` holds the parameters of policies by policy and name."""

    symbol: str
    interval: str
    policy: str = ROUTER
    fills: str = "base"
    seed: int = 0
    cash_e8: int = 0
    horizon_bars: int = 1
    weight_e9: int = WEIGHT_ONE_E9
    rehearsal_bps: int = 0
    values: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def interval_ms(self) -> int:
        return interval_ms(self.interval)


def request_default(symbol: str, interval: str) -> BacktestRequest:
    """A backtest of the desk as it is set now."""
    return BacktestRequest(
        symbol=symbol,
        interval=interval,
        seed=settings.ROUTER_SEED,
        cash_e8=int(settings.INITIAL_CASH * E8),
        horizon_bars=settings.HORIZON_BARS,
        weight_e9=WEIGHT_ONE_E9 // len(settings.SYMBOLS),
        rehearsal_bps=canary.canary_current().weight_bps,
    )


def request_check(request: BacktestRequest) -> None:
    """Raises InvalidInput naming the first member that cannot be used."""
    _whole(request.horizon_bars, 1, MAX_HORIZON, "horizon")
    _whole(request.seed, 0, MAX_SEED, "seed")
    _whole(request.cash_e8, E8, MAX_CASH_E8, "cash")
    _whole(request.weight_e9, 1, WEIGHT_ONE_E9, "weight")
    _whole(request.rehearsal_bps, 0, 10_000, "rehearsal")
    if request.fills not in FILL_SETTINGS:
        raise InvalidInput(f"unknown setting {request.fills!r}; known: {', '.join(FILL_SETTINGS)}", field="fills")
    names = [policy.policy_id for policy in arms()]
    if request.policy != ROUTER and request.policy not in names:
        raise UnknownName(f"unknown policy {request.policy!r}; known: {ROUTER}, {', '.join(names)}", field="policy")
    for policy_id, values in request.values.items():
        if policy_id not in names:
            raise UnknownName(f"unknown policy {policy_id!r}; known: {', '.join(names)}", field="param")
        validate_values(POLICIES.get(policy_id), values)
    assert request.interval_ms > 0


def _whole(value: int, low: int, high: int, name: str) -> None:
    if not low <= value <= high:
        raise InvalidInput(f"must be from {low} to {high}, not {value}", field=name)


@dataclass(frozen=True)
class Ruleset:
    """Everything besides bars that decides how a run goes, save the fill setting."""

    observe: ObserveSettings
    filters: Filters
    limits: Mapping[str, int]
    terms: TermsRecord
    is_bocpd: bool

    def run_settings(self, request: BacktestRequest, fills: str) -> RunSettings:
        """What the compiled loop is told, under one of the three fill settings."""
        return RunSettings(
            seed=request.seed,
            initial_cash_e8=request.cash_e8,
            limits=limit_record(self.limits, self.filters),
            terms=self.terms._replace(slippage_scale=FILL_SETTINGS[fills]),
            window_trades=self.limits["drawdown_window_trades"],
            lookback_ms=self.limits["low_profit_window_ms"],
        )


def ruleset(request: BacktestRequest, filters: Filters) -> Ruleset:
    """Limits, flags and settings as the desk has them now, under the request."""
    values, limits = flags.flags_current(), risk.limits_current()
    return Ruleset(
        observe=ObserveSettings(
            symbol=request.symbol,
            interval_ms=request.interval_ms,
            horizon_bars=request.horizon_bars,
            allow_short=settings.ALLOW_SHORT,
            params=router_params(),
            policy_values=request.values,
        ),
        filters=filters,
        limits=limits,
        terms=_terms(request, filters, Controls(values, limits, 0, request.rehearsal_bps, 0, 0, 0)),
        is_bocpd=bool(values["BOCPD"]),
    )


def _terms(request: BacktestRequest, filters: Filters, controls: Controls) -> TermsRecord:
    """The live desk's terms. Execution is on, or there would be nothing to test; one policy is the router off."""
    names = [policy.policy_id for policy in arms()]
    is_router = request.policy == ROUTER
    terms = terms_record(source=SOURCE_ROUTER, rules=filters, controls=controls, last_signal=0.0)
    return terms._replace(
        fill_kind=FILL_BARS,
        is_execution_on=1,
        is_router_on=int(is_router),
        fallback_arm=-1 if is_router else names.index(request.policy),
        weight_e9=request.weight_e9,
        horizon_bars=request.horizon_bars,
        bars_per_year=YEAR_MS // request.interval_ms,
    )


def parameters(request: BacktestRequest, rules: Ruleset) -> dict[str, Any]:
    """All that was asked and all that held, as JSON values with names; floats as numbers."""
    terms = rules.terms
    return {
        "policy": request.policy,
        "policies": {run.policy_id: validate_values(run, request.values.get(run.policy_id, {})) for run in arms()},
        "fills": request.fills,
        "seed": request.seed,
        "cash_e8": request.cash_e8,
        "horizon_bars": request.horizon_bars,
        "weight_e9": request.weight_e9,
        "rehearsal_bps": request.rehearsal_bps,
        "fee_bps": terms.fee_bps,
        "fee_asset": "base" if terms.is_fee_in_base else "quote",
        "rebalance_band_bps": terms.rebalance_band_bps,
        "bars_per_year": terms.bars_per_year,
        "allow_short": rules.observe.allow_short,
        "bocpd": rules.is_bocpd,
        "router": dict(rules.observe.params._asdict()),
        "limits": dict(rules.limits),
        "filters": dict(rules.filters._asdict()),
    }
