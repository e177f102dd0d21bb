"""Touch every kernel the desk uses once, so that no decision waits for the compiler."""

from __future__ import annotations

import numpy as np

from apps.engine.decide import decide
from apps.engine.decision import ArrivalRecord, DecisionInputs, Draw, TermsRecord
from apps.engine.desk import DeskRecord, LimitRecord
from apps.engine.observer import Observer
from apps.engine.quality import suspicions
from apps.engine.rng import philox_uniform_nb
from apps.engine.values import Bars, Filters, IntArray1d

N_BARS = 4
PRICE_E8 = 10_000_000_000


def warm_kernels(observer: Observer, inactive: IntArray1d) -> None:
    """Fold a few flat bars, one at a time and in a batch, and take one decision on them."""
    bars = flat_bars(N_BARS, observer.settings.interval_ms)
    observer.observe_many(bars.slice(0, N_BARS - 1), inactive=inactive, is_bocpd=True)
    view = observer.observe(bars.slice(N_BARS - 1, N_BARS), inactive=inactive, is_bocpd=True)
    observer.regime()
    suspicions(bars, bars.slice(0, 0), tick_e8=1_000_000, interval_ms=observer.settings.interval_ms)
    u = float(philox_uniform_nb(1, 1, 0, 0))
    filters = Filters(1_000_000, 100_000, 0, 0, 0, 0, 0, 0, 0, 1)
    nothing = DeskRecord(*([0] * len(DeskRecord._fields)))
    desk = nothing._replace(ts_ms=1, cash_e8=PRICE_E8, equity_e8=PRICE_E8, high_water_e8=PRICE_E8, mark_ticks=10_000)
    no_limits = LimitRecord(*([0] * len(LimitRecord._fields)))
    terms = TermsRecord(
        1, 1, 0, 0, filters.unit_e8, 10, 1, 2_000, 10**9, 5, 525_600, 1, 1, -1, 0, 1, 0.0, 0, filters.step_e8
    )
    levels = np.array([[10_000, 5]], np.int64)
    decide(
        DecisionInputs(
            symbol="WARM",
            snapshot=None,
            view=view.record,
            arms=view.arms,
            gates=view.gates,
            desk=desk,
            limits=no_limits._replace(max_notional_e8=10**15, symbol_notional_cap_e8=10**15, orders_per_minute=6),
            terms=terms,
            params=observer.settings.params,
            arrival=ArrivalRecord(10_000, 10_000, 0, 0),
            bids=levels,
            asks=levels,
            seen_ts_ms=0,
            seen_bids=levels,
            seen_asks=levels,
            arrival_ts_ms=0,
            filters=filters,
            draw=Draw(1, 1, 0, 0, u),
        )
    )


def flat_bars(n: int, interval_ms: int) -> Bars:
    """Bars that do not move."""
    opened = np.arange(n, dtype=np.int64) * interval_ms
    price = np.full(n, PRICE_E8, np.int64)
    return Bars(opened, price, price, price, price, price, np.ones(n, np.int64))
