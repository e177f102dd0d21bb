"""Did this request come from this very machine, and not through a page, a proxy or a trick with names?"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
PROXY_HEADERS = ("HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA", "HTTP_TRUE_CLIENT_IP", "HTTP_CF_CONNECTING_IP")
OWN_FETCH_SITES = frozenset({"same-origin", "none"})


def is_loopback_trusted(request: Any) -> bool:
    """Whether the embedded profile may trust this request without login."""
    return bool(settings.EMBEDDED) and is_from_loopback(request.META, request.scheme)


def is_from_loopback(meta: Mapping[str, Any], scheme: str) -> bool:
    """The rule itself: every sign must be right, and what cannot be read is wrong."""
    return (
        _is_loopback_address(meta.get("REMOTE_ADDR"))
        and not any(name in PROXY_HEADERS or name.startswith("HTTP_X_FORWARDED") for name in meta)
        and _host_name(meta.get("HTTP_HOST", "")) in LOOPBACK_NAMES
        and meta.get("HTTP_SEC_FETCH_SITE", "none") in OWN_FETCH_SITES
        and _is_own_origin(meta.get("HTTP_ORIGIN"), scheme, meta.get("HTTP_HOST", ""))
    )


@lru_cache(maxsize=256)
def _is_loopback_address(address: Any) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback


def _host_name(host: str) -> str:
    """`localhost` of `localhost:5000`; empty when the header is not one host with an optional port."""
    name, colon, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
    if not colon:
        name = host
    elif not (port.isascii() and port.isdigit()):
        return ""
    return name.lower()


def _is_own_origin(origin: str | None, scheme: str, host: str) -> bool:
    """A browser names the page's origin on every unsafe request: scheme, host and port must be the server's own."""
    if origin is None:
        return True
    try:
        sent, own = urlsplit(origin), urlsplit(f"{scheme}://{host}")
        return (
            sent.scheme in {"http", "https"}
            and (sent.scheme, sent.hostname, _port(sent)) == (own.scheme, own.hostname, _port(own))
            and sent.hostname is not None
            and (sent.path, sent.query, sent.fragment, sent.username) == ("", "", "", None)
        )
    except ValueError:
        return False


def _port(parts: Any) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)
