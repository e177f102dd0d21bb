"""What is asked of the desk, and what was frozen when it was asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import orjson

from apps.engine.order_types import OrderRequest
from apps.engine.values import Book
from apps.execution.models import Fill
from apps.strategy.selectors import ViewRef

AUTOPILOT = "autopilot"


@dataclass(frozen=True)
class Idempotency:
    """The caller's key: the same key and fingerprint give the same answer, another fingerprint is refused."""

    scope: str
    key: str
    fingerprint: str


@dataclass(frozen=True)
class DecisionRequest:
    """One decision to take. `source` is one of engine.decision.SOURCE_*; side and quantity are a person's order.

    `orders` is that order when it is no market order, or the two legs of an OCO, the limit first; `origin` is what its
    rows say of where it came from.

    `is_confirmed`: the person saw a HALTED desk and typed the word that lets a flatten pass all the same.
    """

    symbol: str
    source: int
    actor: str
    reason: str = ""
    side: int = 0
    quantity_e8: int = 0
    client_order_id: str = ""
    orders: tuple[OrderRequest, ...] = ()
    origin: str = "person"
    is_confirmed: bool = False
    request_id: str | None = None
    idempotency: Idempotency | None = None

    @property
    def is_autopilot(self) -> bool:
        return self.actor == AUTOPILOT

    @property
    def is_repeatable(self) -> bool:
        """Whether a second call finds what the first one committed: by its key, or by symbol and bar."""
        return self.idempotency is not None or self.is_autopilot


@dataclass(frozen=True)
class Prepared:
    """Frozen before the wait: the view a decision rests on (None for a person's order) and the book seen at t0."""

    request: DecisionRequest
    view: ViewRef | None
    seen: Book | None
    t0_ms: int


@dataclass(frozen=True)
class Answer:
    """What the caller gets: an HTTP status and the exact bytes, new or stored under the same key before.

    `fills` are the rows that a market order has just left, so that nobody reads them again to show them.
    """

    status: int
    body: bytes
    is_repeat: bool = False
    fills: tuple[Fill, ...] = field(default=(), compare=False, repr=False)

    @cached_property
    def record(self) -> dict[str, Any]:
        """What the bytes say. Shared by all who read it."""
        said: dict[str, Any] = orjson.loads(self.body)
        return said
