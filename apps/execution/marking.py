"""Are the breakers still shut? Judged at every fill of an open order and at the marks, between two decisions.

The law is the decision's own (engine/breakers.py), on the same rows. A trip is a record of its own, which replays, and
open orders that add risk end with it. A new peak alone is a row: the next decision's record holds it. Under FILLS=bars
the marks between two grid bars are not looked at, as in a batch run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.forms.models import model_to_dict

from apps.audit import services as audit
from apps.engine.marked import MARK_KIND, Judged, MarkInputs, judge, mark_inputs_out, mark_outputs
from apps.execution import ready_sql
from apps.execution.account import AccountState, account_state, high_water_e8, next_order_number
from apps.execution.booking import exact_rules, holding_value_e8
from apps.execution.controls import Controls, controls_read
from apps.execution.lease import require_lease
from apps.execution.matching_rows import versions
from apps.execution.models import Account, Order, Position
from apps.execution.pushing import breaker_trips
from apps.execution.selectors import account_current
from apps.marketdata.market import MarketView
from apps.risk import fence
from apps.risk import services as risk

ACTOR = "breakers"
DESK = ""


class Worth(NamedTuple):
    """The account at the marks; `is_unmarked` where something that is held has none."""

    equity_e8: int
    is_unmarked: bool


def live_marks(view: MarketView) -> dict[str, int]:
    """The mid of every symbol whose prices are fresh."""
    quotes = {name: view.quote(name) for name in view.symbols() if not view.is_stale(name, settings.STALE_AFTER_MS)}
    return {name: (quote.bid_e8 + quote.ask_e8) // 2 for name, quote in quotes.items() if quote is not None}


def worth_of(state: AccountState, marks: Mapping[str, int]) -> Worth:
    """Equity as a decision counts it: whole lots at whole ticks, and dust."""
    equity, is_unmarked = state.account.cash_e8, False
    for name, row in state.positions.items():
        if not row.quantity_e8:
            continue
        rules, mark = exact_rules(name), marks.get(name) or 0
        if rules is None or mark < rules.tick_e8:
            is_unmarked = True
            continue
        equity += holding_value_e8(row.quantity_e8, mark, rules)
    return Worth(equity, is_unmarked)


def marks_judge(marks: Mapping[str, int], *, now_ms: int, using: str = DEFAULT_DB_ALIAS) -> list[str]:
    """Judge the account at these marks; the names of the breakers that tripped. Where nothing moves nothing is locked
    or written."""
    account = account_current()
    if account is None:
        return []
    positions = Position.objects.using(using).filter(account=account)
    seen = AccountState(account, {row.symbol: row for row in positions})
    inputs = _inputs(seen, controls_read(symbol=DESK, halted=None, using=using), marks, now_ms=now_ms, using=using)
    if not _is_moved(inputs, judge(inputs)):
        return []
    with fence.shared(using=using, allow_halted=True) as passage:
        state = account_state(using=using)
        require_lease(using=using)
        controls = controls_read(symbol=DESK, halted=passage.halted, using=using)
        return breakers_settle(state, controls, marks, now_ms=now_ms, using=using)


def breakers_settle(
    state: AccountState, controls: Controls, marks: Mapping[str, int], *, now_ms: int, using: str,
    filled: tuple[str, ...] = (),
) -> list[str]:  # fmt: skip
    """Move the breakers of the account and write what moved; the names of those that tripped. `filled` are orders that
    have just filled: the high water of the last trades is measured from equity after them.

    The caller holds fence and transaction, and has written everything else but records.
    """
    inputs = _inputs(state, controls, marks, now_ms=now_ms, using=using)
    if filled and not inputs.is_unmarked:
        Order.objects.using(using).filter(order_id__in=filled).update(equity_after_e8=inputs.equity_e8)
        high = high_water_e8(
            account=state.account,
            equity_e8=inputs.equity_e8,
            window_trades=controls.limits["drawdown_window_trades"],
            using=using,
        )
        inputs = inputs._replace(high_water_e8=high)
    judged = judge(inputs)
    if not _is_moved(inputs, judged):
        return []
    trips = list(breaker_trips(judged, inputs))
    draft = None
    if trips or judged.is_rearmed or judged.day_index != inputs.day_index:
        draft = audit.audit_draft(
            kind=MARK_KIND, actor=ACTOR, ts_ms=now_ms, body=_body(marks, inputs, judged, trips), using=using
        )
    _account_write(state.account, judged, sequence=draft.entry.sequence if draft else 0, using=using)
    for trip in trips:
        assert draft is not None
        risk.breaker_record(
            **trip,
            tripped_at_ms=now_ms,
            window_start_fill=state.account.window_start_order,
            audit_sequence=draft.entry.sequence,
            using=using,
        )
    if draft is not None:
        audit.audit_write(draft)
    return [trip["kind"] for trip in trips]


def is_reducing(account: Account, controls: Controls, *, now_ms: int) -> bool:
    """Whether a breaker or a latch lets the desk only reduce risk now. The day's latch ends with its day."""
    today = now_ms // 86_400_000
    is_day_over = account.is_day_latched and today <= account.day_index
    is_hard_over = account.hard_latch_sequence > controls.desk_released
    return now_ms < account.breaker_until_ms or is_day_over or is_hard_over


