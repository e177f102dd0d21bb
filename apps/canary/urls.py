"""Routes of the canary ladder."""

from __future__ import annotations

from apps.canary.api import CanaryStateView
from apps.web.routes import route

urlpatterns = [route("api/canary/state", CanaryStateView, name="canary-state")]
