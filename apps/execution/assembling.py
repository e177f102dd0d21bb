"""From rows, controls and market facts to the inputs of `decide`: integers in ticks and lots of the filter revision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from django.conf import settings

from apps.engine.decide import no_view
from apps.engine.decision import (
    FILL_BARS,
    FILL_DEPTH,
    SOURCE_PERSON,
    SOURCE_ROUTER,
    ArrivalRecord,
    DecisionInputs,
    Draw,
    TermsRecord,
)
from apps.engine.desk import UNKNOWN_FILTERS, UNKNOWN_MARK, UNKNOWN_STATE, DeskRecord, LimitRecord
from apps.engine.placing import judged_limit_ticks
from apps.engine.rng import philox_uniform_nb, symbol_id
from apps.engine.run import rules_of
from apps.engine.values import Filters, IntArray2d
from apps.execution.account import AccountState, closed_trades, high_water_e8, orders_since
from apps.execution.booking import holding_value_e8, lots_held
from apps.execution.controls import Controls, fallback_arm
from apps.execution.facts import LEVELS_ARRIVAL, LEVELS_SEEN, MarketFacts
from apps.execution.open_orders import NOTHING_OPEN, OpenExposure, open_exposure, open_orders, order_terms
from apps.execution.order_desk import arrival_depth, execution_id_of, order_rules, placing_of, without_market_rules
from apps.execution.requests import Prepared
from apps.execution.taken import book_rows, left_of, met_ledger
from apps.strategy.fold import router_params

YEAR_MS = 365 * 86_400_000
VIEW_GRACE_MS = 20_000


def decision_inputs(
    *,
    prepared: Prepared,
    facts: MarketFacts,
    state: AccountState,
    controls: Controls,
    filters: Mapping[str, Filters],
    attempt: int,
    using: str,
) -> DecisionInputs:
    """Everything `decide` reads. A symbol whose rules are unknown or inexact carries the bit that refuses orders."""
    request = prepared.request
    rules = filters[request.symbol]
    asked = order_rules(request, rules)
    record, arms, gates = (
        (prepared.view.view.record, prepared.view.view.arms, prepared.view.view.gates) if prepared.view else no_view()
    )
    depth = arrival_depth(request.symbol, facts, rules)
    ledger = met_ledger(request.symbol, depth, rules, using=using)
    bids, asks = book_rows(facts.arrival, rules, LEVELS_ARRIVAL) if depth is None else left_of(depth, ledger)
    draw = draw_of(request.symbol, bar_open_ms(prepared, facts), attempt)
    seen_bids, seen_asks = book_rows(prepared.seen, rules, LEVELS_SEEN)
    desk = _desk(prepared=prepared, facts=facts, state=state, controls=controls, filters=filters, using=using)
    return DecisionInputs(
        symbol=request.symbol,
        snapshot=prepared.view.snapshot_hash if prepared.view else None,
        view=record,
        arms=arms,
        gates=gates,
        desk=desk,
        limits=limit_record(controls.limits, without_market_rules(rules, asked) if request.orders else rules),
        terms=_terms(prepared, facts, state, controls, rules),
        params=router_params(),
        arrival=_arrival(facts, rules, bids, asks),
        bids=bids,
        asks=asks,
        seen_ts_ms=prepared.seen.ts_ms if prepared.seen else 0,
        seen_bids=seen_bids,
        seen_asks=seen_asks,
        arrival_ts_ms=facts.arrival.ts_ms if facts.arrival else 0,
        filters=rules,
        draw=draw,
        ledger=ledger,
        placing=placing_of(
            prepared=prepared,
            facts=facts,
            depth=depth,
            ledger=ledger,
            terms=order_terms(rules, stale_after_ms=controls.limits["stale_after_ms"]),
            rules=asked,
            account=state.account,
            execution_id=execution_id_of(state.account.epoch, request.symbol, draw),
            using=using,
        ),
    )


def bar_open_ms(prepared: Prepared, facts: MarketFacts) -> int:
    """The bar a decision belongs to: its view's, or for a person's order the one that is running."""
    if prepared.view is not None:
        return prepared.view.view.record.bar_open_ms
    return facts.ts_ms // settings.INTERVAL_MS * settings.INTERVAL_MS


def draw_of(symbol: str, opened_ms: int, attempt: int) -> Draw:
    """The decision's uniform and its key."""
    number = symbol_id(symbol)
    u = float(philox_uniform_nb(settings.ROUTER_SEED, number, opened_ms, attempt))
    return Draw(settings.ROUTER_SEED, number, opened_ms, attempt, u)


