from importlib import import_module

from django.apps import AppConfig


class StrategyConfig(AppConfig):
    name = "apps.strategy"
    label = "strategy"

    def ready(self) -> None:
        import_module("apps.strategy.metrics")
