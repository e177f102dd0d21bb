"""How is an answer written? As camelCase JSON, or as a page that shows that JSON to a person."""

from __future__ import annotations

from typing import Any

import orjson
from django.template.loader import render_to_string
from rest_framework.renderers import BaseRenderer

from apps.web.casing import WireMap, to_wire


def json_bytes(value: Any, *, pretty: bool = False) -> bytes:
    """Wire JSON of a snake_case value. Raises ValueError on NaN or an infinity."""
    return orjson.dumps(to_wire(value), option=orjson.OPT_INDENT_2 if pretty else None)


class CamelCaseJSONRenderer(BaseRenderer):
    """JSON with camelCase keys and finite numbers."""

    media_type = "application/json"
    format = "json"
    charset = None
    render_style = "binary"

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> bytes:
        response = (renderer_context or {}).get("response")
        if data is None and (response is None or response.status_code == 204):
            return b""
        return data.sent if isinstance(data, WireMap) else json_bytes(data)


class BrowsableRenderer(BaseRenderer):
    """The same answer as a page: the request, its status, the JSON. No scripts, so the strict CSP holds."""

    media_type = "text/html"
    format = "api"
    charset = "utf-8"

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> str:
        context = renderer_context or {}
        request, response, view = context["request"], context["response"], context["view"]
        return render_to_string(
            "web/browsable.html",
            {
                "method": request.method,
                "path": request.get_full_path(),
                "status_code": response.status_code,
                "reason": response.reason_phrase,
                "allowed": ", ".join(view.allowed_methods),
                "about": (view.__doc__ or "").strip().splitlines()[:1],
                "body": json_bytes(data, pretty=True).decode() if data is not None else "",
            },
        )