def limit_record(limits: Mapping[str, int], rules: Filters) -> LimitRecord:
    """The desk's limits and one symbol's exchange rules as guards read them."""
    return LimitRecord(
        limits["max_notional_e8"],
        limits["symbol_notional_cap_e8"],
        limits["max_drawdown_bps"],
        limits["breaker_ms"],
        limits["orders_per_minute"],
        limits["stale_after_ms"],
        settings.INTERVAL_MS + VIEW_GRACE_MS,
        limits["hard_drawdown_bps"],
        limits["daily_loss_bps"],
        limits["repeat_orders"],
        limits["collar_bps"],
        limits["order_cap_e8"],
        limits["filters_stale_after_ms"],
        int(settings.ALLOW_SHORT),
        limits["cooldown_ms"],
        limits["stop_guard_trades"],
        limits["stop_guard_pause_ms"],
        limits["low_profit_trades"],
        limits["low_profit_bps"],
        limits["low_profit_pause_ms"],
        *rules_of(rules),
    )


def terms_record(*, source: int, rules: Filters, controls: Controls, last_signal: float) -> TermsRecord:
    """The settings and flags of a decision of the router."""
    return TermsRecord(
        source=source,
        lots=0,
        remainder_e8=0,
        limit_ticks=0,
        unit_e8=rules.unit_e8,
        fee_bps=settings.FEE_BPS,
        slippage_scale=1,
        rebalance_band_bps=int(settings.REBALANCE_BAND * 10_000),
        weight_e9=10**9 // len(settings.SYMBOLS),
        horizon_bars=settings.HORIZON_BARS,
        bars_per_year=YEAR_MS // settings.INTERVAL_MS,
        is_execution_on=int(bool(controls.flags["ExecutionRouter"])),
        is_router_on=int(bool(controls.flags["StrategyRouter"])),
        fallback_arm=fallback_arm(),
        rehearsal_bps=controls.rehearsal_bps,
        fill_kind=FILL_BARS if settings.FILLS == "bars" else FILL_DEPTH,
        last_signal=last_signal,
        is_fee_in_base=int(settings.FEE_ASSET == "base"),
        step_e8=rules.step_e8,
    )


