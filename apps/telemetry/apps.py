from django.apps import AppConfig


class TelemetryConfig(AppConfig):
    name = "apps.telemetry"
    label = "telemetry"

    def ready(self) -> None:
        """The parts of health that no trading app owns."""
        from apps.telemetry.probes import register_all

        register_all()
