"""Does a policy know what it cannot know? Its signals with nothing but the past, against those with more at hand.

The signals to compare with come from a process that gets one bar at a time: the next bar is sent when the signal is
here. Whatever differs from them, bit for bit, was not made of the past alone. The first such bar is named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from apps.engine.errors import InvalidInput
from apps.engine.single import Columns, single_columns
from apps.engine.values import Array1d, Bars, IntArray1d
from apps.research.validation.policy_process import PolicyHost, PolicyProcess, PolicySource
from apps.research.validation.trial_market import another_future

CUTS = 40
MIN_BARS = 50
# No honest signal is right about the next bar this often and wrong about it when it comes one bar late.
FORESIGHT, MIN_FORESIGHT_T = 0.3, 6.0
CHECKS = {
    "arrival": "all bars at once give the signals that they give one by one",
    "memory": "a second run over the same bars knows no more than the first",
    "prefix": "the first bars alone give the signals that they give with the rest",
    "future": "another future leaves the signals of its past alone",
    "outside": "no file or socket is opened",
    "repeatable": "another process gives the same signals",
    "shifted": "signals do not know the direction of the next bar",
}


@dataclass(frozen=True)
class Leak:
    """The first bar at which a check failed: the signal of the past alone, and the one with more at hand."""

    check: str
    bar: int
    open_time_ms: int
    blind: float | None
    sighted: float | None
    detail: str


@dataclass(frozen=True)
class LookaheadReport:
    """What was found about one policy, or about the desk."""

    name: str
    bars: int
    cuts: int
    checks: tuple[str, ...]
    leaks: tuple[Leak, ...]

    @property
    def holds(self) -> bool:
        return not self.leaks

    @property
    def first(self) -> Leak | None:
        """The leak at the earliest bar."""
        return min(self.leaks, key=lambda leak: leak.bar, default=None)


def lookahead_policy(
    host: PolicyHost,
    source: PolicySource,
    bars: Bars,
    *,
    cuts: int = CUTS,
    seed: int = 1,
    progress: Callable[[int], None] = lambda n: None,
) -> LookaheadReport:
    """Try one policy on these bars. Raises InvalidInput when it cannot be loaded or bars are too few."""
    if bars.n < MIN_BARS:
        raise InvalidInput(f"needs at least {MIN_BARS} bars, not {bars.n}", field="bars")
    columns = single_columns(bars)
    with PolicyProcess(host, source) as alone:
        warm_up, blind = alone.warm_up, alone.stream(columns)
        opened = dict(alone.opened)
    progress(bars.n)
    at = cut_points(bars.n, cuts, seed, warm_up)
    trial = _Trial(host, bars, columns, blind)
    leaks = trial.closed(source, opened)
    progress(bars.n)
    if any(leak.check == "repeatable" for leak in leaks):
        # What differs from itself would differ in every other comparison.
        return LookaheadReport(source.policy_id, bars.n, 0, ("outside", "repeatable"), tuple(leaks))
    leaks += [*trial.with_everything(source, at, seed, progress), *_foresight(bars, blind)]
    return LookaheadReport(source.policy_id, bars.n, len(at), tuple(CHECKS), tuple(leaks))


def cut_points(n: int, cuts: int, seed: int, warm_up: int) -> IntArray1d:
    """Numbers of bars after which the future is cut off: around the warm-up, at the end, and one in every stretch."""
    rng = np.random.Generator(np.random.PCG64(seed))
    edges = np.linspace(1, n - 1, max(2, cuts - 4) + 1)
    drawn = [
        int(rng.integers(int(low), max(int(low) + 1, int(high)))) for low, high in zip(edges, edges[1:], strict=False)
    ]
    fixed = [1, warm_up, warm_up + 1, n - 1]
    return np.unique(np.clip([*drawn, *fixed], 1, n - 1))


class _Trial:
    """One policy on one series, compared with what it said when it saw nothing but the past."""

    def __init__(self, host: PolicyHost, bars: Bars, columns: Columns, blind: Array1d) -> None:
        self.host, self.bars, self.columns, self.blind = host, bars, columns, blind

    def with_everything(
        self, source: PolicySource, cuts: IntArray1d, seed: int, progress: Callable[[int], None]
    ) -> list[Leak]:
        """All at once, again, only the first bars, and with other futures; the earliest leak of each."""
        found: dict[str, list[Leak]] = {"arrival": [], "memory": [], "prefix": [], "future": []}
        with PolicyProcess(self.host, source) as process:
            found["arrival"] += self._differing("arrival", process.batch(self.columns), "all bars were at hand")
            found["memory"] += self._differing("memory", process.batch(self.columns), "it had seen these bars before")
            for cut in cuts.tolist():
                short = process.batch(_first(self.columns, cut))
                found["prefix"] += self._differing("prefix", short, f"in a run of the first {cut} bars")
                other = single_columns(another_future(self.bars, cut, seed=seed))
                told = process.batch(other)[:cut]
                found["future"] += self._differing("future", told, f"the bars from {cut} on were others")
            progress(self.bars.n)
        return [min(leaks, key=lambda leak: leak.bar) for leaks in found.values() if leaks]

    def closed(self, source: PolicySource, opened: dict[str, int]) -> list[Leak]:
        """Once more without files and sockets. What differs though nothing was opened is no function of bars."""
        names = ", ".join(sorted(what.removeprefix("open ") for what in opened))
        try:
            with PolicyProcess(self.host, source, is_closed=True) as process:
                told = process.stream(self.columns)
        except InvalidInput:
            if not opened:
                raise
            return [self._leak("outside", 0, None, self.blind[0], f"cannot be loaded without {names}")]
        if not opened:
            return self._differing("repeatable", told, "nothing but the process was another")
        rows = _unlike(self.blind, told)
        at = int(rows[0]) if rows.size else max(0, min(opened.values()))
        return [self._leak("outside", at, float(told[at]), self.blind[at], f"opens {names}")]

    def _differing(self, check: str, told: Array1d, detail: str) -> list[Leak]:
        rows = _unlike(self.blind[: told.shape[0]], told)
        return [self._leak(check, int(rows[0]), self.blind[rows[0]], told[rows[0]], detail)] if rows.size else []

    def _leak(self, check: str, bar: int, blind: float | None, sighted: float | None, detail: str) -> Leak:
        opened = int(self.bars.open_time_ms[bar])
        return Leak(check, bar, opened, _number(blind), _number(sighted), detail)


def _foresight(bars: Bars, blind: Array1d) -> list[Leak]:
    """Does the signal tell the sign of the next close-to-close return, and lose that when it is one bar late?

    This finds what no comparison can: a future that is written into the policy itself.
    """
    ahead, late = foresight(bars.close_e8, blind, delay=0), foresight(bars.close_e8, blind, delay=1)
    enough = ahead * np.sqrt(bars.n) >= MIN_FORESIGHT_T
    if not (ahead >= FORESIGHT and enough and abs(late) < ahead / 2):
        return []
    bar = int(np.argmax(np.abs(blind) > 0.0))
    said = f"correlation {ahead:.2f} with the direction of the next bar, {late:.2f} when a bar late"
    return [Leak("shifted", bar, int(bars.open_time_ms[bar]), float(blind[bar]), float(blind[bar]), said)]


def foresight(close_e8: IntArray1d, signals: Array1d, *, delay: int) -> float:
    """Correlation of a signal, `delay` bars late, with the direction of the bar after it. 0 where nothing varies."""
    moves = np.sign(np.diff(close_e8)).astype(np.float64)[delay:]
    said = signals[: moves.shape[0]]
    kept = (moves != 0.0) & np.isfinite(said)
    moves, said = moves[kept], said[kept]
    if moves.shape[0] < 2 or np.ptp(said) == 0.0 or np.ptp(moves) == 0.0:
        return 0.0
    return float(np.corrcoef(said, moves)[0, 1])


def _unlike(one: Array1d, other: Array1d) -> IntArray1d:
    """Rows whose bits differ."""
    return np.flatnonzero(one.view(np.int64) != other.view(np.int64))


def _first(columns: Columns, n: int) -> Columns:
    open_, high, low, close, volume = (np.ascontiguousarray(column[:n]) for column in columns)
    return open_, high, low, close, volume


def _number(value: float | None) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None
