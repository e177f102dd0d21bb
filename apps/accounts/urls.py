"""Routes of the session."""

from __future__ import annotations

from apps.accounts.views import LogInView, LogOutView
from apps.web.routes import route

urlpatterns = [
    route("login", LogInView, name="login"),
    route("logout", LogOutView, name="logout"),
]
