"""How fast is a backtest of one policy, and how fast are the peers on the same bars? `python bench/backtest.py`.

Every engine runs in a process and an environment of its own, in turns, on the same bars, and must end on the same
equity. `--json` prints the figures, `--write` puts them into docs/benchmarks.md, `--full` lets the slow peers run a
million bars too. Exit code 1 when two engines disagree about the money; speed alone never fails.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.peers.running import OURS, Absent, Answer, ask, bars_file
from bench.peers.tables import markdown_table, plain_table, write_section
from bench.peers.workload import CENTS, SWEEP_PAIRS, close_fill_equity, load_bars

SMALL, LARGE = 100_000, 1_000_000
ROUNDS = 3
CENT = 0.01
HEAD = ("", "bars", "runs", "median s", "CPU s", "bars/s", "bars/CPU s", "RSS MB", "end equity", "orders")


@dataclass
class Entry:
    """All answers of one engine to one task on n bars. A process's first run, which may compile, is left out."""

    name: str
    bars: int
    steps: int
    answers: list[Answer] = field(default_factory=list)

    def _pooled(self, pick: Callable[[Answer], Sequence[float]]) -> list[float]:
        return [second for answer in self.answers for second in (pick(answer)[1:] or pick(answer))]

    @property
    def runs(self) -> list[float]:
        return self._pooled(lambda answer: answer.seconds)

    @property
    def median_s(self) -> float:
        return statistics.median(self.runs)

    @property
    def cpu_s(self) -> float:
        return statistics.median(self._pooled(lambda answer: answer.cpu_seconds))

    @property
    def process_s(self) -> float:
        return statistics.median(answer.process_s for answer in self.answers)

    @property
    def process_cpu_s(self) -> float:
        return statistics.median(answer.process_cpu_s for answer in self.answers)

    @property
    def end_equity(self) -> float:
        return self.answers[0].end_equity

    def row(self) -> tuple[str, ...]:
        first = self.answers[0]
        memory = max(answer.max_rss_mb for answer in self.answers)
        return (
            f"{self.name} ({first.version})",
            f"{self.bars:,}",
            str(len(self.runs)),
            f"{self.median_s:.4g}",
            f"{self.cpu_s:.4g}",
            f"{self.steps / self.median_s:,.0f}",
            f"{self.steps / self.cpu_s:,.0f}",
            f"{memory:.0f}",
            f"{self.end_equity:,.2f}",
            f"{first.orders:,}",
        )

    def to_json(self) -> dict[str, Any]:
        figures = {"name": self.name, "bars": self.bars, "median_s": self.median_s, "cpu_s": self.cpu_s}
        return figures | {"answers": [answer.to_json() for answer in self.answers]}


@dataclass(frozen=True)
class Goal:
    """One ratio that the project promises, by wall clock and by CPU time."""

    text: str
    wanted: float
    is_at_least: bool
    wall: float
    cpu: float

    def _is_met(self, ratio: float) -> bool:
        return ratio >= self.wanted if self.is_at_least else ratio <= self.wanted

    def row(self) -> tuple[str, ...]:
        """The wall clock of a busy machine counts the work of others, so a goal may be met on CPU time alone."""
        met = "yes" if self._is_met(self.wall) else "on CPU time" if self._is_met(self.cpu) else "no"
        sign = ">=" if self.is_at_least else "<="
        return self.text, f"{sign} {self.wanted:,.4g}", f"{self.wall:,.4g}", f"{self.cpu:,.4g}", met


