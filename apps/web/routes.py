"""How is a path of the contract written? With an optional trailing slash and named parts in angle brackets."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from django.urls import ResolverMatch, URLPattern, re_path, resolve

_PART = re.compile(r"<([a-z_]+)>")


def route(pattern: str, view: Any, name: str, **kwargs: Any) -> URLPattern:
    """One route: `route("api/audit/<audit_id>", AuditView, name="audit-record")`. A part matches anything but `/`."""
    pieces = _PART.split(pattern)
    literal = [_literal(piece) if index % 2 == 0 else f"(?P<{piece}>[^/]+)" for index, piece in enumerate(pieces)]
    ending = "/?$" if pattern else "$"
    return re_path("^" + "".join(literal) + ending, _callable_of(view), kwargs, name=name)


@lru_cache(maxsize=1024)
def match_of(path: str, urlconf: str) -> ResolverMatch:
    """The route of a path, looked up once. Raises Resolver404."""
    return resolve(path, urlconf)


def _literal(piece: str) -> str:
    """A hyphen needs no escape here, and an escaped one would stand in the schema's paths."""
    return re.escape(piece).replace(r"\-", "-")


def _callable_of(view: Any) -> Callable[..., Any]:
    is_class = hasattr(view, "as_view")
    made: Callable[..., Any] = view.as_view() if is_class else view
    return made
