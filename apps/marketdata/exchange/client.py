"""What does the exchange's REST interface answer? Asked politely: weights counted, limits and bans honored.

The status is tested before a body is parsed, because firewalls answer in HTML. Every call ends: in a value, in
InvalidInput (the question was wrong), in Unavailable (ask again later) or in DataError (the answer makes no sense).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, NamedTuple

import httpx
import numpy as np
import orjson

from apps.engine.errors import DataError, InvalidInput, Unavailable, UnknownName
from apps.engine.values import Bars, Book
from apps.marketdata.exchange.binance import (
    UnreadableRow,
    Venue,
    bars_of_klines,
    book_of_depth,
    is_loopback,
)
from apps.marketdata.exchange.budget import WeightBudget
from apps.marketdata.exchange.decimals import parse_e8
from apps.marketdata.exchange.frames import AggTradeEvent
from apps.marketdata.exchange.intervals import interval_ms
from apps.marketdata.exchange.rules import SymbolRules, rules_of

TIMEOUT_S = 10.0
BODY_LIMIT_BYTES = 5_000_000
ATTEMPTS = 5
BACKOFF_BASE_S = 0.5
BACKOFF_CAP_S = 30.0
LONGEST_WAIT_S = 120.0
KLINES_PATH = "/api/v3/klines"
KLINES_PAGE = 1_000
TRADES_PAGE = 1_000
RESTRICTED = 451


class _Answer(NamedTuple):
    status: int
    headers: httpx.Headers
    body: bytes


class _Retry(Exception):
    """Try again, after at least `wait_s` when the exchange named a time."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class ExchangeClient:
    """REST client of one venue. Use it as an async context manager; commands wrap it in `asyncio.run`."""

    def __init__(
        self,
        venue: Venue,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
        klines_path: str = KLINES_PATH,
    ) -> None:
        self.venue = venue
        self.klines_path = klines_path
        self.budget = WeightBudget(wall=wall, monotonic=monotonic)
        self._sleep = sleep
        self._uniform = uniform
        self._http = httpx.AsyncClient(
            base_url=venue.rest_url,
            timeout=TIMEOUT_S,
            follow_redirects=False,
            transport=transport,
            trust_env=not is_loopback(venue.rest_url),
            headers={"Accept": "application/json", "User-Agent": "tradedesk"},
        )

    async def __aenter__(self) -> ExchangeClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def ping(self) -> None:
        """Returns when the exchange answers."""
        await self._get("/api/v3/ping", weight=1)

    async def time(self) -> int:
        """The exchange's clock in epoch milliseconds."""
        body = await self._get("/api/v3/time", weight=1)
        if not isinstance(body, dict) or type(body.get("serverTime")) is not int:
            raise DataError("the exchange's time has an unknown shape")
        return int(body["serverTime"])

    async def exchange_info(self, symbols: Sequence[str]) -> list[SymbolRules]:
        """Rules of the named symbols. Raises UnknownName for one that the exchange does not have."""
        names = orjson.dumps(list(symbols)).decode()
        body = await self._get("/api/v3/exchangeInfo", weight=20, symbols=names)
        if not isinstance(body, dict) or not isinstance(body.get("symbols"), list):
            raise DataError("exchangeInfo has an unknown shape")
        self._take_limits(body.get("rateLimits") or [])
        found = {rules.symbol: rules for rules in map(rules_of, body["symbols"])}
        missing = [name for name in symbols if name not in found]
        if missing:
            raise UnknownName(f"the exchange does not know {', '.join(missing)}", field="symbol")
        return [found[name] for name in symbols]

    async def klines(
        self,
        symbol: str,
        interval: str,
        *,
        start_ms: int,
        end_ms: int | None = None,
        unreadable: list[UnreadableRow] | None = None,
    ) -> AsyncIterator[Bars]:
        """Pages of closed bars with start_ms <= open < end_ms, each open time once, in the order of the exchange.

        A bar counts as closed when the exchange's clock, read before the first page, is past its close time. A row
        that is no bar is a DataError; with a list, it is put there before its page is yielded.
        """
        length = interval_ms(interval)
        closed_by = await self.time()
        stop = closed_by - length + 1 if end_ms is None else min(end_ms, closed_by - length + 1)
        cursor = start_ms
        while cursor < stop:
            rows = await self._get(
                self.klines_path, weight=2, symbol=symbol, interval=interval, startTime=cursor, limit=KLINES_PAGE
            )
            page = bars_of_klines(rows, unreadable)
            fresh = _rows_between(page, cursor, stop)
            if fresh.n:
                yield fresh
            last = int(page.open_time_ms[-1]) if page.n else cursor
            if len(rows) < KLINES_PAGE or last < cursor:
                return
            # A whole page without one readable bar still ends the stretch that it covers.
            cursor = last + length if page.n else cursor + KLINES_PAGE * length

    async def kline(self, symbol: str, interval: str, open_time_ms: int) -> Bars | None:
        """The closed bar that opens at a time; None when the exchange has none. Raises DataError for no bar."""
        length = interval_ms(interval)
        if open_time_ms < 0 or open_time_ms % length or await self.time() < open_time_ms + length:
            return None
        rows = await self._get(
            self.klines_path, weight=2, symbol=symbol, interval=interval, startTime=open_time_ms, limit=1
        )
        page = bars_of_klines(rows)
        return page.slice(0, 1) if page.n and int(page.open_time_ms[0]) == open_time_ms else None

    async def depth(self, symbol: str, *, limit: int = 20) -> Book:
        """A snapshot of the book; its time is 0 because the exchange gives none."""
        weight = 5 if limit <= 100 else 25 if limit <= 500 else 50 if limit <= 1000 else 250
        body = await self._get("/api/v3/depth", weight=weight, symbol=symbol, limit=limit)
        return book_of_depth(symbol, 0, body)

    async def agg_trades(
        self, symbol: str, *, from_id: int, until_id: int | None = None
    ) -> AsyncIterator[list[AggTradeEvent]]:
        """Pages of trades from `from_id` on, up to the newest or `until_id` inclusive."""
        cursor = from_id
        while until_id is None or cursor <= until_id:
            body = await self._get("/api/v3/aggTrades", weight=4, symbol=symbol, fromId=cursor, limit=TRADES_PAGE)
            page = [trade for trade in _trades_of(symbol, body) if trade.trade_id >= cursor]
            if until_id is not None:
                page = [trade for trade in page if trade.trade_id <= until_id]
            if page:
                yield page
            if len(body) < TRADES_PAGE or not page:
                return
            cursor = page[-1].trade_id + 1

    async def _get(self, path: str, *, weight: int, **params: str | int) -> Any:
        reason = ""
        for attempt in range(ATTEMPTS):
            await self._wait_for_budget(weight)
            try:
                return self._judge(await self._ask(path, params))
            except _Retry as retry:
                reason = str(retry)
                wait = retry.wait_s
            if attempt + 1 < ATTEMPTS:
                cap = min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2**attempt)
                await self._sleep(self._uniform(0.0, cap) if wait is None else wait)
        raise Unavailable(f"{self.venue.source} {path}: {reason}")

    async def _wait_for_budget(self, weight: int) -> None:
        while (wait := self.budget.wait_s(weight)) > 0:
            await self._sleep(wait)
        self.budget.spend(weight)

    async def _ask(self, path: str, params: dict[str, str | int]) -> _Answer:
        try:
            async with asyncio.timeout(TIMEOUT_S), self._http.stream("GET", path, params=params) as response:
                body = bytearray()
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > BODY_LIMIT_BYTES:
                        raise DataError(f"{path} answered more than {BODY_LIMIT_BYTES} bytes")
                return _Answer(response.status_code, response.headers, bytes(body))
        except (httpx.HTTPError, TimeoutError) as error:
            raise _Retry(f"no answer ({type(error).__name__})") from error

    def _judge(self, answer: _Answer) -> Any:
        self.budget.correct(answer.headers)
        status = answer.status
        if status in (429, 418):
            self._limited(status, answer.headers)
        if status == RESTRICTED:
            raise Unavailable(f"{self.venue.source} does not serve this place (status 451)")
        if 300 <= status < 400:
            raise Unavailable(f"{self.venue.source} redirects (status {status}), which is not followed")
        if status >= 500 or status == 403:
            raise _Retry(f"status {status}")
        try:
            body = orjson.loads(answer.body)
        except orjson.JSONDecodeError as error:
            raise _Retry(f"status {status} with a body that is not JSON") from error
        if status >= 400:
            raise _refusal(status, body)
        return body

    def _limited(self, status: int, headers: httpx.Headers) -> None:
        text = headers.get("retry-after", "")
        seconds = float(text) if text.isascii() and text.isdecimal() and len(text) < 9 else 60.0
        if status == 418 or seconds > LONGEST_WAIT_S:
            self.budget.ban(seconds)
            raise Unavailable(f"{self.venue.source} has banned this address for {seconds:.0f} s (status {status})")
        raise _Retry(f"too many requests, told to wait {seconds:.0f} s", seconds)

    def _take_limits(self, limits: Sequence[dict[str, Any]]) -> None:
        for rule in limits:
            per_minute = (rule.get("rateLimitType"), rule.get("interval"), rule.get("intervalNum"))
            if per_minute == ("REQUEST_WEIGHT", "MINUTE", 1) and type(rule.get("limit")) is int and rule["limit"] > 0:
                self.budget.limit = rule["limit"]