class Bench:
    """Collects entries in turns; a peer that is absent is named once and left out."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.absent: dict[str, str] = {}
        self.differences: list[str] = []

    def measure(self, key: str, name: str, engine: str, task: str, bars: int, runs: int, steps: int = 0) -> None:
        """One more process of this engine for this entry."""
        if engine in self.absent:
            return
        print(f"{key} ...", file=sys.stderr, flush=True)
        try:
            answer = ask(engine, task, bars, runs=runs)
        except Absent as reason:
            self.absent[engine] = str(reason)
            print(f"skipped: {reason}", file=sys.stderr)
            return
        self.entries.setdefault(key, Entry(name, bars, steps or bars)).answers.append(answer)

    def compare(self, key: str, wanted: float, tolerance: float = CENT) -> None:
        """Note it when an entry did not end on this equity."""
        entry = self.entries.get(key)
        if entry is not None and not abs(entry.end_equity - wanted) < tolerance:
            self.differences.append(f"{key} ended on {entry.end_equity!r}, not {wanted!r}")


def measure_runs(bench: Bench, is_full: bool) -> None:
    """One policy, one symbol: tradedesk and vectorbt in turns, then the engines that call Python every bar."""
    for bars, runs in ((SMALL, 10), (LARGE, 8)):
        for _ in range(ROUNDS):
            bench.measure(f"single {bars}", "tradedesk, whole product", OURS, "single", bars, runs)
            bench.measure(f"vectorbt orders {bars}", "vectorbt Rust, from_orders", "vectorbt", "single", bars, runs)
            bench.measure(f"vectorbt signals {bars}", "vectorbt Rust, from_signals", "vectorbt", "signals", bars, runs)
    for bars in (SMALL, LARGE) if is_full else (SMALL,):
        for peer, name in (("backtesting", "backtesting.py"), ("backtrader", "backtrader")):
            bench.measure(f"{peer} {bars}", name, peer, "single", bars, 1)
        bench.measure(f"nautilus {bars}", "nautilus_trader, fills at the close", "nautilus", "single", bars, 1)
    for bars in (SMALL, LARGE):
        wanted = bench.entries[f"single {bars}"].end_equity
        for peer in ("vectorbt orders", "vectorbt signals", "backtesting", "backtrader"):
            bench.compare(f"{peer} {bars}", wanted)
        bench.compare(f"nautilus {bars}", close_fill_equity(load_bars(str(bars_file(bars)))) / CENTS)


def measure_sweeps(bench: Bench) -> None:
    """All pairs of windows over the small series; end equity is the sum over the pairs."""
    steps = SMALL * len(SWEEP_PAIRS)
    for task, name in (
        ("sweep", "tradedesk, shared sums, 1 thread"),
        ("sweep2", "tradedesk, shared sums, 2 threads"),
        ("sweep_any", "tradedesk, any policy, 1 thread"),
    ):
        bench.measure(task, name, OURS, task, SMALL, 4, steps)
    bench.measure("vectorbt sweep", "vectorbt Rust, 100 columns a chunk", "vectorbt", "sweep", SMALL, 1, steps)
    for task in ("sweep2", "sweep_any", "vectorbt sweep"):
        # A sum of 1e12 in doubles has ulps of 1e-4; a thousand of them are added in different orders.
        bench.compare(task, bench.entries["sweep"].end_equity, tolerance=1.0)


def measure_starts(bench: Bench) -> None:
    """A fresh process, caches warm: interpreter, import, bars from disk, first result."""
    for _ in range(5):
        bench.measure("start", "tradedesk", OURS, "single", SMALL, 1)
        bench.measure("vectorbt start", "vectorbt Rust", "vectorbt", "single", SMALL, 1)


def goals(bench: Bench) -> list[Goal]:
    """The promised ratios of this very run; those of an absent peer are left out."""
    entries = bench.entries
    ours = entries[f"single {LARGE}"]
    found = [Goal("bars/s, 1,000,000 bars", 30e6, True, LARGE / ours.median_s, LARGE / ours.cpu_s)]
    doors = [entries[key] for key in (f"vectorbt orders {LARGE}", f"vectorbt signals {LARGE}") if key in entries]
    if doors:
        wall, cpu = min(door.median_s for door in doors), min(door.cpu_s for door in doors)
        found.append(Goal("times vectorbt's faster door", 2.5, True, wall / ours.median_s, cpu / ours.cpu_s))
    if "vectorbt start" in entries:
        peer, start = entries["vectorbt start"], entries["start"]
        ratio = start.process_s / peer.process_s, start.process_cpu_s / peer.process_cpu_s
        found.append(Goal("start to first result, share of vectorbt's", 0.5, False, *ratio))
    if "vectorbt sweep" in entries:
        peer, sweep = entries["vectorbt sweep"], entries["sweep"]
        text = "sweep on one thread, times vectorbt"
        found.append(Goal(text, 25, True, peer.median_s / sweep.median_s, peer.cpu_s / sweep.cpu_s))
    for bars in (LARGE, SMALL):
        if f"nautilus {bars}" in entries:
            peer, same = entries[f"nautilus {bars}"], entries[f"single {bars}"]
            ratio = peer.median_s / same.median_s, peer.cpu_s / same.cpu_s
            found.append(Goal(f"times nautilus_trader, {bars:,} bars", 1_000, True, *ratio))
            break
    return found


def sections(bench: Bench, table: Callable[..., str]) -> str:
    """Everything measured, as text."""
    starts = [bench.entries[key] for key in ("start", "vectorbt start") if key in bench.entries]
    sweeps = {"sweep", "sweep2", "sweep_any", "vectorbt sweep"}
    singles = [e.row() for key, e in bench.entries.items() if key not in sweeps and "start" not in key]
    parts = [
        f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end.",
        table(HEAD, singles),
        f"Sweep of {len(SWEEP_PAIRS):,} pairs of windows; bars/s counts each bar of each pair, equity is the sum:",
        table(HEAD, [e.row() for key, e in bench.entries.items() if key in sweeps]),
        f"From the start of a process to its first result on {SMALL:,} bars, caches warm:",
        table(("", "processes", "median s"), [(e.name, str(len(e.answers)), f"{e.process_s:.3g}") for e in starts]),
        "Goals, as ratios within this run:",
        table(("", "wanted", "wall", "CPU", "met"), [goal.row() for goal in goals(bench)]),
    ]
    parts += [f"Skipped: {reason}" for reason in bench.absent.values()]
    return "\n\n".join([*parts, *(f"DIFFERENT: {difference}" for difference in bench.differences)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    parser.add_argument("--full", action="store_true", help="slow peers on a million bars too (minutes)")
    arguments = parser.parse_args()
    bench = Bench()
    measure_runs(bench, arguments.full)
    measure_sweeps(bench)
    measure_starts(bench)
    if arguments.json:
        said = {"entries": {key: entry.to_json() for key, entry in bench.entries.items()}, "absent": bench.absent}
        print(json.dumps(said | {"goals": [goal.__dict__ for goal in goals(bench)], "differences": bench.differences}))
    else:
        print(sections(bench, plain_table))
    if arguments.write and not bench.differences:
        write_section("backtest", sections(bench, markdown_table))
    return 1 if bench.differences else 0


if __name__ == "__main__":
    sys.exit(main())
