"""What an answer looks like by the contract: its members, no more and no fewer, and what kind of value each is."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]{0,7}[1-9])?", re.ASCII)
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z", re.ASCII)
Kind = Callable[[Any], bool]


def decimal(value: Any) -> bool:
    """An exact decimal as text: no exponent, no trailing zeros."""
    return isinstance(value, str) and _DECIMAL.fullmatch(value) is not None


def number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def time(value: Any) -> bool:
    return isinstance(value, str) and _TIME.fullmatch(value) is not None


def text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def flag(value: Any) -> bool:
    return isinstance(value, bool)


def null(value: Any) -> bool:
    return value is None


def one_of(*allowed: Any) -> Kind:
    return lambda value: value in allowed


class Maybe:
    """The shape, or null."""

    def __init__(self, shape: Any) -> None:
        self.shape = shape


def check(value: Any, shape: Any, path: str = "$") -> None:
    """Fail with the path at which a value has another shape. A list's shape is that of each entry."""
    if isinstance(shape, Maybe):
        if value is not None:
            check(value, shape.shape, path)
    elif isinstance(shape, dict):
        assert isinstance(value, dict), f"{path} is not an object: {value!r}"
        assert set(value) == set(shape), f"{path}: {sorted(set(value) ^ set(shape))} differ"
        for name, member in shape.items():
            check(value[name], member, f"{path}.{name}")
    elif isinstance(shape, list):
        assert isinstance(value, list), f"{path} is not a list: {value!r}"
        for index, entry in enumerate(value):
            check(entry, shape[0], f"{path}[{index}]")
    else:
        assert shape(value), f"{path} is no {shape.__name__}: {value!r}"


