"""The bench of the peers: the bars they get, how answers become figures, and what happens to one that is absent."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from apps.engine.single import single_run
from bench.backtest import Bench, Entry, Goal
from bench.peers import running, tables
from bench.peers.running import Absent, Answer
from bench.peers.workload import CASH_CENTS, FAST, SLOW, START_CENTS, close_fill_equity, load_bars, make_bars, save_bars
from tests.engine.example_policies import sma_cross


def answer(*, seconds: tuple[float, ...] = (9.0, 1.0, 3.0), equity: float = 5.0) -> Answer:
    return Answer("engine", "1.0", seconds, tuple(s / 2 for s in seconds), equity, 7, 100.0, 4.0, 2.0)


def test_bars_are_whole_cents_in_the_order_of_a_bar() -> None:
    bars = make_bars(20_000)
    for column in bars:
        assert np.array_equal(column, np.rint(column))
        assert column.shape == (20_000,)
    assert (bars.low <= np.minimum(bars.open_, bars.close)).all()
    assert (bars.high >= np.maximum(bars.open_, bars.close)).all()
    assert bars.low.min() > 0 and bars.volume.min() > 0


def test_bars_move_as_said() -> None:
    """60 % a year in minutes, and about a jump a day of 0.4 % or so."""
    bars = make_bars(100_000)
    moves = np.diff(np.log(bars.close))
    assert np.median(np.abs(moves)) / 0.6745 == pytest.approx(0.60 / np.sqrt(525_600), rel=0.03)
    assert 35 <= (np.abs(moves) > 0.003).sum() <= 75
    assert abs(bars.open_[0] / START_CENTS - 1) < 0.001


def test_a_longer_series_begins_with_the_shorter(tmp_path: Path) -> None:
    save_bars(1_000, tmp_path / "bars.npy")
    for short, long in zip(load_bars(str(tmp_path / "bars.npy")), make_bars(3_000), strict=True):
        assert np.array_equal(short, long[:1_000])


def test_filled_at_the_close_is_the_rule_one_price_earlier() -> None:
    """Bars whose open is the close before them fill at the next open as others do at the close."""
    bars = make_bars(5_000)
    joined = bars._replace(open_=np.concatenate([[bars.open_[0]], bars.close[:-1]]))
    run = single_run(sma_cross(), {"fast": FAST, "slow": SLOW}, tuple(joined), cash=CASH_CENTS, unit=1.0)
    assert run.orders.n > 100
    assert close_fill_equity(bars) == pytest.approx(run.end_equity, abs=0.01)


def test_the_first_run_of_a_process_is_left_out() -> None:
    entry = Entry("x", 100, 100, [answer(), answer(seconds=(8.0,))])
    assert entry.runs == [1.0, 3.0, 8.0]
    assert (entry.median_s, entry.cpu_s, entry.process_s) == (3.0, 1.5, 4.0)


def test_engines_that_disagree_are_named() -> None:
    bench = Bench()
    bench.entries["x"] = Entry("x", 100, 100, [answer(equity=5.0)])
    bench.compare("x", 5.009)
    bench.compare("absent", 1.0)
    assert bench.differences == []
    bench.compare("x", 5.011)
    bench.compare("x", float("nan"))
    assert [difference.split()[0] for difference in bench.differences] == ["x", "x"]


@pytest.mark.parametrize(
    ("is_at_least", "wall", "cpu", "met"),
    [(True, 2, 1, "yes"), (True, 1, 2, "on CPU time"), (True, 1, 1, "no"), (False, 1, 9, "yes"), (False, 3, 3, "no")],
)
def test_a_goal_says_by_which_clock_it_is_met(is_at_least: bool, wall: float, cpu: float, met: str) -> None:
    assert Goal("g", 2.0, is_at_least, wall, cpu).row()[-1] == met


def test_an_absent_peer_is_skipped_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    asked = []

    def fail(engine: str, *rest: object, **named: object) -> Answer:
        asked.append(engine)
        raise Absent("no wheel")

    monkeypatch.setattr("bench.backtest.ask", fail)
    bench = Bench()
    bench.measure("a", "A", "vectorbt", "single", 10, 1)
    bench.measure("b", "B", "vectorbt", "sweep", 10, 1)
    assert asked == ["vectorbt"]
    assert bench.absent == {"vectorbt": "no wheel"}
    assert bench.entries == {}
    assert "skipped: no wheel" in capsys.readouterr().err


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with nothing but the bench's scripts, and a peer that answers as told."""
    scripts = tmp_path / "bench" / "peers"
    scripts.mkdir(parents=True)
    (scripts / "workload.py").write_text("")
    monkeypatch.setattr(running, "ROOT", tmp_path)
    monkeypatch.delenv("TRADEDESK_VAR", raising=False)
    monkeypatch.setattr(running, "environment", lambda name: Path(sys.executable))
    return tmp_path


