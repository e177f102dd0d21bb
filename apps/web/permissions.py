"""May this request do that? The role table decides; what it does not list is denied."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from rest_framework.exceptions import APIException, NotAuthenticated
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.settings import api_settings

from apps.web.problems import problem_of, problem_response
from apps.web.roles import RANK, ROLE_TABLE, Access, Role, access_for
from apps.web.trust import is_loopback_trusted


class LoginNeeded(NotAuthenticated):
    """The 401 of a view that asks for more than its row in the table."""

    auth_header = "Bearer"


def role_of(request: Any) -> Role | None:
    """The role of the logged-in user; None for anybody else."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated or not user.is_active:
        return None
    return Role(user.role)


def has_role(request: Any, least: Role) -> bool:
    """Whether the user is logged in with at least this role."""
    role = role_of(request)
    return role is not None and RANK[role] >= RANK[least]


def require_role(request: Any, least: Role, why: str) -> None:
    """For what depends on the body: raise 401 without login and 403 below the role."""
    if role_of(request) is None:
        raise LoginNeeded(why)
    if not has_role(request, least):
        raise PermissionDenied(why)


def is_allowed(request: Any, access: Access | None) -> bool:
    """Whether the request meets the least that is needed. None, no row in the table, denies everybody."""
    if access is None:
        return False
    if access.role is None or (access.trusts_loopback and is_loopback_trusted(request)):
        return True
    return has_role(request, access.role)


def _route_name(request: Any) -> str | None:
    return request.resolver_match.url_name if request.resolver_match else None


class RoleTablePermission(BasePermission):
    """DRF's question, answered by the role table. A method that the view lacks passes, to become a 405."""

    message = "Your role does not allow this."

    def has_permission(self, request: Any, view: Any) -> bool:
        if not hasattr(view, request.method.lower()):
            return True
        return is_allowed(request, access_for(_route_name(request), request.method))


def require_access(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """The same for a plain Django view: tokens work too, and a browser without login is led to the login page."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        kinds: Any = api_settings.DEFAULT_AUTHENTICATION_CLASSES
        authenticators = [authenticator() for authenticator in kinds]
        asked = Request(request, authenticators=authenticators)
        try:
            request.user = asked.user
        except APIException as error:
            return problem_of(error).render()
        access = access_for(_route_name(request), request.method or "")
        if is_allowed(request, access):
            return view(request, *args, **kwargs)
        return _refuse(request, ROLE_TABLE.get(_route_name(request) or "", {}) if access is None else {})

    guarded.is_guarded = True  # type: ignore[attr-defined]  # the test over the URLconf looks for it
    return guarded


def _refuse(request: HttpRequest, other_methods: Iterable[str]) -> HttpResponseBase:
    """405 where the route has rows for other methods alone; else 403, the login page, or 401."""
    if allowed := ", ".join(other_methods):
        return problem_response(405, None, "This method is not served here.", headers={"Allow": allowed}).render()
    if role_of(request) is not None:
        return problem_response(403, None, RoleTablePermission.message).render()
    if request.method == "GET" and "text/html" in request.headers.get("Accept", ""):
        return HttpResponseRedirect(f"{settings.LOGIN_URL}?next={quote(request.get_full_path())}")
    return problem_response(
        401, None, "Log in, or present a bearer token.", headers={"WWW-Authenticate": "Bearer"}
    ).render()
