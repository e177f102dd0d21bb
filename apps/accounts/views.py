"""Logging in and out with a browser."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.views import LoginView, LogoutView
from django.utils.decorators import method_decorator

from apps.web.permissions import require_access


@method_decorator(require_access, name="dispatch")
class LogInView(LoginView):
    """Name and password; leads back to where the browser came from."""

    http_method_names = ["get", "head", "post"]
    template_name = "accounts/login.html"
    redirect_authenticated_user = True


@method_decorator(require_access, name="dispatch")
class LogOutView(LogoutView):
    """Ends the session; POST only."""

    next_page: Any = "/"
