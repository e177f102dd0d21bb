"""Which exchange does this desk talk to? The one of its settings; a simulated one is started when none is named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from django.conf import settings

from apps.marketdata.exchange.binance import venue
from apps.marketdata.exchange.client import ExchangeClient
from apps.marketdata.exchange.simulated.process import ExchangeProcess, start_exchange


@asynccontextmanager
async def desk_client() -> AsyncIterator[ExchangeClient]:
    """A client for the length of a command; a simulated exchange that had to be started ends with it."""
    own: ExchangeProcess | None = None
    if settings.EXCHANGE == "simulated" and not settings.EXCHANGE_REST_URL:
        own = await asyncio.to_thread(
            start_exchange, port=settings.SIM_PORT, seed=settings.SIM_SEED, symbols=settings.SYMBOLS
        )
    try:
        rest_url = own.rest_url if own else settings.EXCHANGE_REST_URL
        ws_url = own.ws_url if own else settings.EXCHANGE_WS_URL
        async with ExchangeClient(venue(settings.EXCHANGE, rest_url=rest_url, ws_url=ws_url)) as client:
            yield client
    finally:
        if own is not None:
            await asyncio.to_thread(own.stop)
