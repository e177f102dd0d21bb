from importlib import import_module

from django.apps import AppConfig


class TradedeskConfig(AppConfig):
    name = "tradedesk"

    def ready(self) -> None:
        """Give every process, commands and the admin included, the desk's own way of storing bars."""
        storing, bars = import_module("apps.marketdata.storing"), import_module("tradedesk.bars")
        storing.register_store(bars.store_bars)
