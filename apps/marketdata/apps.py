from importlib import import_module

from django.apps import AppConfig


class MarketdataConfig(AppConfig):
    name = "apps.marketdata"
    label = "marketdata"

    def ready(self) -> None:
        for module in ("health", "metrics"):
            import_module(f"apps.marketdata.{module}")
