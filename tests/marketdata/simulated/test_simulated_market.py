"""The synthetic market is one function of seed, symbol and minute, and it is lively enough to trade."""

from __future__ import annotations

import numpy as np
import pytest

from apps.marketdata.exchange.simulated.book import LastTrade, book_around
from apps.marketdata.exchange.simulated.intervals import DAY_MS, MINUTE_MS
from apps.marketdata.exchange.simulated.market import LISTED_MS, REGIMES, SyntheticMarket
from apps.marketdata.exchange.simulated.symbols import spec_of

NOON_MS = 1_767_268_800_000
KNOWN_PRICES = (3724409000000, 3748778000000, 3723502000000, 3746339000000)
KNOWN_VOLUME = (3534984000, 134)
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


def a_market(seed: int = 7) -> SyntheticMarket:
    return SyntheticMarket(seed=seed, symbols=SYMBOLS)


def test_the_same_seed_gives_the_same_market_whatever_was_asked_before() -> None:
    first, second = a_market(), a_market()
    first.table("BTCUSDT", NOON_MS - 3 * DAY_MS, NOON_MS)
    second.table("ETHUSDT", NOON_MS, NOON_MS + DAY_MS)
    ones = first.table("BTCUSDT", NOON_MS - MINUTE_MS, NOON_MS + 600 * MINUTE_MS)
    others = second.table("BTCUSDT", NOON_MS - MINUTE_MS, NOON_MS + 600 * MINUTE_MS)
    assert ones.n == 601
    assert all((a == b).all() for a, b in zip(ones, others, strict=True))


def test_seed_and_symbol_change_the_market() -> None:
    def closes(market: SyntheticMarket, symbol: str) -> list[int]:
        return market.table(symbol, NOON_MS, NOON_MS + 10 * MINUTE_MS).close_e8.tolist()

    assert closes(a_market(7), "BTCUSDT") != closes(a_market(8), "BTCUSDT")
    assert closes(a_market(7), "BTCUSDT") != closes(a_market(7), "ETHUSDT")


def test_a_known_minute_keeps_its_numbers() -> None:
    """A change of the market would silently change every recorded demonstration."""
    bar = a_market().table("BTCUSDT", NOON_MS, NOON_MS + MINUTE_MS).rows()[0]
    assert (bar.open_e8, bar.high_e8, bar.low_e8, bar.close_e8) == KNOWN_PRICES
    assert (bar.volume_e8, bar.trades) == KNOWN_VOLUME


def test_a_bar_is_the_sum_of_its_trades() -> None:
    market = a_market()
    for bar in market.table("SOLUSDT", NOON_MS, NOON_MS + 30 * MINUTE_MS).rows():
        path = market.path("SOLUSDT", bar.open_ms)
        taken = ~path.buyer_is_maker
        assert (path.price_e8[0], path.price_e8[-1]) == (bar.open_e8, bar.close_e8)
        assert (path.price_e8.max(), path.price_e8.min()) == (bar.high_e8, bar.low_e8)
        assert (path.quantity_e8.sum(), path.counts.sum()) == (bar.volume_e8, bar.trades)
        assert (path.quantity_e8[taken].sum(), path.quote_e8.sum()) == (bar.taker_e8, bar.quote_e8)
        assert path.times[0] == bar.open_ms and path.times[-1] <= bar.close_ms and (np.diff(path.times) > 0).all()


@pytest.mark.parametrize("symbol", [*SYMBOLS, "DOGEUSDT", "ETHBTC", "XYZEUR"])
def test_prices_and_quantities_lie_on_their_grids_and_bars_join(symbol: str) -> None:
    market, spec = SyntheticMarket(seed=3, symbols=(symbol,)), spec_of(symbol)
    bars = market.table(symbol, NOON_MS - DAY_MS, NOON_MS + DAY_MS)
    assert spec.tick_e8 * spec.step_e8 % 10**8 == 0
    assert not any((prices % spec.tick_e8).any() for prices in bars[2:6]) and not (bars.volume_e8 % spec.step_e8).any()
    assert (bars.open_e8[1:] == bars.close_e8[:-1]).all()
    assert (bars.low_e8 <= np.minimum(bars.open_e8, bars.close_e8)).all() and (bars.low_e8 > 0).all()
    assert (bars.high_e8 >= np.maximum(bars.open_e8, bars.close_e8)).all()


