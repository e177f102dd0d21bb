from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class DashboardConfig(AppConfig):
    name = "apps.dashboard"
    label = "dashboard"

    def ready(self) -> None:
        """Every app's `cards` and `pages` modules register what they hold."""
        autodiscover_modules("cards", "pages")
