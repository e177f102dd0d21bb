from importlib import import_module

from django.apps import AppConfig

from apps.web.clock import register


class MarketdataConfig(AppConfig):
    name = "apps.marketdata"
    label = "marketdata"

    def ready(self) -> None:
        for module in ("health", "metrics"):
            import_module(f"apps.marketdata.{module}")
        register(import_module("apps.marketdata.market").market_view().now_ms)
