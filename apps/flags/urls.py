"""Route of the flags."""

from __future__ import annotations

from apps.flags.api import FlagsView
from apps.web.routes import route

urlpatterns = [route("api/flags", FlagsView, name="flags")]
