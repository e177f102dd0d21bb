from django.apps import AppConfig
from django.core.checks import register


class WebConfig(AppConfig):
    name = "apps.web"
    label = "web"

    def ready(self) -> None:
        from apps.web.checks import check_edge

        register(check_edge)
