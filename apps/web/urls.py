"""Routes of the edge itself: the API described, for machines and for people."""

from __future__ import annotations

from apps.web.routes import route
from apps.web.schema import DocsView, SchemaView

urlpatterns = [
    route("api/schema", SchemaView, name="schema"),
    route("api/docs", DocsView, name="docs"),
]
