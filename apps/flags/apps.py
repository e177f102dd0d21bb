from django.apps import AppConfig
from django.core.checks import register


class FlagsConfig(AppConfig):
    name = "apps.flags"
    label = "flags"

    def ready(self) -> None:
        from apps.flags.checks import check_environment

        register(check_environment)
