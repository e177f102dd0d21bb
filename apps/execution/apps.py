from importlib import import_module

from django.apps import AppConfig


class ExecutionConfig(AppConfig):
    name = "apps.execution"
    label = "execution"

    def ready(self) -> None:
        for module in ("checks", "health", "metrics"):
            import_module(f"apps.execution.{module}")
