"""What stored rows and other programs rely on: the layout of a decision and the numbers behind every name."""

from __future__ import annotations

import numpy as np

from apps.engine.decision import DECISION_FLOATS, DECISION_INTS, FLOATS, INTS
from apps.engine.reasons import REASON_TEXT, Reason, Status, TradingState, Verdict


def test_the_columns_of_a_decision() -> None:
    assert DECISION_INTS.names == (
        "ts_ms", "bar_open_ms", "bar_index", "attempt", "status", "reason", "arm", "side", "base_e8", "target_lots",
        "requested_lots", "sent_lots", "filled_lots", "n_fills", "judged_ticks", "mark_ticks", "notional_e8", "fee_e8",
        "position_before_lots", "position_after_lots", "cash_before_e8", "cash_after_e8", "equity_before_e8",
        "equity_after_e8", "high_water_e8", "breaker_until_ms", "is_tripped", "is_rearmed",
        "day_index", "day_start_e8", "is_day_latched", "is_day_tripped", "peak_e8", "is_hard_latched",
        "is_hard_tripped", "is_repeat_tripped", "verdicts", "unknown",
        "rehearsal_lots", "rehearsal_filled_lots", "rehearsal_notional_e8", "dust_after_e8",
    )  # fmt: skip
    assert DECISION_FLOATS.names == ("u", "signal", "expected_reward", "width", "sigmoid", "propensity")


def test_columns_are_numbered_as_they_are_laid_out() -> None:
    """Kernels write by number, readers read by name."""
    for layout, columns, kind in ((DECISION_INTS, INTS, np.int64), (DECISION_FLOATS, FLOATS, np.float64)):
        assert columns._fields == layout.names and tuple(columns) == tuple(range(len(layout.names)))
        assert all(layout[name] == kind for name in layout.names) and layout.itemsize == 8 * len(layout.names)


def test_reason_codes_are_permanent() -> None:
    assert {reason.name: int(reason) for reason in Reason} == {
        "NONE": 0, "CASH_CHOSEN": 1, "NO_CHANGE": 2, "WITHIN_BAND": 3, "BELOW_MINIMUM": 4, "CONTEXT_MISSING": 5,
        "NO_ADMISSIBLE_ARM": 6, "EXECUTION_OFF": 7, "NUMERIC_FAULT": 8, "NOTHING_TO_FLATTEN": 9, "TRADING_HALTED": 20,
        "REDUCE_ONLY": 21, "GLOBAL_CAP": 22, "SYMBOL_CAP": 23, "ORDER_RATE": 24, "DATA_STALE": 25,
        "NO_MARKET_VIEW": 26, "FILTER_MIN_NOTIONAL": 27, "FILTER_LOT_SIZE": 28, "FREE_BALANCE": 29, "DRAWDOWN": 30,
        "HARD_DRAWDOWN": 31, "DAILY_LOSS": 32, "REPEATED_ORDERS": 33, "PRICE_COLLAR": 34, "MAX_ORDER": 35,
        "FILTERS_STALE": 36, "SELF_CROSS": 37, "COOLDOWN": 38, "STOPLOSS_GUARD": 39,
        "BOOK_EXHAUSTED": 40, "BOOK_EMPTY": 41, "NEXT_BAR_MISSING": 42, "PARTICIPATION_CAP": 43,
        "LOW_PROFIT": 44, "WOULD_TAKE": 45, "NOT_WHOLE": 46, "LIMIT_NOT_MET": 47, "CANCELED": 48,
        "LIST_CANCELED": 49, "KILL_SWITCH": 50, "WOULD_TRIGGER": 51, "LIST_PRICES": 52, "FILTER_PRICE": 53,
        "FILTER_PERCENT_PRICE": 54, "FILTER_MARKET_LOT_SIZE": 55, "FILTER_PERCENT_PRICE_ALIKE": 56,
        "FILTER_MAX_NUM_ORDERS": 57, "FILTER_MAX_NUM_ALGO_ORDERS": 58, "FILTER_TRAILING_DELTA": 59,
    }  # fmt: skip


def test_verdicts_states_and_statuses_are_permanent() -> None:
    assert [(verdict.name, int(verdict)) for verdict in Verdict] == [
        ("ALLOW", 0), ("REDUCE", 1), ("DENY", 2), ("HALT", 3),
    ]  # fmt: skip
    assert [(state.name, int(state)) for state in TradingState] == [("ACTIVE", 0), ("REDUCING", 1), ("HALTED", 2)]
    assert [(status.name, int(status)) for status in Status] == [
        ("NO_TRADE", 0), ("FILLED", 1), ("PARTIAL", 2), ("BLOCKED", 3), ("REJECTED", 4), ("EXPIRED", 5),
        ("OPEN", 6),
    ]  # fmt: skip


def test_every_reason_has_words() -> None:
    assert set(REASON_TEXT) == set(Reason)
    assert all(text.endswith(".") for reason, text in REASON_TEXT.items() if reason)
    assert Reason.SYMBOL_CAP.code == "symbol_cap"
