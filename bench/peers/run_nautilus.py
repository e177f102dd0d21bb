"""nautilus_trader, low-level engine, log and risk checks bypassed; on bars it fills at the close of the signal."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import nautilus_trader
import pandas as pd
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.config import BacktestEngineConfig, LoggingConfig, RiskEngineConfig
from nautilus_trader.indicators import SimpleMovingAverage
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.persistence.wranglers import BarDataWrangler
from nautilus_trader.trading.strategy import Strategy

from bench.peers.timing import answer
from bench.peers.workload import CASH_CENTS, CENTS, FAST, FEE_BPS, SLOW, Workload

VENUE = Venue("SIM")
FEE = Decimal(FEE_BPS) / 10_000
INSTRUMENT = CurrencyPair(
    instrument_id=InstrumentId(Symbol("BTCUSDT"), VENUE),
    raw_symbol=Symbol("BTCUSDT"),
    base_currency=BTC,
    quote_currency=USDT,
    price_precision=2,
    size_precision=3,
    price_increment=Price.from_str("0.01"),
    size_increment=Quantity.from_str("0.001"),
    ts_event=0,
    ts_init=0,
    maker_fee=FEE,
    taker_fee=FEE,
)
BAR_TYPE = BarType.from_str("BTCUSDT.SIM-1-MINUTE-LAST-EXTERNAL")
ONE = Quantity.from_str("1.000")
# Orders are cut to the volume of a bar; with this much of it each is filled in one piece.
VOLUME_FACTOR = 1_000.0


class SmaCross(Strategy):
    def on_start(self) -> None:
        self.fast, self.slow = SimpleMovingAverage(FAST), SimpleMovingAverage(SLOW)
        self.register_indicator_for_bars(BAR_TYPE, self.fast)
        self.register_indicator_for_bars(BAR_TYPE, self.slow)
        self.is_long = False
        self.filled = 0
        self.subscribe_bars(BAR_TYPE)

    def on_bar(self, bar: Bar) -> None:
        if not self.slow.initialized:
            return
        # Sums of binary fractions: averages nearer than this are a tie of whole cents.
        is_above = self.fast.value - self.slow.value > 1e-6
        if is_above != self.is_long:
            side = OrderSide.BUY if is_above else OrderSide.SELL
            self.submit_order(self.order_factory.market(INSTRUMENT.id, side, ONE))
            self.is_long = is_above

    def on_order_filled(self, event: object) -> None:
        self.filled += 1


def single(bars: Workload) -> tuple[float, int]:
    """The whole call: bars into objects, the run, the account's end."""
    index = pd.date_range("2024-01-01", periods=bars.close.size, freq="min", tz="UTC", name="timestamp")
    prices = {"open": bars.open_, "high": bars.high, "low": bars.low, "close": bars.close}
    columns = {name: column / CENTS for name, column in prices.items()}
    frame = pd.DataFrame(columns | {"volume": bars.volume * VOLUME_FACTOR}, index=index)
    engine = BacktestEngine(
        BacktestEngineConfig(
            logging=LoggingConfig(bypass_logging=True), risk_engine=RiskEngineConfig(bypass=True), run_analysis=False
        )
    )
    cash = [Money(CASH_CENTS / CENTS, USDT)]
    engine.add_venue(VENUE, OmsType.NETTING, AccountType.CASH, cash)
    engine.add_instrument(INSTRUMENT)
    engine.add_data(BarDataWrangler(BAR_TYPE, INSTRUMENT).process(frame))
    strategy = SmaCross()
    engine.add_strategy(strategy)
    engine.run()
    account = engine.cache.account_for_venue(VENUE)
    held = account.balance_total(BTC)
    coins = 0.0 if held is None else held.as_double()
    equity = account.balance_total(USDT).as_double() + coins * bars.close[-1] / CENTS
    filled = strategy.filled
    engine.dispose()
    return equity, filled


if __name__ == "__main__":
    answer("nautilus_trader", nautilus_trader.__version__, {"single": single}, unit=1.0)
