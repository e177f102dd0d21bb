"""Every guard keeps its contract, refuses one unit too many and never lets new risk pass on what it cannot know."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from apps.engine.decide import order_nb
from apps.engine.desk import (
    UNKNOWN_DATA,
    UNKNOWN_FILTERS,
    UNKNOWN_MARK,
    UNKNOWN_STATE,
    UNKNOWN_VIEW,
    DeskRecord,
    LimitRecord,
    OrderRecord,
)
from apps.engine.gate import FINDING_WIDTH, GATE_GUARDS, N_GUARDS, gate_nb
from apps.engine.guards import GUARDS, Guard
from apps.engine.guards.base import ALLOW, DENY, HALT, REDUCE, Finding
from apps.engine.guards.rolling_drawdown import drawdown_bps_nb
from apps.engine.portfolio import MAX_NOTIONAL_E8
from apps.engine.reasons import REASON_TEXT, Reason, Verdict
from tests.support.engine import LOT_E8, build_desk, build_limits, build_order, build_terms, holding

ALL = pytest.mark.parametrize("guard", GATE_GUARDS, ids=lambda guard: guard.name)
UNKNOWNS = {
    "mark": UNKNOWN_MARK,
    "data": UNKNOWN_DATA,
    "view": UNKNOWN_VIEW,
    "filters": UNKNOWN_FILTERS,
    "state": UNKNOWN_STATE,
}
INT64 = st.integers(-(2**63), 2**63 - 1)
LARGEST = 2**62 - 1
MONEY = st.one_of(st.integers(-LARGEST, LARGEST), st.integers(-(10**15), 10**15), st.sampled_from([LARGEST, -LARGEST]))


def says(name: str, desk: DeskRecord, order: OrderRecord, limits: LimitRecord) -> Finding:
    return GUARDS.get(name).check(desk, order, limits)


def judged(desk: DeskRecord, order: OrderRecord, limits: LimitRecord) -> tuple[int, Reason, np.ndarray]:
    findings = np.zeros((N_GUARDS, FINDING_WIDTH), np.int64)
    is_blocked, reason = gate_nb(desk, order, limits, findings)
    return is_blocked, Reason(reason), findings


# The contract, over everything registered.


@ALL
def test_it_has_its_metadata(guard: Guard) -> None:
    assert guard.name.isidentifier() and guard.unit and guard.summary.endswith(".")
    assert guard.reason != Reason.NONE and guard.reduce_reason != Reason.NONE
    assert REASON_TEXT[guard.reason] and REASON_TEXT[guard.reduce_reason]


def test_names_are_unique_and_in_order() -> None:
    names = [guard.name for guard in GATE_GUARDS]
    assert names == sorted(set(names)) and len(names) == len(GUARDS)
    assert 2 * len(names) <= 62, "the verdicts of a decision are packed into one int64, two bits a guard"


@ALL
def test_it_allows_a_small_order_on_a_calm_desk(guard: Guard) -> None:
    finding = guard.check(build_desk(), build_order(), build_limits())
    assert finding._fields == Finding._fields and all(isinstance(value, int) for value in finding)
    assert finding.verdict == ALLOW and finding.is_unknown == 0


@ALL
def test_it_lets_what_lowers_risk_pass_on_old_or_unmarked_data(guard: Guard) -> None:
    """Old prices, an old view, no mark, a drawdown: none of them may lock a person in."""
    desk = holding(2_000, unknown=UNKNOWN_MARK | UNKNOWN_DATA | UNKNOWN_VIEW, data_age_ms=-1, view_age_ms=10**9)
    order = build_order(side=-1, reduces_risk=1)
    assert guard.check(desk, order, build_limits()).verdict == ALLOW


@pytest.mark.parametrize("name", UNKNOWNS)
def test_each_unknown_input_refuses_new_risk(name: str) -> None:
    is_blocked, reason, findings = judged(build_desk(unknown=UNKNOWNS[name]), build_order(), build_limits())
    assert is_blocked == 1 and reason != Reason.NONE
    assert int(findings[:, 3].sum()) >= 1, "a guard that could not read its input says so"


# The rules one by one, at their edges.


def test_the_symbol_cap_takes_an_exact_fit_and_not_one_unit_more() -> None:
    """3,000 lots held and 1,000 bought are 4,000 x 0.6 = 2,400 quote."""
    desk, worth = holding(3_000), 4_000 * LOT_E8
    assert says("symbol_cap", desk, build_order(), build_limits(symbol_notional_cap_e8=worth)) == (
        ALLOW,
        worth,
        worth,
        0,
    )
    over = says("symbol_cap", desk, build_order(), build_limits(symbol_notional_cap_e8=worth - 1))
    assert over == (DENY, worth, worth - 1, 0)


def test_the_global_cap_counts_other_positions() -> None:
    desk, worth = holding(3_000, other_notional_e8=7), 4_000 * LOT_E8 + 7
    assert says("global_cap", desk, build_order(), build_limits(max_notional_e8=worth)) == (ALLOW, worth, worth, 0)
    assert says("global_cap", desk, build_order(), build_limits(max_notional_e8=worth - 1)).verdict == DENY
    negative = says("global_cap", holding(3_000, other_notional_e8=-1), build_order(), build_limits())
    assert negative.verdict == DENY and negative.is_unknown == 1


def test_caps_count_a_short_by_its_size() -> None:
    order = build_order(side=-1, lots=5_000)
    assert says("symbol_cap", holding(2_000), order, build_limits()).observed == 3_000 * LOT_E8
    assert says("symbol_cap", holding(-2_000), order, build_limits()).observed == 7_000 * LOT_E8


@pytest.mark.parametrize("name", ["symbol_cap", "global_cap"])
def test_caps_judge_at_the_price_of_the_order_and_need_one(name: str) -> None:
    limits = build_limits(symbol_notional_cap_e8=1_000 * LOT_E8, max_notional_e8=1_000 * LOT_E8)
    assert says(name, build_desk(), build_order(price_ticks=6_000_001), limits).verdict == DENY
    assert says(name, build_desk(), build_order(price_ticks=0), limits).is_unknown == 1
    assert says(name, build_desk(), build_order(unit_e8=0), limits).verdict == DENY


def test_a_reduced_position_above_the_cap_may_be_reduced_further() -> None:
    order = build_order(side=-1, reduces_risk=1)
    assert says("symbol_cap", holding(900_000), order, build_limits(symbol_notional_cap_e8=1)).verdict == ALLOW


@pytest.mark.parametrize(("sent", "verdict"), [(0, ALLOW), (5, ALLOW), (6, DENY), (7, DENY), (2**63 - 2, DENY)])
def test_the_sixth_order_passes_and_the_seventh_does_not(sent: int, verdict: int) -> None:
    assert says("order_rate", build_desk(orders_last_minute=sent), build_order(), build_limits()) == (
        verdict, sent + 1, 6, 0,
    )  # fmt: skip


def test_a_flatten_is_never_throttled_and_a_count_below_zero_is_unknown() -> None:
    flatten = build_order(side=-1, reduces_risk=1, is_flatten=1)
    assert says("order_rate", build_desk(orders_last_minute=99), flatten, build_limits()).verdict == ALLOW
    assert says("order_rate", build_desk(orders_last_minute=-1), build_order(), build_limits()).is_unknown == 1


@pytest.mark.parametrize(
    ("state", "opens", "lowers", "flattens"), [(0, 0, 0, 0), (1, 1, 0, 0), (2, 1, 1, 0), (3, 1, 1, 0), (-1, 1, 1, 0)]
)
def test_each_trading_state_passes_what_it_should(state: int, opens: int, lowers: int, flattens: int) -> None:
    """A state with a number nobody knows counts as HALTED."""
    desk = holding(2_000, trading_state=state)
    orders = [build_order(), build_order(side=-1, reduces_risk=1), build_order(side=-1, reduces_risk=1, is_flatten=1)]
    assert [judged(desk, order, build_limits())[0] for order in orders] == [opens, lowers, flattens]


def test_a_state_that_cannot_be_read_is_a_halt() -> None:
    finding = says("trading_state", build_desk(unknown=UNKNOWN_STATE), build_order(reduces_risk=1), build_limits())
    assert finding.verdict == HALT and finding.is_unknown == 1


@pytest.mark.parametrize("name", ["stale_data", "stale_view"])
def test_ages_are_allowed_up_to_the_limit_and_below_zero_never(name: str) -> None:
    limits, field = build_limits(view_stale_after_ms=5_000), "data_age_ms" if name == "stale_data" else "view_age_ms"
    verdicts = {
        age: says(name, build_desk(**{field: age}), build_order(), limits).verdict for age in (0, 5_000, 5_001, -1)
    }
    assert verdicts == {0: ALLOW, 5_000: ALLOW, 5_001: DENY, -1: DENY}
    assert says(name, build_desk(**{field: -1}), build_order(), limits).is_unknown == 1


def test_a_drawdown_at_its_limit_passes_and_one_basis_point_more_reduces() -> None:
    """High water 1,000,000: 950,000 is 500 bps, 949,900 is 501 bps."""
    at_limit = says("rolling_drawdown", build_desk(equity_e8=95 * 10**12), build_order(), build_limits())
    above = says("rolling_drawdown", build_desk(equity_e8=94_990_000_000_000), build_order(), build_limits())
    assert at_limit == (ALLOW, 500, 500, 0) and above == (REDUCE, 501, 500, 0)


def test_a_drawdown_without_a_mark_is_unknown_not_a_trip() -> None:
    finding = says("rolling_drawdown", build_desk(equity_e8=1, unknown=UNKNOWN_MARK), build_order(), build_limits())
    assert finding.verdict == DENY and finding.is_unknown == 1


def test_the_breaker_pauses_until_its_time_and_not_at_it() -> None:
    desk = build_desk()
    verdicts = [
        says("rolling_drawdown", desk._replace(breaker_until_ms=until), build_order(), build_limits()).verdict
        for until in (desk.ts_ms + 1, desk.ts_ms)
    ]
    assert verdicts == [REDUCE, ALLOW]


@pytest.mark.parametrize(
    ("equity", "high_water", "expected"),
    [
        (100_000, 100_000, 0),
        (99_990, 100_000, 1),
        (0, 10_000, 10_000),
        (5, 9_999, 10_000),  # no high water to speak of
        (-(2**62), 2**62, 10_000),
        (2**62, 2**62, 0),
        (-(2**63), 2**63 - 1, 10_000),
    ],
)
def test_drawdowns_by_hand_and_at_the_ends_of_int64(equity: int, high_water: int, expected: int) -> None:
    assert drawdown_bps_nb(equity, high_water) == expected


def test_a_buy_needs_notional_and_fee_to_the_last_unit() -> None:
    """600 quote and 0.6 of fee."""
    needed = 60_060_000_000
    assert says("free_balance", build_desk(cash_e8=needed), build_order(), build_limits()) == (ALLOW, needed, needed, 0)
    assert says("free_balance", build_desk(cash_e8=needed - 1), build_order(), build_limits()).verdict == DENY
    assert says("free_balance", build_desk(cash_e8=0), build_order(side=-1), build_limits()).verdict == ALLOW
    assert says("free_balance", build_desk(cash_e8=-(10**11)), build_order(side=-1), build_limits()).verdict == DENY


@pytest.mark.parametrize(
    ("order", "verdict"),
    [
        ({"lots": 10}, ALLOW),
        ({"lots": 9}, DENY),  # below the minimum
        ({"lots": 15}, DENY),  # not whole market steps
        ({"lots": 100}, ALLOW),
        ({"lots": 110}, DENY),  # above the maximum
        ({"lots": 10, "remainder_e8": 1}, DENY),
        ({"lots": 0}, DENY),
        ({"lots": -10}, DENY),
    ],
)
def test_lots_keep_to_the_exchange_s_steps(order: dict[str, int], verdict: int) -> None:
    limits = build_limits(min_lots=10, max_lots=100, lot_multiple=10)
    assert says("exchange_filters", build_desk(), build_order(**order), limits).verdict == verdict


def test_rules_of_zero_are_no_rules() -> None:
    limits = build_limits(min_lots=0, max_lots=0, lot_multiple=0, min_notional_e8=0, max_order_notional_e8=0)
    for name in ("exchange_filters", "min_notional"):
        assert says(name, build_desk(), build_order(lots=7), limits).verdict == ALLOW


def test_notionals_keep_to_the_exchange_s_range() -> None:
    """Eight lots are 4.8 quote, below the minimum of 5; nine are 5.4."""
    limits = build_limits(max_order_notional_e8=1_000 * LOT_E8)
    verdicts = [says("min_notional", build_desk(), build_order(lots=n), limits).verdict for n in (8, 9, 1_000, 1_001)]
    assert verdicts == [DENY, ALLOW, ALLOW, DENY]


@pytest.mark.parametrize("largest", [0, 2**63 - 1])
def test_a_notional_that_cannot_be_counted_is_refused_even_to_get_out(largest: int) -> None:
    order = build_order(side=-1, reduces_risk=1, notional_e8=MAX_NOTIONAL_E8)
    limits = build_limits(max_order_notional_e8=largest)
    assert says("min_notional", build_desk(), order, limits).verdict == DENY
    assert says("min_notional", build_desk(), order._replace(notional_e8=MAX_NOTIONAL_E8 - 1), limits).verdict == ALLOW


def test_unknown_filters_refuse_even_a_flatten() -> None:
    """Its lots could not be counted."""
    order = build_order(side=-1, reduces_risk=1, is_flatten=1)
    assert judged(holding(1_000, unknown=UNKNOWN_FILTERS), order, build_limits())[0] == 1


# What no desk, order or limit may ever break.

DESKS = st.fixed_dictionaries(
    {},
    optional={
        "cash_e8": MONEY,
        "equity_e8": MONEY,
        "high_water_e8": MONEY,
        "position_lots": MONEY,
        "mark_ticks": st.one_of(INT64, st.integers(0, 10**7)),
        "other_notional_e8": INT64,
        "orders_last_minute": st.integers(-(2**63), 2**63 - 2),
        "trading_state": st.one_of(st.integers(-1, 3), INT64),
        "breaker_until_ms": INT64,
        "data_age_ms": st.one_of(st.integers(-5, 10_000), INT64),
        "view_age_ms": st.one_of(st.integers(-5, 100), INT64),
        "unknown": st.one_of(st.just(0), st.integers(0, 31)),
        **{name: INT64 for name in ("filters_age_ms", "day_start_e8", "peak_e8", "since_exit_ms", "closed_profit_bps")},
        **{name: st.one_of(st.just(0), INT64) for name in ("is_day_latched", "is_hard_latched", "is_repeat_latched")},
        **{name: st.one_of(st.just(0), st.integers(-5, 10**9)) for name in ("open_buy_lots", "open_sell_lots")},
        **{name: st.one_of(st.just(0), st.integers(-5, 10**15)) for name in ("locked_cash_e8", "same_buys")},
    },
).map(lambda changes: build_desk(**changes))
LIMITS = st.fixed_dictionaries(
    {}, optional={name: INT64 for name in LimitRecord._fields if name not in {"breaker_ms", "lot_multiple"}}
).map(lambda changes: GENEROUS._replace(**changes))
# Every cap is out of reach, shorts are allowed, no protection is on.
GENEROUS = LimitRecord(*([2**63 - 1] * 3), 0, *([2**63 - 1] * 9), 1, *([0] * 6), 0, 0, 1, 0, 0)
TERMS = st.builds(
    lambda unit, fee: build_terms(unit_e8=unit, fee_bps=fee), st.one_of(st.integers(1, 10**9), INT64),
    st.integers(0, 9_999),
)  # fmt: skip


@settings(max_examples=1_500, deadline=None)
@given(
    desk=DESKS, limits=LIMITS, terms=TERMS,
    signed_lots=st.one_of(st.integers(-(10**9), 10**9), st.integers(-(2**63) + 1, 2**63 - 1)), ask=INT64,
)  # fmt: skip
@example(build_desk(), GENEROUS, build_terms(unit_e8=10), 9_000_000_000_000_000, 6_000_000)
@example(build_desk(position_lots=LARGEST), GENEROUS, build_terms(unit_e8=1), LARGEST, 1)
def test_no_accepted_order_breaks_a_rule_in_exact_arithmetic(
    desk: DeskRecord, limits: LimitRecord, terms, signed_lots: int, ask: int
) -> None:
    """The oracle knows no int64: what passes as new risk is within every limit with Python's integers."""
    order = order_nb(signed_lots, ask, desk, terms)
    if order.lots == 0 or judged(desk, order, limits)[0] == 1 or order.reduces_risk == 1:
        return
    event("accepted")
    price, unit = order.price_ticks, terms.unit_e8
    longest = desk.position_lots + desk.open_buy_lots + max(0, signed_lots)
    shortest = desk.position_lots - desk.open_sell_lots + min(0, signed_lots)
    after = max(abs(longest), abs(shortest)) * max(price, desk.mark_ticks) * unit
    notional = abs(signed_lots) * price * unit
    fee = -(-notional * terms.fee_bps // 10_000)
    assert desk.unknown == 0 and desk.trading_state == 0 and price > 0 and unit > 0
    assert 0 <= desk.data_age_ms <= limits.stale_after_ms and 0 <= desk.view_age_ms <= limits.view_stale_after_ms
    assert after <= limits.symbol_notional_cap_e8 and after + desk.other_notional_e8 <= limits.max_notional_e8
    assert (order.notional_e8, order.fee_e8) == (notional, fee) and notional < MAX_NOTIONAL_E8
    assert notional + fee <= desk.cash_e8 - desk.locked_cash_e8 if signed_lots > 0 else fee <= desk.cash_e8 + notional
    assert signed_lots > 0 or limits.allow_short or -signed_lots <= desk.position_lots - desk.open_sell_lots
    assert min(desk.open_buy_lots, desk.open_sell_lots) >= 0 and (signed_lots < 0 or desk.locked_cash_e8 >= 0)
    assert desk.is_day_latched == 0 and desk.is_hard_latched == 0
    assert limits.order_cap_e8 == 0 or notional <= limits.order_cap_e8
    assert limits.filters_stale_after_ms == 0 or 0 <= desk.filters_age_ms <= limits.filters_stale_after_ms
    assert limits.cooldown_ms <= 0 or not 0 <= desk.since_exit_ms < limits.cooldown_ms
    assert 0 <= desk.orders_last_minute < limits.orders_per_minute
    assert desk.ts_ms >= desk.breaker_until_ms and desk.other_notional_e8 >= 0


@settings(max_examples=300, deadline=None)
@given(
    unknown=st.integers(1, 31), lots=st.integers(1, 10**5), side=st.sampled_from([1, -1]),
    held=st.integers(-(10**5), 10**5), age=st.integers(-(2**40), 2**40),
)  # fmt: skip
def test_no_unknown_input_ever_passes_new_risk(unknown: int, lots: int, side: int, held: int, age: int) -> None:
    order = build_order(side=side, lots=lots)
    assert judged(holding(held, unknown=unknown), order, GENEROUS)[0] == 1
    is_stale = not 0 <= age <= 5_000
    desk = holding(held, data_age_ms=age)
    assert (judged(desk, order, GENEROUS._replace(stale_after_ms=5_000))[0] == 1) == is_stale


@settings(max_examples=300, deadline=None)
@given(
    held=st.integers(10, 10**6), share=st.integers(1, 100), is_short=st.booleans(), drawdown=st.integers(0, 10**14),
    until=st.sampled_from([0, 2**62]), age=st.integers(-1, 10**6), unknown=st.integers(0, 7),
)  # fmt: skip
def test_when_reducing_an_exit_always_passes(
    held: int, share: int, is_short: bool, drawdown: int, until: int, age: int, unknown: int
) -> None:
    """Whatever the drawdown, the breaker, the ages and the caps say."""
    side = 1 if is_short else -1
    desk = holding(
        -side * held, trading_state=1, equity_e8=10**14 - drawdown, breaker_until_ms=until, data_age_ms=age,
        view_age_ms=age, unknown=unknown,
    )  # fmt: skip
    order = build_order(side=side, lots=max(9, held * share // 100), reduces_risk=1)
    limits = build_limits(max_notional_e8=0, symbol_notional_cap_e8=0, max_drawdown_bps=0)
    assert judged(desk, order, limits)[0] == 0
    opening = order._replace(side=-side, reduces_risk=0)
    is_blocked, _, findings = judged(desk, opening, limits)
    assert is_blocked == 1 and Verdict.REDUCE in findings[:, 0]
