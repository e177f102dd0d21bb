"""The tables of docs/guards.md, written from what runs: guards, limits and reason codes cannot drift from it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from apps.engine.desk import LimitRecord
from apps.engine.gate import GATE_GUARDS
from apps.engine.guards import Guard
from apps.engine.reasons import REASON_TEXT, Reason
from apps.risk.limits import LIMITS, Limit
from apps.web.casing import to_camel

# What shapes a guard's input before its kernel compares anything.
_SHAPING = {
    "rolling_drawdown": ("drawdown_window_trades", "breaker_ms"),
    "stoploss_guard": ("stop_guard_window_ms",),
    "low_profit": ("low_profit_window_ms",),
}
# Fields of LimitRecord that are no limit of the desk.
_ELSEWHERE = {"allow_short": "`ALLOW_SHORT`", "view_stale_after_ms": "`INTERVAL` and 20 s"}
_FILTERS = "the exchange's filters"

_BLOCK = re.compile(r"<!-- (\w+) -->\n.*?<!-- end -->\n", re.S)


def guards_page(text: str) -> str:
    """The page with every marked block written anew. Raises LookupError when a block is missing or unknown."""
    blocks = {"guards": _guards(), "rules": _rules(), "limits": _limits(), "reasons": _reasons()}
    if sorted(_BLOCK.findall(text)) != sorted(blocks):
        raise LookupError(f"the page must mark each of these blocks once: {', '.join(blocks)}")
    return _BLOCK.sub(lambda found: f"<!-- {found[1]} -->\n{blocks[found[1]]}<!-- end -->\n", text)


def limits_of_guard(guard: Guard) -> list[str]:
    """The fields of LimitRecord and LIMITS that a guard depends on, read from its kernel's own code."""
    kernel = getattr(guard.check, "py_func", guard.check)
    read = [name for name in kernel.__code__.co_names if name in LimitRecord._fields]
    return [*read, *_SHAPING.get(guard.name, ())]


def _table(columns: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in rows]
    return "\n".join([f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", *lines]) + "\n"


def _guards() -> str:
    rows = [(f"`{g.name}`", g.summary, g.unit, _codes(g), _settings(g)) for g in GATE_GUARDS]
    return _table(("guard", "what it watches", "unit", "reason", "set by"), rows)


def _codes(guard: Guard) -> str:
    codes = [guard.reason.code]
    if guard.name == "trading_state":
        codes.append(guard.reduce_reason.code)
    return ", ".join(f"`{code}`" for code in codes)


def _settings(guard: Guard) -> str:
    found = []
    for name in limits_of_guard(guard):
        text = f"`{LIMITS[name].setting}`" if name in LIMITS else _ELSEWHERE.get(name, _FILTERS)
        if text not in found:
            found.append(text)
    return ", ".join(found) or "always on"


def _rules() -> str:
    """The exact rule of each guard: the text that its kernel carries."""
    rules = [f"- **{guard.name}.** {' '.join((guard.check.__doc__ or '').split())}" for guard in GATE_GUARDS]
    return "\n".join(rules) + "\n"


def _limits() -> str:
    rows = [
        (f"`{to_camel(limit.member)}`", f"`{limit.setting}`", limit.kind.unit, _bounds(limit), _direction(limit))
        for limit in LIMITS.values()
    ]
    return _table(("member", "setting", "unit", "from … to", "tighter is"), rows)


def _bounds(limit: Limit) -> str:
    return f"{limit.told(limit.low)} … {limit.told(limit.high)}"


def _direction(limit: Limit) -> str:
    direction = "lower" if limit.is_tighter_lower else "higher"
    return f"{direction}; 0 is off" if limit.is_off_at_zero else direction


def _reasons() -> str:
    rows = [(str(int(reason)), f"`{reason.code}`", REASON_TEXT[reason]) for reason in Reason if reason]
    return _table(("#", "code", "meaning"), rows)
