"""May this WebSocket be opened? The page it comes from must be ours, and its user must be allowed to read."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from urllib.parse import SplitResult, urlsplit

from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest, parse_cookie
from django.http.request import split_domain_port, validate_host
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.settings import api_settings

from apps.web.permissions import has_role
from apps.web.roles import Role
from apps.web.trust import is_from_loopback


def meta_of(scope: Mapping[str, Any]) -> dict[str, Any]:
    """The handshake's headers and address in the spelling of a Django request."""
    meta: dict[str, Any] = {"REMOTE_ADDR": (scope.get("client") or ("",))[0]}
    for name, value in scope.get("headers", ()):
        key = "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
        text = value.decode("latin-1")
        # A header sent twice must not be read as its last copy alone.
        meta[key] = f"{meta[key]},{text}" if key in meta else text
    return meta


def scheme_of(scope: Mapping[str, Any]) -> str:
    return "https" if scope.get("scheme") == "wss" else "http"


def is_own_page(meta: Mapping[str, Any], scheme: str) -> bool:
    """Whether the host is one of ours and the browser's page, if it names one, is on the same scheme, host and port.

    Programs that are no browser send no Origin; what they may see is a matter of who they are.
    """
    host = meta.get("HTTP_HOST", "")
    domain, _ = split_domain_port(host)
    if not domain or not validate_host(domain, settings.ALLOWED_HOSTS):
        return False
    origin = meta.get("HTTP_ORIGIN")
    return origin is None or _place(origin) == _place(f"{scheme}://{host}") is not None


async def may_read(scope: Mapping[str, Any]) -> bool:
    """Whether the loopback trust, the session or the bearer token of the handshake allows reading at this moment."""
    meta = meta_of(scope)
    if settings.EMBEDDED and is_from_loopback(meta, scheme_of(scope)):
        return True
    return bool(await database_sync_to_async(_has_login)(meta))


def _has_login(meta: dict[str, Any]) -> bool:
    """Read from the database each time: sessions and tokens end while sockets live on."""
    request: Any = HttpRequest()
    request.method, request.META = "GET", meta
    session_key = parse_cookie(meta.get("HTTP_COOKIE", "")).get(settings.SESSION_COOKIE_NAME)
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    request.user = get_user(request)
    kinds: Any = api_settings.DEFAULT_AUTHENTICATION_CLASSES
    asked = Request(request, authenticators=[kind() for kind in kinds])
    try:
        return has_role(SimpleNamespace(user=asked.user), Role.VIEWER)
    except APIException:
        return False


def _place(address: str) -> tuple[str, str, int] | None:
    """Scheme, host and port; None when it is not just that."""
    try:
        parts: SplitResult = urlsplit(address)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError:
        return None
    if (
        not port
        or not parts.hostname
        or (parts.path, parts.query, parts.fragment, parts.username) != ("", "", "", None)
    ):
        return None
    return parts.scheme, parts.hostname, port
