"""Stop trading, let it go on, or say how it stands; works without a running desk."""

from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.engine.errors import TradedeskError
from apps.risk import services
from apps.risk.selectors import trading_states
from apps.risk.states import DESK, RELEASE_WORD, CurrentState
from apps.web.clock import wall_ms
from apps.web.roles import Role
from apps.web.values import iso_ms

ACTOR = "command line"
ENGAGE, RELEASE, STATE = "engage", "release", "state"


class Command(BaseCommand):
    """Exit codes: 0 done, 1 refused, 2 bad input. Whoever may run this owns the desk."""

    help = "engage: after this returns no order and no fill commits. release: takes the typed word. state: print it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=(ENGAGE, RELEASE, STATE), nargs="?", default=STATE)
        parser.add_argument("--symbol", help="one symbol instead of the whole desk")
        parser.add_argument("--reason", default="", help="why; goes on record")
        parser.add_argument("--confirm", metavar="WORD", help=f"{RELEASE_WORD}, needed to release")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, action: str, symbol: str | None, reason: str, **options: Any) -> None:
        given: dict[str, Any] = {"actor": ACTOR, "reason": reason, "ts_ms": wall_ms(), "symbol": symbol}
        try:
            if action == ENGAGE:
                services.kill_engage(**given)
            elif action == RELEASE:
                services.kill_release(**given, confirmation=options["confirm"], role=Role.OWNER)
        except (TradedeskError, PermissionDenied) as error:
            raise CommandError(_as_typed(error)) from error
        states = [state for scope, state in sorted(trading_states().items()) if symbol in (None, scope)]
        if options["json"]:
            self.stdout.write(json.dumps({"states": [_document(state) for state in states]}))
        else:
            self.stdout.write("\n".join(map(_in_words, states)) or f"{symbol}: ACTIVE")


def _as_typed(error: Exception) -> str:
    """The refusal with the option that caused it."""
    option = {"reason": "--reason: ", "confirmation": "--confirm: ", "symbol": "--symbol: "}
    return option.get(getattr(error, "field", ""), "") + str(error)


def _document(state: CurrentState) -> dict[str, Any]:
    return {
        "symbol": state.scope or None,
        "state": state.state.name,
        "actor": state.actor,
        "reason": state.reason,
        "since": iso_ms(state.ts_ms) if state.ts_ms else None,
    }


def _in_words(state: CurrentState) -> str:
    scope = "desk" if state.scope == DESK else state.scope
    by = f", by {state.actor}: {state.reason}" if state.actor else ""
    return f"{scope}: {state.state.name}{by}"
