"""Is the book what its fills make it? Recomputed from fills alone, compared to the unit; a difference HALTS the desk.

Fills are folded once and then only what is new, so that a check holds the account's lock for the time of a few reads.
Old fills are guarded by checksums that the database computes: when one changes, everything is folded anew.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db import Error as DatabaseFault
from django.db.models import Count, F, Sum
from django.db.models.functions import Coalesce

from apps.audit.services import audit_append
from apps.engine.errors import TradedeskError
from apps.engine.portfolio import FLAT, PositionRecord, position_after
from apps.engine.values import E8
from apps.execution.account import AccountState, account_state
from apps.execution.models import Account, Fill, Order, Reconciliation
from apps.execution.selectors import account_current
from apps.risk import services as risk

log = logging.getLogger(__name__)
ACTOR = "reconciler"
KIND = "execution.reconciliation"
EVERY_S = 30.0  # half of the promise: what drifts is found within a minute
CHECKSUM_PRIME = 2_147_483_629
MAX_SHOWN = 20
SUMMED = ("quantity_e8", "notional_e8", "fee_e8", "price_e8")
COLUMNS = ("symbol", "side", "fee_asset", *SUMMED)


class BookDifference(NamedTuple):
    """A stored figure that the fills do not give."""

    what: str
    stored: int
    from_fills: int

    def __str__(self) -> str:
        return f"{self.what} is {self.stored}, fills give {self.from_fills}"


class Checked(NamedTuple):
    """One comparison: of which epoch, over how many fills, and what differed."""

    epoch: int
    fills: int
    differences: tuple[BookDifference, ...]


class FillBook:
    """The book of an epoch as its fills give it, folded in the order they were written."""

    def __init__(self, account: Account) -> None:
        self.epoch = account.epoch
        self.cash_e8 = account.initial_cash_e8
        self.positions: dict[str, PositionRecord] = {}
        self.broken: list[BookDifference] = []
        self.n = 0
        self._last_id = 0
        self._sums: Counter[tuple[str, ...]] = Counter()

    def catch_up(self, *, using: str) -> None:
        """Fold what has been written since."""
        rows = Fill.objects.using(using).filter(account_id=self.epoch, pk__gt=self._last_id).order_by("pk")
        for pk, *values in rows.values_list("pk", *COLUMNS).iterator(chunk_size=2_000):
            self._fold(pk, dict(zip(COLUMNS, values, strict=True)))
            self._last_id = pk
            self.n += 1

    def is_intact(self, *, using: str) -> bool:
        """Whether the folded fills are still as they were."""
        rows = Fill.objects.using(using).filter(account_id=self.epoch, pk__lte=self._last_id)
        sums = {f"{name}_sum": Sum(F(name) % CHECKSUM_PRIME) for name in SUMMED}
        found: Counter[tuple[str, ...]] = Counter()
        for row in rows.order_by().values_list("symbol", "side", "fee_asset").annotate(n=Count("pk"), **sums):
            found.update(_checksum(row[:3], row[3:]))
        return found == self._sums

    def _fold(self, pk: int, fill: dict[str, Any]) -> None:
        side, symbol = (1 if fill["side"] == "BUY" else -1), fill["symbol"]
        quantity, notional = fill["quantity_e8"], fill["notional_e8"]
        is_base_fee = fill["fee_asset"] == "base"
        if fill["price_e8"] * quantity != notional * E8:
            what = f"price x quantity of fill {pk}, in 1e-16,"
            self.broken.append(BookDifference(what, fill["price_e8"] * quantity, notional * E8))
        self.cash_e8 -= side * notional + (0 if is_base_fee else fill["fee_e8"])
        self.positions[symbol] = position_after(
            self.positions.get(symbol, FLAT),
            side=side,
            quantity_e8=quantity,
            notional_e8=notional,
            fee_e8=fill["fee_e8"],
            is_base_fee=is_base_fee,
        )
        rests = [fill[name] % CHECKSUM_PRIME for name in SUMMED]
        self._sums.update(_checksum((symbol, fill["side"], fill["fee_asset"]), (1, *rests)))


def _checksum(key: tuple[str, ...], values: tuple[int, ...]) -> dict[tuple[str, ...], int]:
    names = ("n", *SUMMED)
    return {(*key, name): value for name, value in zip(names, values, strict=True) if value}


class Reconciler:
    """Compares again and again, remembering the fills it has folded."""

    def __init__(self) -> None:
        self._book: FillBook | None = None

    def check(self, *, ts_ms: int, using: str = DEFAULT_DB_ALIAS) -> Checked | None:
        """Compare once and HALT the desk on a difference; None before the first epoch. Differences go on record."""
        book = self._folded(using)
        if book is None:
            return None
        orders = order_differences(epoch=book.epoch, using=using)
        with transaction.atomic(using=using):
            state = account_state(using=using)
            if state.account.epoch != book.epoch:
                return None  # a reset came between: the next check has the new epoch
            book.catch_up(using=using)
            differences = (*compare(book, state), *orders)
            _result_write(state.account, book.n, differences, ts_ms=ts_ms, using=using)
        if differences:
            risk.kill_engage(actor=ACTOR, reason=halt_reason(differences), ts_ms=ts_ms, using=using)
        return Checked(book.epoch, book.n, differences)

    def run(self, stop: threading.Event, *, now_ms: Callable[[], int], every_s: float = EVERY_S) -> None:
        """Check until stopped. A check that the database fails is logged and made again at the next turn."""
        try:
            while not stop.wait(every_s):
                try:
                    self.check(ts_ms=now_ms())
                except (TradedeskError, DatabaseFault) as error:
                    log.warning("reconciler: %s: %s", type(error).__name__, error)
                    connections.close_all()
        finally:
            connections.close_all()

    def _folded(self, using: str) -> FillBook | None:
        """The fills of the current epoch, folded without a lock; what comes meanwhile is folded under it."""
        account = account_current()
        if account is None:
            return None
        if self._book is None or self._book.epoch != account.epoch or not self._book.is_intact(using=using):
            self._book = FillBook(account)
        self._book.catch_up(using=using)
        return self._book


def book_differences() -> list[BookDifference]:
    """Every difference, recomputed from all fills of the epoch; empty when they agree to the last unit. Reads only."""
    account = account_current()
    if account is None:
        return []
    with transaction.atomic():
        state = account_state(using=DEFAULT_DB_ALIAS)
        book = FillBook(state.account)
        book.catch_up(using=DEFAULT_DB_ALIAS)
        return [*compare(book, state), *order_differences(epoch=book.epoch, using=DEFAULT_DB_ALIAS)]


def compare(book: FillBook, state: AccountState) -> list[BookDifference]:
    """Stored rows against the folded fills: cash, fees, and of each symbol quantity, cost, realized gain and fees."""
    fees = sum(position.fees_e8 for position in book.positions.values())
    found = [
        *book.broken,
        BookDifference("cash", state.account.cash_e8, book.cash_e8),
        BookDifference("fees", state.account.fees_e8, fees),
    ]
    for symbol in sorted({*state.positions, *book.positions}):
        row, made = state.position(symbol), book.positions.get(symbol, FLAT)
        found += [
            BookDifference(f"position {symbol}", row.quantity_e8, made.quantity_e8),
            BookDifference(f"cost {symbol}", row.cost_e8, made.cost_e8),
            BookDifference(f"realized {symbol}", row.realized_e8, made.realized_e8),
            BookDifference(f"fees {symbol}", row.fees_e8, made.fees_e8),
        ]
    return [difference for difference in found if difference.stored != difference.from_fills]


def order_differences(*, epoch: int, using: str) -> list[BookDifference]:
    """Orders whose filled quantity is not the sum of their fills, or not what their open state says (and so locks)."""
    orders = Order.objects.using(using).filter(account_id=epoch)
    from_fills = Coalesce(Sum("fills__quantity_e8"), 0)
    wrong = orders.annotate(sold=from_fills).exclude(filled_e8=F("sold")).order_by("number")
    found = [
        BookDifference(f"filled of {order_id}", filled, made)
        for order_id, filled, made in wrong.values_list("order_id", "filled_e8", "sold")[:MAX_SHOWN]
    ]
    waiting = orders.filter(is_open=True).order_by("number")
    for order_id, quantity, filled, state in waiting.values_list("order_id", "quantity_e8", "filled_e8", "state"):
        known = state or {"lots": 0, "filled_lots": 0}
        lots = known["lots"]
        made = known["filled_lots"] * quantity // lots if lots else -1
        if made != filled or quantity % max(1, lots):
            found.append(BookDifference(f"open state of {order_id}", made, filled))
    return found


def halt_reason(differences: tuple[BookDifference, ...]) -> str:
    """The figures, as many as fit."""
    text, rest = f"the book does not balance: {differences[0]}", len(differences) - 1
    for number, difference in enumerate(differences[1:], start=1):
        if len(text) + len(str(difference)) > 400:
            break
        text, rest = f"{text}; {difference}", len(differences) - 1 - number
    return f"{text}; and {rest} more" if rest else text


def _result_write(
    account: Account, fills: int, differences: tuple[BookDifference, ...], *, ts_ms: int, using: str
) -> None:
    """Keep the result; differences that were not known yet go on record."""
    figures = [[what, str(stored), str(made)] for what, stored, made in differences]
    before = Reconciliation.objects.using(using).filter(account=account).first()
    given = {"ts_ms": ts_ms, "fills": fills, "differences": figures}
    Reconciliation.objects.using(using).update_or_create(account=account, defaults=given)
    if figures and (before is None or before.differences != figures):
        body = {"epoch": account.epoch, "fills": fills, "differences": figures}
        audit_append(kind=KIND, actor=ACTOR, ts_ms=ts_ms, body=body, using=using)