GUARD = {
    "name": text,
    "verdict": one_of("ALLOW", "REDUCE", "DENY", "HALT"),
    "observed": decimal,
    "limit": decimal,
    "unit": text,
    "isUnknown": flag,
}
STANDING = {"quantity": decimal, "cash": decimal, "equity": decimal}
POSITION_CHANGE = {
    "before": STANDING,
    "after": STANDING,
    "markPrice": decimal,
    "highWater": decimal,
    "breakerUntilMs": whole,
    "isTripped": flag,
    "isRearmed": flag,
}
SIZING = {
    "base": decimal,
    "width": number,
    "sigmoid": number,
    "portfolioWeight": number,
    "targetSize": decimal,
    "requestedSize": decimal,
    "finalSize": decimal,
    "canaryWeight": number,
    "rehearsalSize": decimal,
}
EXECUTION = {
    "executionId": text,
    "symbol": text,
    "policyId": Maybe(text),
    "signal": Maybe(number),
    "requestedSize": decimal,
    "finalSize": decimal,
    "sizing": Maybe(SIZING),
    "side": one_of("BUY", "SELL", None),
    "fillPrice": Maybe(decimal),
    "fee": decimal,
    "slippageBps": Maybe(number),
    "orderId": Maybe(text),
    "status": one_of("filled", "partial", "no_trade", "blocked", "rejected", "expired"),
    "blocked": flag,
    "reason": Maybe(text),
    "detail": Maybe(text),
    "guards": [GUARD],
    "fills": [{"price": decimal, "quantity": decimal, "fee": decimal, "liquidity": text}],
    "position": POSITION_CHANGE,
    "rehearsal": {
        "weight": number,
        "size": decimal,
        "fillPrice": Maybe(decimal),
        "status": one_of("disabled", "below_lot", "filled", "partial", "expired", "not_sent"),
    },
    "auditId": text,
    "contentHash": text,
    "requestId": Maybe(text),
    "ts": time,
}
ORDER = {
    "orderId": text,
    "clientOrderId": text,
    "listId": Maybe(text),
    "symbol": text,
    "side": one_of("BUY", "SELL"),
    "type": one_of(
        *("MARKET", "LIMIT", "LIMIT_MAKER", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"),
        "TRAILING_STOP",
    ),
    "timeInForce": one_of("GTC", "IOC", "FOK"),
    "quantity": decimal,
    "price": Maybe(decimal),
    "stopPrice": Maybe(decimal),
    "trailingDelta": Maybe(whole),
    "filledQuantity": decimal,
    "status": one_of("NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED"),
    "reason": Maybe(text),
    "origin": one_of("router", "person", "flatten", "protective"),
    "waiting": Maybe(
        {
            "phase": one_of("traveling", "armed", "resting"),
            "queueAhead": Maybe(decimal),
            "isTriggered": flag,
            "cancelDueAt": Maybe(time),
        }
    ),
    "preparedAt": Maybe(time),
    "decidedAt": time,
    "arrivedAt": Maybe(time),
    "updatedAt": Maybe(time),
    "auditId": text,
    "fills": [
        {
            "price": decimal,
            "quantity": decimal,
            "notional": decimal,
            "fee": decimal,
            "feeAsset": one_of("quote", "base"),
            "liquidity": one_of("maker", "taker"),
            "rule": one_of("depth", "queue", "through", "bar"),
            "tradeId": Maybe(whole),
            "auditId": Maybe(text),
            "ts": time,
        }
    ],
}
POSITION = {
    "symbol": text,
    "quantity": decimal,
    "avgEntryPrice": Maybe(decimal),
    "markPrice": Maybe(decimal),
    "notional": Maybe(decimal),
    "unrealizedPnl": Maybe(decimal),
    "realizedPnl": decimal,
    "feesPaid": decimal,
    "locked": decimal,
    "openOrders": whole,
    "isDust": flag,
    "isReduceOnly": flag,
    "updatedAt": Maybe(time),
}
ACCOUNT = {
    "epoch": whole,
    "startedAt": time,
    "initialCash": decimal,
    "cash": decimal,
    "locked": decimal,
    "free": decimal,
    "equity": Maybe(decimal),
    "exposure": Maybe(decimal),
    "realizedPnl": decimal,
    "unrealizedPnl": Maybe(decimal),
    "drawdown": Maybe(number),
    "feesPaid": decimal,
    "buyAndHold": Maybe(decimal),
    "fills": whole,
    "asOf": Maybe(time),
}
ARM = {
    "policyId": text,
    "signal": number,
    "mean": number,
    "sd": number,
    "pulls": number,
    "probBest": number,
    "gate": whole,
    "enabled": flag,
}
CASH = {name: kind for name, kind in ARM.items() if name != "signal"}
SNAPSHOT = {
    "symbol": text,
    "choice": Maybe(
        {"policyId": text, "signal": number, "expectedReward": number, "width": number, "propensity": number}
    ),
    "posterior": [lambda arm: set(arm) in (set(ARM), set(CASH))],
    "regime": text,
    "outcome": {"source": text, "status": text, "reason": Maybe(text), "detail": Maybe(text)},
    "barOpenTime": time,
    "ts": time,
}
REGIME = {
    "symbol": text,
    "interval": text,
    "label": text,
    "runLength": {"map": whole, "mean": number},
    "changeProbability": number,
    "runLengthPosterior": [{"length": whole, "probability": number}],
    "volatility": Maybe(number),
    "trend": Maybe(number),
    "since": time,
    "enabled": flag,
    "alarms": whole,
    "horizonBars": whole,
    "asOf": time,
    "situation": {
        "embedding": Maybe([number]),
        "reason": Maybe(text),
        "novelty": Maybe(number),
        "version": Maybe(text),
        "nearest": [{"openTime": time, "distance": number}],
    },
    "coverage": [
        {
            "policyId": text,
            "coverage": Maybe(number),
            "halfWidth": Maybe(number),
            "reason": Maybe(text),
            "alpha": number,
            "judged": whole,
            "alert": flag,
        }
    ],
}
REFUSAL = {
    "type": text,
    "title": text,
    "status": whole,
    "detail": text,
    "requestId": text,
    "blocked": flag,
    "reason": text,
    "guards": [GUARD],
    "auditId": text,
}
