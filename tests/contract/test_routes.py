"""The contract's table of calls against the URLconf, and the role table against both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, resolve
from django.urls.exceptions import Resolver404

from apps.web.permissions import RoleTablePermission
from apps.web.roles import ROLE_TABLE, Access, access_for

# Every call of the contract: method, path, route name.
CONTRACT = [
    ("GET", "/api/market/ohlcv", "market-ohlcv"),
    ("GET", "/api/market/symbols", "market-symbols"),
    ("GET", "/api/market/ticker", "market-ticker"),
    ("GET", "/api/data-quality/stats", "data-quality-stats"),
    ("GET", "/api/data-quality/quarantine", "data-quality-quarantine"),
    ("GET", "/api/ws/status", "ws-status"),
    ("GET", "/api/router/snapshot", "router-snapshot"),
    ("POST", "/api/router/choose", "router-choose"),
    ("GET", "/api/regime/state", "regime-state"),
    ("GET", "/api/strategy/policies", "strategy-policies"),
    ("POST", "/api/strategy/policies", "strategy-policies"),
    ("GET", "/api/pbt/lineage", "pbt-lineage"),
    ("GET", "/api/promotion/status", "promotion-status"),
    ("GET", "/api/portfolio/weights", "portfolio-weights"),
    ("POST", "/api/exec/plan-and-execute", "exec-plan-and-execute"),
    ("GET", "/api/exec/executions", "exec-executions"),
    ("GET", "/api/exec/sizing/last", "exec-sizing-last"),
    ("POST", "/api/trading/paper/order", "trading-paper-order"),
    ("GET", "/api/trading/orders", "trading-orders"),
    ("GET", "/api/trading/orders/x", "trading-order"),
    ("DELETE", "/api/trading/orders/x", "trading-order"),
    ("GET", "/api/trading/positions", "trading-positions"),
    ("POST", "/api/trading/flatten", "trading-flatten"),
    ("GET", "/api/trading/account", "trading-account"),
    ("POST", "/api/trading/account/reset", "trading-account-reset"),
    ("GET", "/api/guards/state", "guards-state"),
    ("POST", "/api/guards/kill-switch", "guards-kill-switch"),
    ("POST", "/api/guards/trading-state", "guards-trading-state"),
    ("POST", "/api/guards/limits", "guards-limits"),
    ("GET", "/api/audit/latest", "audit-latest"),
    ("GET", "/api/audit/x", "audit-record"),
    ("POST", "/api/audit/x/replay", "audit-replay"),
    ("GET", "/api/audit/verify", "audit-verify"),
    ("GET", "/api/audit/x/proof", "audit-proof"),
    ("GET", "/api/audit/checkpoint", "audit-checkpoint"),
    ("GET", "/api/canary/state", "canary-state"),
    ("POST", "/api/canary/state", "canary-state"),
    ("GET", "/api/flags", "flags"),
    ("POST", "/api/flags", "flags"),
    ("GET", "/api/health", "health"),
    ("GET", "/livez", "livez"),
    ("GET", "/readyz", "readyz"),
    ("GET", "/metrics", "metrics"),
    ("GET", "/api/schema", "schema"),
    ("GET", "/api/docs", "docs"),
]

# What later work still owes. A call leaves this set in the commit that serves it; nothing may be added.
OWED: set[tuple[str, str]] = {
    ("GET", "/api/pbt/lineage"),
    ("GET", "/api/promotion/status"),
    ("GET", "/api/portfolio/weights"),
    ("GET", "/api/audit/x/proof"),
    ("GET", "/api/audit/checkpoint"),
    ("POST", "/api/canary/state"),
}

UNSAFE = [(method, path, name) for method, path, name in CONTRACT if method != "GET"]
# The admin answers for itself: it needs a staff session, which no role gives.
FOREIGN_PREFIXES = ("admin/",)


def served_by(method: str, path: str) -> str | None:
    """The name of the route that serves a call; None when nobody does."""
    try:
        match = resolve(path)
    except Resolver404:
        return None
    methods = methods_of(match.func)
    return match.url_name if method in methods else None


def methods_of(view: Any) -> set[str]:
    """What a view serves; a plain function is a page, which is read."""
    view_class = getattr(view, "view_class", getattr(view, "cls", None))
    if view_class is None:
        return {"GET"}
    verbs = {"get", "post", "put", "patch", "delete"}.intersection(view_class.http_method_names)
    return {verb.upper() for verb in verbs if hasattr(view_class, verb)}


def routes(patterns: Any = None, prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    """Every route of the desk's own, with its path."""
    for entry in get_resolver().url_patterns if patterns is None else patterns:
        path = prefix + str(entry.pattern).removeprefix("^")
        if path.startswith(FOREIGN_PREFIXES):
            continue
        if isinstance(entry, URLResolver):
            yield from routes(entry.url_patterns, path)
        else:
            yield path, entry


