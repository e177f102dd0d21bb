"""Routes for orchestrators, monitors and scrapers."""

from __future__ import annotations

from apps.telemetry.api import HealthView, LivezView, ReadyzView, metrics
from apps.web.routes import route

urlpatterns = [
    route("api/health", HealthView, name="health"),
    route("livez", LivezView, name="livez"),
    route("readyz", ReadyzView, name="readyz"),
    route("metrics", metrics, name="metrics"),
]
