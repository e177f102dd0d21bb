"""With the defaults the desk finds something to do on the simulated market: five position changes an hour."""

from __future__ import annotations

import numpy as np
import pytest

from apps.engine.decision import FILL_BARS, SOURCE_ROUTER, TermsRecord
from apps.engine.observer import Observer, ObserveSettings
from apps.engine.run import RunSettings, run
from apps.engine.values import E8, Bars, Filters
from apps.marketdata.exchange.simulated.market import SyntheticMarket
from apps.marketdata.exchange.simulated.symbols import spec_of
from tests.support.engine import build_limits

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
STOP_MS = 1_795_392_000_000
WARM_BARS, HOURS = 5_000, 48


@pytest.mark.parametrize("seed", [7, 11])
def test_the_defaults_change_position_five_times_an_hour(compiled: None, seed: int) -> None:
    """The bars a desk would have after its first sync, then two days of decisions every five minutes."""
    market = SyntheticMarket(seed=seed, symbols=SYMBOLS)
    n = WARM_BARS + HOURS * 60
    blocks = [bars_of(market, symbol, STOP_MS - n * 60_000) for symbol in SYMBOLS]
    specs = [spec_of(symbol) for symbol in SYMBOLS]
    filters = [Filters(spec.tick_e8, spec.step_e8, spec.step_e8, 0, 0, 0, 0, 5 * E8, 0, 1) for spec in specs]
    limits = build_limits(min_lots=0, max_lots=0, min_notional_e8=0, allow_short=0)
    terms = TermsRecord(
        source=SOURCE_ROUTER, lots=0, remainder_e8=0, limit_ticks=0, unit_e8=0, fee_bps=10, slippage_scale=1,
        rebalance_band_bps=2_000,
        weight_e9=10**9 // 3, horizon_bars=5, bars_per_year=525_600, is_execution_on=1, is_router_on=1,
        fallback_arm=-1, rehearsal_bps=0, fill_kind=FILL_BARS, last_signal=0.0, is_fee_in_base=0, step_e8=0,
    )  # fmt: skip
    observers = [Observer(ObserveSettings(symbol, 60_000, 5)) for symbol in SYMBOLS]
    inactive = np.zeros(len(observers[0].runs), np.int64)
    settings = RunSettings(20260101, 10**6 * E8, limits, terms, 50, 86_400_000)
    result = run(observers, blocks, filters, settings, inactive=inactive, is_bocpd=True)
    is_late = result.decisions["bar_index"] >= int(blocks[0].open_time_ms[WARM_BARS]) // 60_000
    for number, symbol in enumerate(SYMBOLS):
        changed = (result.decisions["filled_lots"] > 0) & is_late & (result.symbol == number)
        per_hour = int(changed.sum()) / HOURS
        print(f"{symbol}: {per_hour:.2f} position changes an hour")
        assert per_hour >= 5.0


def bars_of(market: SyntheticMarket, symbol: str, start_ms: int) -> Bars:
    table = market.table(symbol, start_ms, STOP_MS)
    return Bars(
        table.open_ms, table.open_e8, table.high_e8, table.low_e8, table.close_e8, table.volume_e8, table.trades
    )
