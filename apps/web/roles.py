"""Who may do what: the roles, and for every route and method the least that is needed."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What a person may do; each includes what the ones before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    OWNER = "owner"


class Access(StrEnum):
    """The least a request needs. LOOPBACK_x: the embedded profile trusts this machine; anybody else needs role x."""

    PUBLIC = "public"
    LOOPBACK_VIEWER = "loopback or viewer"
    LOOPBACK_OPERATOR = "loopback or operator"
    VIEWER = "viewer"
    OPERATOR = "operator"
    OWNER = "owner"

    @property
    def trusts_loopback(self) -> bool:
        return self in {Access.LOOPBACK_VIEWER, Access.LOOPBACK_OPERATOR}

    @property
    def role(self) -> Role | None:
        """The role that suffices; None for everybody."""
        return None if self is Access.PUBLIC else Role(self.value.rsplit(" ", 1)[-1])


RANK = {role: rank for rank, role in enumerate(Role)}
READ = {"GET": Access.LOOPBACK_VIEWER}
PUBLIC_READ = {"GET": Access.PUBLIC}
DRY_RUN = {"POST": Access.LOOPBACK_VIEWER}
PAPER = {"POST": Access.LOOPBACK_OPERATOR}
CONTROL = {"POST": Access.OPERATOR}

ROLE_TABLE: dict[str, dict[str, Access]] = {
    "market-ohlcv": READ,
    "market-symbols": READ,
    "market-ticker": READ,
    "data-quality-stats": READ,
    "data-quality-quarantine": READ,
    "ws-status": READ,
    "router-snapshot": READ,
    "router-choose": DRY_RUN,
    "regime-state": READ,
    "strategy-policies": {"GET": Access.LOOPBACK_VIEWER, "POST": Access.OPERATOR},
    "pbt-lineage": READ,
    "promotion-status": READ,
    "portfolio-weights": READ,
    "exec-plan-and-execute": PAPER,
    "exec-executions": READ,
    "exec-sizing-last": READ,
    "trading-paper-order": PAPER,
    "trading-orders": READ,
    "trading-order": {"GET": Access.LOOPBACK_VIEWER, "DELETE": Access.OPERATOR},
    "trading-positions": READ,
    "trading-flatten": CONTROL,
    "trading-account": READ,
    "trading-account-reset": {"POST": Access.OWNER},
    "guards-state": READ,
    # Engaging; the service asks for more when the body releases (see `permissions.require_role`).
    "guards-kill-switch": PAPER,
    "guards-trading-state": CONTROL,
    "guards-limits": CONTROL,
    "audit-latest": READ,
    "audit-record": READ,
    "audit-replay": DRY_RUN,
    "audit-verify": READ,
    "audit-proof": READ,
    "audit-checkpoint": READ,
    "research-backtests": READ,
    "research-backtest": READ,
    "research": READ,
    "backtest": READ,
    "canary-state": {"GET": Access.LOOPBACK_VIEWER, "POST": Access.OPERATOR},
    "flags": {"GET": Access.LOOPBACK_VIEWER, "POST": Access.OPERATOR},
    "health": PUBLIC_READ,
    "livez": PUBLIC_READ,
    "readyz": PUBLIC_READ,
    "metrics": READ,
    "schema": READ,
    "docs": READ,
    "dashboard": READ,
    # Halting; the view asks for more when the form only reduces.
    "desk-stop": PAPER,
    "desk-release": {"POST": Access.OWNER},
    "desk-flatten": CONTROL,
    "dashboard-fragments": READ,
    "decision": READ,
    "order": READ,
    "login": {"GET": Access.PUBLIC, "POST": Access.PUBLIC},
    "logout": {"POST": Access.PUBLIC},
}


def access_for(route_name: str | None, method: str) -> Access | None:
    """The least that a call needs; None where the table has no row, which denies everybody."""
    return ROLE_TABLE.get(route_name or "", {}).get("GET" if method == "HEAD" else method)