def _inputs(
    state: AccountState, controls: Controls, marks: Mapping[str, int], *, now_ms: int, using: str
) -> MarkInputs:
    account, limits = state.account, controls.limits
    worth = worth_of(state, marks)
    window = limits["drawdown_window_trades"]
    is_hard_latched = account.hard_latch_sequence > controls.desk_released
    is_released = account.hard_latch_sequence > 0 and not is_hard_latched
    return MarkInputs(
        ts_ms=now_ms,
        equity_e8=worth.equity_e8,
        is_unmarked=int(worth.is_unmarked),
        high_water_e8=high_water_e8(account=account, equity_e8=worth.equity_e8, window_trades=window, using=using),
        breaker_until_ms=account.breaker_until_ms,
        day_index=account.day_index,
        day_start_e8=account.day_start_e8,
        is_day_latched=int(account.is_day_latched),
        # A released breaker measures from where it was released, or it would latch again at once.
        peak_e8=0 if is_released else account.peak_e8,
        is_hard_latched=int(is_hard_latched),
        max_drawdown_bps=limits["max_drawdown_bps"],
        breaker_ms=limits["breaker_ms"],
        daily_loss_bps=limits["daily_loss_bps"],
        hard_drawdown_bps=limits["hard_drawdown_bps"],
    )


def _is_moved(inputs: MarkInputs, judged: Judged) -> bool:
    """Whether anything that is kept has moved; the high water is formed anew each time."""
    kept = ("breaker_until_ms", "day_index", "day_start_e8", "is_day_latched", "peak_e8", "is_hard_latched")
    return any(getattr(inputs, name) != getattr(judged, name) for name in kept)


def _account_write(account: Account, judged: Judged, *, sequence: int, using: str) -> None:
    """The row of the epoch as the breakers leave it; `sequence` is the record that a new latch names."""
    before = model_to_dict(account)
    account.breaker_until_ms = judged.breaker_until_ms
    account.day_index, account.day_start_e8 = judged.day_index, judged.day_start_e8
    account.is_day_latched = bool(judged.is_day_latched)
    account.peak_e8 = judged.peak_e8
    if judged.is_hard_tripped:
        account.hard_latch_sequence = sequence
    elif not judged.is_hard_latched:
        account.hard_latch_sequence = 0
    if judged.is_rearmed:
        account.window_start_order = next_order_number(using=using) - 1
    if model_to_dict(account) != before:
        ready_sql.update(account, using=using)


def _body(
    marks: Mapping[str, int], inputs: MarkInputs, judged: Judged, trips: list[dict[str, object]]
) -> dict[str, object]:
    return {
        "reason": "; ".join(str(trip["reason"]) for trip in trips) or _quiet_reason(judged),
        "tripped": [{"kind": trip["kind"], "reason": trip["reason"]} for trip in trips],
        "marks": {name: str(mark) for name, mark in sorted(marks.items())},
        **mark_outputs(judged),
        "versions": versions(),
        "inputs": mark_inputs_out(inputs),
    }


def _quiet_reason(judged: Judged) -> str:
    return "the pause of the rolling breaker is over" if judged.is_rearmed else "a UTC day begins"
