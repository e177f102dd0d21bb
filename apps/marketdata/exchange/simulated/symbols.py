"""What is traded, and by which rules?"""

from __future__ import annotations

import math
from typing import NamedTuple

from apps.engine.values import E8
from apps.marketdata.exchange.simulated.noise import key_of
from apps.marketdata.exchange.simulated.units import text8

_QUOTES = ("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USD", "EUR", "TRY", "BTC", "ETH", "BNB")
_COIN_QUOTES = ("BTC", "ETH", "BNB")
_ORDER_TYPES = ("LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT")


class Spec(NamedTuple):
    """One symbol: its grids, and the scale of its synthetic market in quote units."""

    symbol: str
    base_asset: str
    quote_asset: str
    tick_e8: int
    step_e8: int
    base_price: float
    minute_notional: float
    level_notional: float
    liveliness: float = 1.0

    def price_ticks(self, price_e8: int) -> int:
        return price_e8 // self.tick_e8


KNOWN = {
    "BTCUSDT": Spec("BTCUSDT", "BTC", "USDT", 1_000_000, 1_000, 60_000.0, 1_200_000.0, 20_000.0, 0.9),
    "ETHUSDT": Spec("ETHUSDT", "ETH", "USDT", 1_000_000, 10_000, 3_000.0, 800_000.0, 16_000.0, 1.0),
    "SOLUSDT": Spec("SOLUSDT", "SOL", "USDT", 1_000_000, 100_000, 150.0, 600_000.0, 12_000.0, 1.1),
}


def spec_of(symbol: str) -> Spec:
    """The rules of a synthetic symbol. A name nobody knows gets a price from its hash."""
    if symbol in KNOWN:
        return KNOWN[symbol]
    base, quote = assets_of(symbol)
    share = key_of("base price", symbol) / 2**64
    is_coin = quote in _COIN_QUOTES
    price = 10.0 ** (-3.0 + 2.0 * share if is_coin else -1.0 + 4.0 * share)
    magnitude = math.floor(math.log10(price))
    # Tick and step decimals add up to eight at most, so that lots at ticks are whole counts of 1e-8.
    tick_decimals = min(max(4 - magnitude, 0), 7)
    step_decimals = min(max(magnitude + 1, 0), 8 - tick_decimals)
    scale = price if not is_coin else 1.0 / 60_000.0
    notional = 300_000.0 if not is_coin else 300_000.0 * scale
    return Spec(
        symbol, base, quote, 10 ** (8 - tick_decimals), 10 ** (8 - step_decimals), price, notional, notional / 30.0
    )


def assets_of(symbol: str) -> tuple[str, str]:
    """Base and quote of a symbol name; an unknown quote is taken to be its last three letters."""
    quote = next((name for name in _QUOTES if symbol.endswith(name) and len(symbol) > len(name)), symbol[-3:])
    return symbol[: -len(quote)] or symbol, quote


def exchange_info_entry(spec: Spec) -> dict[str, object]:
    """What exchangeInfo says of one symbol."""
    return {
        "symbol": spec.symbol,
        "status": "TRADING",
        "baseAsset": spec.base_asset,
        "baseAssetPrecision": 8,
        "quoteAsset": spec.quote_asset,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": list(_ORDER_TYPES),
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": _filters(spec),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }


def _filters(spec: Spec) -> list[dict[str, object]]:
    zero = text8(0)
    max_lots = 900_000_000 * spec.step_e8
    market_lots = int(spec.minute_notional * 6 / spec.base_price * E8) // spec.step_e8 * spec.step_e8
    min_notional = 10_000 if spec.quote_asset in _COIN_QUOTES else 5 * E8
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": text8(spec.tick_e8),
            "maxPrice": text8(100_000_000 * spec.tick_e8),
            "tickSize": text8(spec.tick_e8),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": text8(spec.step_e8),
            "maxQty": text8(max_lots),
            "stepSize": text8(spec.step_e8),
        },
        {"filterType": "ICEBERG_PARTS", "limit": 10},
        # Zero here means "no such rule", as the real exchange sends it.
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": zero,
            "maxQty": text8(min(max(market_lots, spec.step_e8), max_lots)),
            "stepSize": zero,
        },
        {
            "filterType": "TRAILING_DELTA",
            "minTrailingAboveDelta": 10,
            "maxTrailingAboveDelta": 2000,
            "minTrailingBelowDelta": 10,
            "maxTrailingBelowDelta": 2000,
        },
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": "5",
            "bidMultiplierDown": "0.2",
            "askMultiplierUp": "5",
            "askMultiplierDown": "0.2",
            "avgPriceMins": 5,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": text8(min_notional),
            "applyMinToMarket": True,
            "maxNotional": text8(9_000_000 * E8),
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
    ]
