"""Touch what decides once: the first of the two halves in which an empty cache of kernels is filled."""

from __future__ import annotations

import numpy as np

from apps.engine.decide import decide, no_view
from apps.engine.decision import ArrivalRecord, DecisionInputs, Draw, TermsRecord, workspace
from apps.engine.desk import DeskRecord, LimitRecord
from apps.engine.ledger import book_state, settle_nb
from apps.engine.rng import philox_uniform_nb
from apps.engine.router import RouterParams
from apps.engine.values import Filters

MINUTE_MS = 60_000
PRICE_E8 = 10_000_000_000
FILTERS = Filters(1_000_000, 100_000, 0, 0, 0, 0, 0, 0, 0, 1)
LIMITS = LimitRecord(*([0] * len(LimitRecord._fields)))._replace(
    max_notional_e8=10**15, symbol_notional_cap_e8=10**15, orders_per_minute=6
)
TERMS = TermsRecord(
    1, 1, 0, 0, FILTERS.unit_e8, 10, 1, 2_000, 10**9, 5, 525_600, 1, 1, -1, 0, 1, 0.0, 0, FILTERS.step_e8
)  # fmt: skip


def warm_deciding() -> None:
    """Take one decision on a book of one level, and carry one that did nothing into a fresh account."""
    u = float(philox_uniform_nb(1, 1, 0, 0))
    nothing = DeskRecord(*([0] * len(DeskRecord._fields)))
    desk = nothing._replace(ts_ms=1, cash_e8=PRICE_E8, equity_e8=PRICE_E8, high_water_e8=PRICE_E8, mark_ticks=10_000)
    levels, (record, arms, gates) = np.array([[10_000, 5]], np.int64), no_view()
    decide(
        DecisionInputs(
            symbol="WARM", snapshot=None, view=record, arms=arms, gates=gates, desk=desk, limits=LIMITS, terms=TERMS,
            params=RouterParams(), arrival=ArrivalRecord(10_000, 10_000, 0, 0), bids=levels, asks=levels,
            seen_ts_ms=0, seen_bids=levels, seen_asks=levels, arrival_ts_ms=0, filters=FILTERS,
            draw=Draw(1, 1, 0, 0, u),
        )
    )  # fmt: skip
    settle_nb(book_state(1, PRICE_E8), 0, MINUTE_MS, workspace())
