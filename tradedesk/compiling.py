"""Fill an empty cache of kernels before anything that uses them is imported.

The compiler works on one kernel at a time in a process, so two of them share the work: the second compiles what
observes while this one compiles what decides, and then the backtest. Kernels of a fixed signature are compiled by the
mere import of their module, so each half imports its own modules only, and Django has to wait.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from tradedesk.env import BASE_DIR

# The regime's module is the slowest to import, and the half that decides does without it.
_SECOND_HALF = "import apps.engine.regime, tradedesk.warm; tradedesk.warm.warm_second_half()"


def to_stderr(line: str) -> None:
    """Progress goes where it disturbs nobody who reads the answer of a command."""
    print(line, file=sys.stderr, flush=True)


def kernels_compiled(say: Callable[[str], None] = to_stderr) -> None:
    """Compile what the cache lacks, telling what is done. A failure is told as well; then kernels compile when used."""
    # Some kernels are compiled as soon as they are imported, so files in the folder prove nothing.
    marker = Path(os.environ["NUMBA_CACHE_DIR"]) / "complete"
    if marker.exists():
        return
    say("engine: compiling the kernels (first start only, up to a minute)")
    started = time.monotonic()
    second = subprocess.Popen([sys.executable, "-c", _SECOND_HALF], cwd=BASE_DIR)
    try:
        for name, compile_part in (("deciding", _deciding), ("observing", second.wait), ("backtest", _backtest)):
            compile_part()
            say(f"engine: {name} compiled after {time.monotonic() - started:.1f} s")
    finally:
        second.kill()
        second.wait()
    if second.returncode == 0:
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
    else:
        say("engine: the second compiling process failed; its last words are above")


def _deciding() -> None:
    # The other half begins with what windows need: this one must not compile it at the same time.
    import_module("apps.engine.linear")
    from tradedesk.warm_deciding import warm_deciding

    warm_deciding()


def _backtest() -> None:
    from tradedesk.warm import warm_run

    warm_run()