@pytest.mark.parametrize(
    ("script", "reason"),
    [("import sys; sys.exit('boom: no such door')", "boom: no such door"), ("import time; time.sleep(60)", "stopped")],
)
def test_a_peer_that_fails_or_hangs_is_absent(here: Path, script: str, reason: str) -> None:
    (here / "bench/peers/run_odd.py").write_text(script)
    with pytest.raises(Absent, match=reason):
        running.ask("odd", "single", 10, timeout_s=1.5)


def test_an_answer_is_the_last_line(here: Path) -> None:
    said = answer().to_json() | {"max_rss_mb": 3.0}
    (here / "bench/peers/run_odd.py").write_text(f"import json; print('hello'); print(json.dumps({said!r}))")
    got = running.ask("odd", "single", 10)
    assert (got.seconds, got.orders, got.max_rss_mb) == ((9.0, 1.0, 3.0), 7, 3.0)
    assert got.process_s > 0 and got.process_s != said["process_s"]


@pytest.mark.parametrize(
    ("interpreter", "reason"),
    [("", "Permission denied"), ("#!/bin/sh\necho note >&2\necho 'ERROR: no wheel' >&2\nexit 1\n", "ERROR: no wheel")],
)
def test_an_environment_that_cannot_be_built_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interpreter: str, reason: str
) -> None:
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench/requirements-odd.txt").write_text("odd==1\n")
    python = tmp_path / "python"
    python.write_text(interpreter)
    python.chmod(0o755 if interpreter else 0o644)
    monkeypatch.setattr(running, "ROOT", tmp_path)
    monkeypatch.setattr(running.sys, "executable", str(python))
    monkeypatch.delenv("TRADEDESK_VAR", raising=False)
    with pytest.raises(Absent, match=f"odd could not be set up: .*{reason}"):
        running.environment("odd")
    assert not list((tmp_path / "var/peers").glob("*/ready"))


def test_the_project_itself_is_never_absent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def offline(name: str) -> Path:
        raise Absent(f"{name} could not be set up: offline")

    monkeypatch.setattr(running, "environment", offline)
    assert running.ask(running.OURS, "single", 200).version.startswith("numba ")
    assert "tradedesk could not be set up: offline; running in" in capsys.readouterr().err
    with pytest.raises(Absent):
        running.ask("vectorbt", "single", 200)


def test_a_section_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- a: written by the bench -->\nold\n<!-- a: end -->\nafter\n")
    tables.write_section("a", "new\n", page)
    tables.write_section("a", "new\n", page)
    assert page.read_text() == "before\n<!-- a: written by the bench -->\n\nnew\n\n<!-- a: end -->\nafter\n"
    with pytest.raises(ValueError, match="no place for b"):
        tables.write_section("b", "new", page)


def test_tables_line_up() -> None:
    rows = [("a", "1"), ("long", "1,000")]
    assert tables.plain_table(("", "n"), rows) == "          n\na         1\nlong  1,000"
    assert tables.markdown_table(("", "n"), rows).splitlines()[1:] == [
        "| --- | ---: |",
        "| a | 1 |",
        "| long | 1,000 |",
    ]


def test_the_page_has_a_place_for_its_figures() -> None:
    page = tables.PAGE.read_text()
    assert page.count("<!-- backtest: written by the bench -->") == page.count("<!-- backtest: end -->") == 1
