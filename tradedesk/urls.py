"""Every route of the desk, gathered from the apps."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from apps.web.error_views import bad_request as handler400
from apps.web.error_views import not_found as handler404
from apps.web.error_views import permission_denied as handler403
from apps.web.error_views import server_error as handler500

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]

APPS_WITH_URLS = (
    *("web", "accounts", "telemetry", "dashboard", "audit", "flags", "marketdata", "strategy", "risk"),
    *("canary", "execution", "research"),
)


def _routes() -> list[URLPattern | URLResolver]:
    return [
        path("", include(f"apps.{app}.urls"))
        for app in APPS_WITH_URLS
        if find_spec(f"apps.{app}.urls") is not None and import_module(f"apps.{app}.urls").urlpatterns
    ]


urlpatterns: list[URLPattern | URLResolver] = [*_routes(), path("admin/", admin.site.urls)]