def test_prices_stay_in_a_band_for_years() -> None:
    market = a_market()
    days = range(LISTED_MS // DAY_MS, LISTED_MS // DAY_MS + 3650, 10)
    ratios = np.exp([market._anchor(market.specs["BTCUSDT"], day) for day in days]) / 60_000.0
    assert 0.45 < ratios.min() < ratios.max() < 2.0 and ratios.std() > 0.05


def test_nothing_exists_before_the_listing() -> None:
    bars = a_market().table("BTCUSDT", 0, LISTED_MS + 2 * MINUTE_MS)
    assert bars.open_ms.tolist() == [LISTED_MS, LISTED_MS + MINUTE_MS]


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_regimes_drift_swing_and_shake_as_they_are_named(symbol: str) -> None:
    """Five-bar moves must beat the 24 bp that a round trip costs, or the defaults would never trade."""
    market, days = a_market(), 12
    bars = market.table(symbol, NOON_MS // DAY_MS * DAY_MS, (NOON_MS // DAY_MS + days) * DAY_MS)
    returns = np.diff(np.log(bars.close_e8)) * 10_000.0
    names = np.array([market.regime_at(symbol, int(ts)) for ts in bars.open_ms[1::5]]).repeat(5)[: returns.size]

    def of(name: str) -> np.ndarray:
        return returns[names == name]

    assert {regime.name for regime in REGIMES} == set(names)
    assert all(30.0 < of(name).std() < 130.0 for name in set(names))
    assert 5 * (of("bull").mean() - of("bear").mean()) > 240.0
    assert abs(of("swing").mean()) < 5.0 and of("turbulent").std() > 1.1 * of("swing").std()
    inside = np.flatnonzero(names == "swing")
    inside = np.array([row for row in inside if (names[row : row + 21] == "swing").all() and row + 21 < returns.size])
    # Half a period on, the move of a swing has turned round.
    near, turned = (np.array([returns[row + k : row + k + 5].sum() for row in inside]) for k in (0, 10))
    assert np.corrcoef(near, turned)[0, 1] < -0.5 and near.std() > 48.0


def test_a_book_is_ordered_spread_and_deep_enough() -> None:
    market = a_market()
    spec, key = market.specs["BTCUSDT"], market.key("BTCUSDT")
    price, spreads = 6_000_000_000_000, set()
    for ts_ms in range(NOON_MS, NOON_MS + 5_000, 100):
        bought = book_around(spec, key, LastTrade(price, False, ts_ms), ts_ms, 20)
        sold = book_around(spec, key, LastTrade(price, True, ts_ms), ts_ms, 20)
        assert bought.asks[0][0] == price and sold.bids[0][0] == price
        for book in (bought, sold):
            bids, asks = [level[0] for level in book.bids], [level[0] for level in book.asks]
            assert (
                bids == sorted(set(bids), reverse=True) and asks == sorted(set(asks)) and len(bids) == len(asks) == 20
            )
            spreads.add(asks[0] - bids[0])
            assert 0.1 < (asks[0] - bids[0]) / price * 10_000 < 2.0
            assert all(quantity > 0 and quantity % spec.step_e8 == 0 for _, quantity in book.bids + book.asks)
            assert 100_000 < sum(p * q for p, q in book.asks) / 1e16 < 2_000_000
    assert len(spreads) > 1


def test_most_levels_of_a_book_stay_from_one_moment_to_the_next() -> None:
    market = a_market()
    spec, key, last = market.specs["ETHUSDT"], market.key("ETHUSDT"), LastTrade(300_000_000_000, False, NOON_MS)
    books = [book_around(spec, key, last, NOON_MS + step * 100, 20) for step in range(40)]
    kept = [len(set(a.bids[1:]) & set(b.bids[1:])) for a, b in zip(books, books[1:], strict=False)]
    assert books[0].update_id + 1 == books[1].update_id
    assert np.mean(kept) > 12 and len({book.bids[5][1] for book in books}) > 1