ROUTES = list(routes())


def test_the_contract_is_served_but_for_what_is_owed() -> None:
    missing = {(method, path) for method, path, name in CONTRACT if served_by(method, path) != name}
    assert missing - OWED == set(), "promised by the contract and not served"
    assert OWED - missing == set(), "served by now: take these out of OWED"


def test_every_owed_call_is_one_of_the_contract() -> None:
    assert {(method, path) for method, path, _ in CONTRACT} >= OWED


def test_every_call_of_the_contract_has_a_row_in_the_role_table() -> None:
    assert [name for method, _, name in CONTRACT if access_for(name, method) is None] == []


@pytest.mark.parametrize(("path", "entry"), ROUTES, ids=[path for path, _ in ROUTES])
def test_every_route_has_a_row_for_each_of_its_methods(path: str, entry: URLPattern) -> None:
    without = [method for method in methods_of(entry.callback) if access_for(entry.name, method) is None]
    assert without == [], f"{path} ({entry.name}) has no row for {without} in ROLE_TABLE"


@pytest.mark.parametrize(("path", "entry"), ROUTES, ids=[path for path, _ in ROUTES])
def test_every_route_asks_the_role_table(path: str, entry: URLPattern) -> None:
    view_class = getattr(entry.callback, "cls", None)
    if view_class is not None:
        assert RoleTablePermission in view_class.permission_classes
    else:
        assert getattr(entry.callback, "is_guarded", False), f"decorate {path} with require_access"


def test_no_two_routes_share_a_name() -> None:
    names = [entry.name for _, entry in ROUTES]
    shared = {name for name in names if names.count(name) > 1}
    assert shared == set()


@pytest.mark.parametrize(("method", "path", "name"), UNSAFE, ids=[f"{m} {p}" for m, p, _ in UNSAFE])
def test_nothing_changes_without_login_from_elsewhere(desk_db: object, method: str, path: str, name: str) -> None:
    if (method, path) in OWED:
        return
    client = Client(headers={"host": "localhost"}, REMOTE_ADDR="192.0.2.1")
    assert client.generic(method, path, data=b"{}", content_type="application/json").status_code == 401


@pytest.mark.parametrize(("method", "path", "name"), UNSAFE, ids=[f"{m} {p}" for m, p, _ in UNSAFE])
def test_loopback_alone_changes_no_control(desk_db: object, method: str, path: str, name: str) -> None:
    access = access_for(name, method)
    assert access is not None
    if access.trusts_loopback or (method, path) in OWED:
        return
    client = Client(headers={"host": "localhost"})
    assert client.generic(method, path, data=b"{}", content_type="application/json").status_code == 401


def test_controls_never_trust_loopback() -> None:
    for name in (
        "flags", "strategy-policies", "guards-limits", "guards-trading-state", "canary-state", "trading-account-reset",
    ):  # fmt: skip
        assert ROLE_TABLE[name]["POST"] in {Access.OPERATOR, Access.OWNER}