def _refusal(status: int, body: Any) -> Exception:
    code = body.get("code") if isinstance(body, dict) else None
    message = str(body.get("msg", ""))[:200] if isinstance(body, dict) else ""
    if code == -1121:
        return UnknownName("the exchange does not know this symbol", field="symbol")
    if code == -1120:
        return InvalidInput("the exchange does not know this interval", field="interval")
    if code == -1003:
        return _Retry("too many requests", 60.0)
    return InvalidInput(f"the exchange refused the request (status {status}, code {code}): {message}")


def _rows_between(page: Bars, first_ms: int, end_ms: int) -> Bars:
    """Rows with first_ms <= open < end_ms; of a repeated open time the first. Order is for quality to judge."""
    opens = page.open_time_ms
    keep = (opens >= first_ms) & (opens < end_ms)
    chosen = np.zeros(page.n, dtype=np.bool_)
    chosen[np.unique(opens, return_index=True)[1]] = True
    return Bars(*(np.ascontiguousarray(column[keep & chosen]) for column in page))


def _trades_of(symbol: str, body: Any) -> list[AggTradeEvent]:
    try:
        return [
            AggTradeEvent(
                *(symbol, int(row["T"]), int(row["a"]), parse_e8(row["p"]), parse_e8(row["q"])),
                *(int(row["T"]), bool(row["m"])),
            )
            for row in body
        ]
    except (TypeError, KeyError, ValueError) as error:
        raise DataError(f"an aggTrades body has an unknown shape ({error!r})") from error
