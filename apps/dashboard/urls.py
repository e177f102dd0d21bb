"""Routes of the dashboard."""

from __future__ import annotations

from apps.dashboard import views
from apps.web.routes import route

urlpatterns = [
    route("", views.page, name="dashboard"),
    route("fragments/<page>", views.fragments, name="dashboard-fragments"),
]