def _terms(
    prepared: Prepared, facts: MarketFacts, state: AccountState, controls: Controls, rules: Filters
) -> TermsRecord:
    """Under FILLS=bars only the autopilot waits for the next bar; what a person asks for meets the book there is."""
    request = prepared.request
    position = state.position(request.symbol)
    terms = terms_record(source=request.source, rules=rules, controls=controls, last_signal=position.last_signal)
    if facts.arrival is not None:
        terms = terms._replace(fill_kind=FILL_DEPTH)
    if request.source != SOURCE_PERSON:
        return terms
    return terms._replace(
        lots=request.side * (request.quantity_e8 // rules.step_e8),
        remainder_e8=request.quantity_e8 % rules.step_e8,
        limit_ticks=judged_limit_ticks(request.orders, rules) if request.orders else 0,
    )


def _desk(
    *,
    prepared: Prepared,
    facts: MarketFacts,
    state: AccountState,
    controls: Controls,
    filters: Mapping[str, Filters],
    using: str,
) -> DeskRecord:
    symbol, account, ts_ms = prepared.request.symbol, state.account, facts.ts_ms
    worth = _worth(symbol, facts, state, controls, filters, using)
    position = state.position(symbol)
    rules = filters[symbol]
    sent = orders_since(symbol=symbol, ts_ms=ts_ms, released=controls.symbol_released, using=using)
    closed = closed_trades(symbol=symbol, ts_ms=ts_ms, limits=controls.limits, using=using)
    is_hard_latched = account.hard_latch_sequence > controls.desk_released
    is_released = account.hard_latch_sequence > 0 and not is_hard_latched
    window = controls.limits["drawdown_window_trades"]
    return DeskRecord(
        ts_ms=ts_ms,
        cash_e8=account.cash_e8,
        equity_e8=worth.equity_e8,
        high_water_e8=high_water_e8(account=account, equity_e8=worth.equity_e8, window_trades=window, using=using),
        position_lots=lots_held(position.quantity_e8, rules.step_e8),
        mark_ticks=(facts.marks.get(symbol) or 0) // rules.tick_e8,
        other_notional_e8=worth.other_notional_e8,
        orders_last_minute=sent.n,
        trading_state=controls.trading_state or 0,
        breaker_until_ms=account.breaker_until_ms,
        data_age_ms=facts.data_age_ms,
        view_age_ms=_view_age(prepared, facts),
        unknown=worth.unknown | (UNKNOWN_STATE if controls.trading_state is None else 0),
        open_buy_lots=worth.own.buy_lots,
        open_sell_lots=worth.own.sell_lots,
        locked_cash_e8=worth.locked_cash_e8,
        own_bid_ticks=worth.own.own_bid_ticks,
        own_ask_ticks=worth.own.own_ask_ticks,
        filters_age_ms=facts.filters_age_ms,
        day_index=account.day_index,
        day_start_e8=account.day_start_e8,
        is_day_latched=int(account.is_day_latched),
        # A released breaker measures from where it was released, or it would latch again at once.
        peak_e8=0 if is_released else account.peak_e8,
        is_hard_latched=int(is_hard_latched),
        same_buys=sent.router_buys,
        same_sells=sent.router_sells,
        is_repeat_latched=int(position.repeat_latch_sequence > controls.symbol_released),
        since_exit_ms=ts_ms - position.trip_exit_ms if position.trip_exit_ms else -1,
        closed_trades=closed.n,
        closed_profit_bps=closed.profit_bps,
        since_stop_ms=closed.since_stop_ms,
        stop_exits=closed.stop_exits,
        dust_e8=position.quantity_e8 - lots_held(position.quantity_e8, rules.step_e8) * rules.step_e8,
    )


class _Worth(NamedTuple):
    """The account at the marks: equity, other symbols at their worst, and what open orders hold back."""

    equity_e8: int
    other_notional_e8: int
    locked_cash_e8: int
    own: OpenExposure
    unknown: int


def _worth(
    symbol: str, facts: MarketFacts, state: AccountState, controls: Controls, filters: Mapping[str, Filters], using: str
) -> _Worth:
    """A symbol that is held or has open orders and cannot be marked or counted leaves the sums and says so."""
    waiting = open_orders(account=state.account, using=using)
    equity, other, locked, unknown, own = state.account.cash_e8, 0, 0, 0, NOTHING_OPEN
    for name in sorted({symbol, *state.positions, *waiting}):
        quantity = state.position(name).quantity_e8
        if not quantity and name != symbol and name not in waiting:
            continue
        rules, mark = filters.get(name), facts.marks.get(name)
        if rules is None or not rules.is_exact() or not mark or mark < rules.tick_e8:
            # Unknown rules refuse every order of their own symbol; of another one they must leave exits possible.
            is_known = name != symbol or (rules is not None and rules.is_exact())
            unknown |= UNKNOWN_MARK if is_known else UNKNOWN_FILTERS | UNKNOWN_MARK
            continue
        exposure = NOTHING_OPEN
        if name in waiting:
            terms = order_terms(rules, stale_after_ms=controls.limits["stale_after_ms"])
            exposure = open_exposure(waiting[name], terms)
        locked += exposure.locked_cash_e8
        lots, ticks = lots_held(quantity, rules.step_e8), mark // rules.tick_e8
        equity += holding_value_e8(quantity, mark, rules)
        if name == symbol:
            own = exposure
        else:
            worst = max(abs(lots + exposure.buy_lots), abs(lots - exposure.sell_lots))
            other += worst * max(ticks, exposure.highest_ticks) * rules.unit_e8
    return _Worth(equity, other, locked, own, unknown)


def _view_age(prepared: Prepared, facts: MarketFacts) -> int:
    """-1 where the router has nothing to decide on: no view, or a symbol that never had a price."""
    if prepared.request.source != SOURCE_ROUTER:
        return 0
    if prepared.view is None or prepared.request.symbol not in facts.marks:
        return -1
    return facts.ts_ms - prepared.view.view.close_ms


def _arrival(facts: MarketFacts, rules: Filters, bids: IntArray2d, asks: IntArray2d) -> ArrivalRecord:
    return ArrivalRecord(
        bid_ticks=int(bids[0, 0]) if len(bids) else 0,
        ask_ticks=int(asks[0, 0]) if len(asks) else 0,
        open_ticks=facts.next_open_e8 // rules.tick_e8,
        volume_lots=facts.next_volume_e8 // rules.step_e8,
    )
