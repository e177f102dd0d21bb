"""What answers when Django itself refuses or fails? A problem; a page for a person who is not at the API."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string

from apps.web import request_ids
from apps.web.problems import problem_response


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """`handler400` of the URLconf."""
    return problem_response(400, None, "The request cannot be understood.").render()


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """`handler403` of the URLconf."""
    return problem_response(403, None, "Your role does not allow this.").render()


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """`handler404` of the URLconf."""
    if _is_for_a_person(request):
        return HttpResponse(render_to_string("404.html", request=request), status=404)
    return problem_response(404, None, f"There is nothing at {request.path[:200]}.").render()


def server_error(request: HttpRequest) -> HttpResponseBase:
    """`handler500` of the URLconf: the log has the traceback under the same request id."""
    if _is_for_a_person(request):
        return HttpResponse(render_to_string("500.html", {"request_id": request_ids.current()}), status=500)
    return problem_response(500, None, "Something failed here; the log has it under this request id.").render()


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    """`CSRF_FAILURE_VIEW`."""
    return problem_response(403, None, f"The request carries no valid CSRF token: {reason}").render()


def _is_for_a_person(request: HttpRequest) -> bool:
    return "text/html" in request.headers.get("Accept", "") and not request.path.startswith("/api/")
