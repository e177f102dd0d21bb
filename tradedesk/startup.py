"""What happens once before the desk serves: kernels, first rows, and the check that stored facts agree."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from django.conf import settings

from apps.accounts import services as accounts
from apps.canary.services import seed_canary
from apps.engine.observer import Observer
from apps.execution import services as execution
from apps.execution.recovery import start_check
from apps.risk.seeding import seed_controls
from apps.strategy.facts import inactive_arms
from apps.strategy.fold import observe_settings
from apps.web.clock import wall_ms
from tradedesk.warm import warm_kernels

Say = Callable[[str], None]


def port_is_free(host: str, port: int) -> bool:
    """Whether the server will be able to listen there."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def kernels_ready(say: Say) -> None:
    """Load the compiled engine."""
    started = time.monotonic()
    warm_kernels(Observer(observe_settings(settings.SYMBOLS[0])), inactive_arms())
    say(f"engine: kernels ready in {time.monotonic() - started:.1f} s")


def rows_ready(say: Say) -> None:
    """Owner, controls and account where they are missing; then the check of log and book, which may HALT the desk."""
    now_ms = wall_ms()
    first = accounts.first_run(var_dir=settings.VAR_DIR, ts_ms=now_ms)
    if first is not None:
        say(f"login: user {first.username}, password {first.password} (shown once); token in {first.token_path}")
    seed_controls(ts_ms=now_ms)
    seed_canary(ts_ms=now_ms)
    execution.account_open(ts_ms=now_ms)
    halted = start_check(ts_ms=now_ms)
    say("audit log and book verified" if halted is None else f"HALTED: {halted}")
