"""The desk's settings with the bench's routes beside its own."""

from tradedesk.settings import *  # noqa: F403 - settings are inherited whole

ROOT_URLCONF = "bench.decision.urls"
