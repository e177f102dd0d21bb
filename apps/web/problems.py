"""How does an error look? RFC 9457 problem details, everywhere, naming the field at fault and the request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions, status
from rest_framework.response import Response

from apps.engine.errors import Conflict, DataError, InvalidInput, Unavailable, UnknownName
from apps.web import request_ids
from apps.web.casing import to_camel
from apps.web.renderers import BrowsableRenderer, CamelCaseJSONRenderer

PROBLEM_TYPE = "application/problem+json"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SHOWN_NAME_LENGTH = 64


class InvalidFields(InvalidInput):
    """Several members of what a caller sent cannot be used; names as they were sent."""

    def __init__(self, faults: Sequence[tuple[str, str]]) -> None:
        name, message = faults[0]
        super().__init__(message, field=name[:SHOWN_NAME_LENGTH])
        self.faults = [{"field": name[:SHOWN_NAME_LENGTH], "message": message} for name, message in faults]


class BodyTooLarge(exceptions.APIException):
    """The body is longer than the server reads."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The body is larger than this server accepts."
    field = "body"


class ProblemResponse(Response):
    """An answer of type problem+json, on the browsable page when a person asked for one."""

    @property
    def rendered_content(self) -> Any:
        if not isinstance(getattr(self, "accepted_renderer", None), BrowsableRenderer):
            self.accepted_renderer = CamelCaseJSONRenderer()
            self.accepted_media_type = self.accepted_renderer.media_type
            self.renderer_context: dict[str, Any] = {"response": self}
            self.content_type = PROBLEM_TYPE
        return super().rendered_content

    def render(self) -> ProblemResponse:
        super().render()
        return self


def problem_response(
    status: int,
    title: str | None,
    detail: str,
    *,
    errors: Iterable[Mapping[str, str]] = (),
    request_id: str | None = None,
    headers: Mapping[str, str] | None = None,
    type: str = "about:blank",
    **extra: Any,
) -> ProblemResponse:
    """One problem. Members of `extra` are added to it in camelCase; outside DRF call `.render()` on what returns."""
    problem: dict[str, Any] = {
        "type": type,
        "title": title or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **({"errors": listed} if (listed := [dict(error) for error in errors]) else {}),
        "request_id": request_id or request_ids.current(),
        **extra,
    }
    return ProblemResponse(problem, status=status, headers=headers)


def exception_handler(error: Exception, context: Mapping[str, Any]) -> ProblemResponse | None:
    """The problem for an exception; None lets it become a 500 that is logged with its traceback."""
    if isinstance(error, InvalidInput):
        return _invalid(error, context["request"])
    if isinstance(error, Conflict):
        return problem_response(409, None, str(error), **_reason_of(error))
    if isinstance(error, (Unavailable, DataError)):
        return problem_response(503, None, str(error), headers={"Retry-After": "1"}, **_reason_of(error))
    if isinstance(error, Http404):
        return problem_response(404, None, str(error) or "There is nothing here.")
    if isinstance(error, PermissionDenied):
        return problem_response(403, None, str(error) or "Your role does not allow this.")
    if isinstance(error, exceptions.APIException):
        return problem_of(error)
    return None


def _invalid(error: InvalidInput, request: Any) -> ProblemResponse:
    faults = getattr(error, "faults", None) or [{"field": to_camel(error.field), "message": str(error)}]
    detail = "; ".join(f"{fault['field']}: {fault['message']}" for fault in faults[:5])
    is_missing = isinstance(error, UnknownName) and error.field == "symbol" and request.method in SAFE_METHODS
    return problem_response(404 if is_missing else 400, None, detail, errors=faults)


def _reason_of(error: Exception) -> dict[str, Any]:
    """A refusal's stable code, where the error carries one."""
    reason = getattr(error, "reason", None)
    return {"reason": str(reason)} if reason else {}


def problem_of(error: exceptions.APIException) -> ProblemResponse:
    """The problem for an error of DRF."""
    headers = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait_s := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait_s) + 1)
    faults: list[dict[str, str]] = []
    if isinstance(error, exceptions.ValidationError):
        faults = _faults_of(error.detail)
    elif isinstance(error, (BodyTooLarge, exceptions.UnsupportedMediaType, exceptions.ParseError)):
        faults = [{"field": "body", "message": str(error.detail)}]
    detail = "; ".join(f"{fault['field']}: {fault['message']}" for fault in faults) or str(error.detail)
    return problem_response(error.status_code, None, detail, errors=faults, headers=headers)


def _faults_of(detail: Any) -> list[dict[str, str]]:
    """A serializer's errors, flattened to one message per field."""
    if isinstance(detail, Mapping):
        return [
            {"field": to_camel(str(name)), "message": " ".join(str(text) for text in texts)}
            for name, texts in detail.items()
        ]
    return [{"field": "body", "message": " ".join(str(text) for text in detail)}]
