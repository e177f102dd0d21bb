"""What does the API look like to a machine? OpenAPI 3.1, and its page, served without the internet."""

from __future__ import annotations

import threading
from copy import deepcopy
from typing import Any

from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiJsonRenderer2, OpenApiYamlRenderer
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.web.casing import DataMap, to_camel
from apps.web.permissions import RoleTablePermission
from apps.web.problems import PROBLEM_TYPE
from apps.web.renderers import BrowsableRenderer

PROBLEM = {
    "type": "object",
    "description": "RFC 9457 problem details.",
    "required": ["type", "title", "status", "detail", "requestId"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
        "requestId": {"type": "string"},
    },
}
EVERYWHERE = {
    "400": "What was sent cannot be used; `errors` names the field",
    "401": "Log in, or present a bearer token",
    "403": "Your role does not allow this",
    "404": "Unknown symbol or id",
    "406": "None of the accepted media types is served",
    "503": "Something needed is not there now",
}
WITH_BODY = {
    "409": "The present state does not allow it",
    "413": "The body is too large",
    "415": "The body is not JSON",
    "422": "Refused, with the reason",
}
# Swagger UI styles its elements from its script; nothing else of the page is inline.
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_lock = threading.Lock()
_document: dict[str, Any] = {}


def document() -> dict[str, Any]:
    """The description of the URLconf; made once per process."""
    with _lock:
        if not _document:
            with GENERATOR_STATS.silence():
                described = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
            _document.update(describe_edge(described))
        return _document


def describe_edge(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with what the edge adds to every call: problems, camelCase members. Twice is the same as once."""
    described = deepcopy(schema)
    components = described.setdefault("components", {}).setdefault("schemas", {})
    for component in components.values():
        _rename_members(component)
    components["Problem"] = PROBLEM
    described["paths"] = {path.rstrip("/") or "/": operations for path, operations in described["paths"].items()}
    for operations in described["paths"].values():
        for operation in operations.values():
            _add_problems(operation)
    return described


def _add_problems(operation: dict[str, Any]) -> None:
    responses = operation.setdefault("responses", {})
    for status, description in {**EVERYWHERE, **(WITH_BODY if "requestBody" in operation else {})}.items():
        content = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        responses.setdefault(status, {"description": description, "content": content})


def _rename_members(component: dict[str, Any]) -> None:
    if "properties" in component:
        component["properties"] = {to_camel(name): member for name, member in component["properties"].items()}
    if "required" in component:
        component["required"] = [to_camel(name) for name in component["required"]]


def _as_data(value: Any) -> Any:
    """Nested mappings whose keys are data, so that a page shows them as they are."""
    if isinstance(value, dict):
        return DataMap({key: _as_data(member) for key, member in value.items()})
    return [_as_data(member) for member in value] if isinstance(value, (list, tuple)) else value


@extend_schema(exclude=True)
class SchemaView(APIView):
    """The OpenAPI description of this API."""

    renderer_classes = [OpenApiJsonRenderer2, OpenApiJsonRenderer, OpenApiYamlRenderer, BrowsableRenderer]

    def get(self, request: Any) -> Response:
        is_page = isinstance(request.accepted_renderer, BrowsableRenderer)
        return Response(_as_data(document()) if is_page else document())


class DocsView(SpectacularSwaggerSplitView):
    """The page that shows the description and lets a person try it."""

    permission_classes = [RoleTablePermission]
    url_name = "schema"

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        final = super().finalize_response(request, response, *args, **kwargs)
        final.headers["Content-Security-Policy"] = DOCS_POLICY
        return final
