"""How far is a long run? One line on a terminal, redrawn; ten lines where nobody watches."""

from __future__ import annotations

import time
from typing import Any

WIDTH = 30
TENTHS = 10


class ProgressBar:
    """Counts bars. Leaves its last line behind when the run is done."""

    def __init__(self, stream: Any, total: int, *, is_shown: bool, what: str = "backtest") -> None:
        self._stream, self._total, self._is_shown, self._what = stream, max(1, total), is_shown, what
        self._done, self._tenth = 0, 0
        self._is_terminal = bool(getattr(stream, "isatty", lambda: False)())
        self._started = time.monotonic()

    def __enter__(self) -> ProgressBar:
        if self._is_shown:
            self._write(f"{self._what}: {self._total:,} bars; the first run after an update compiles its kernels\n")
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_shown and self._is_terminal and self._done:
            self._write("\n")

    def advance(self, bars: int) -> None:
        """So many bars more are done."""
        self._done += bars
        if not self._is_shown:
            return
        share = self._done / self._total
        if self._is_terminal:
            filled = int(share * WIDTH)
            self._write(f"\r[{'#' * filled}{'.' * (WIDTH - filled)}] {share:4.0%}  {self._rate():,.0f} bars/s ")
        elif int(share * TENTHS) > self._tenth:
            self._tenth = int(share * TENTHS)
            self._write(f"{share:4.0%}  {self._rate():,.0f} bars/s\n")

    def _rate(self) -> float:
        return self._done / max(1e-9, time.monotonic() - self._started)

    def _write(self, text: str) -> None:
        self._stream.write(text, ending="")
        self._stream.flush()
