"""A future at hand is found, however a policy gets hold of it; what sees only the past is let pass."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from apps.engine.errors import InvalidInput, UnknownName
from apps.engine.observer import Observer
from apps.engine.single import single_columns
from apps.research.backtests.request import request_default, ruleset
from apps.research.validation.desk_lookahead import lookahead_desk
from apps.research.validation.lookahead import LookaheadReport, cut_points, foresight, lookahead_policy
from apps.research.validation.policy_process import PolicyHost, PolicyProcess, PolicySource
from apps.research.validation.trial_market import another_future, trial_history

PLANTED = Path(__file__).parent / "leaking.py"
N = 400


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The leaking policies, beside the file of closes that one of them reads."""
    folder = tmp_path_factory.mktemp("planted")
    closes = trial_history(N).bars.close_e8 * 1e-8
    (folder / "closes.txt").write_text("\n".join(repr(float(close)) for close in closes))
    return Path(shutil.copy(PLANTED, folder / "leaking.py"))


@pytest.fixture(scope="module")
def host() -> Iterator[PolicyHost]:
    with PolicyHost() as one:
        yield one


def report_of(host: PolicyHost, planted: Path, name: str, cuts: int = 12) -> LookaheadReport:
    return lookahead_policy(host, PolicySource(name, (str(planted),)), trial_history(N).bars, cuts=cuts)


def found(report: LookaheadReport) -> set[str]:
    return {leak.check for leak in report.leaks}


def test_a_global_that_remembers_is_found_and_the_first_bar_named(host: PolicyHost, planted: Path) -> None:
    """The first run knows nothing; the second knows at bar b that the next close is higher, for the first such b."""
    report = report_of(host, planted, "global_peek")
    assert found(report) == {"memory", "prefix", "future"}
    close = trial_history(N).bars.close_e8
    memory = next(leak for leak in report.leaks if leak.check == "memory")
    assert memory.bar == int(np.flatnonzero(np.diff(close) > 0)[0]) and (memory.blind, memory.sighted) == (0.0, 1.0)
    assert memory.open_time_ms == trial_history(N).bars.open_time_ms[memory.bar]


def test_a_centred_window_is_found(host: PolicyHost, planted: Path) -> None:
    report = report_of(host, planted, "centred_window")
    assert found(report) == {"arrival", "memory", "prefix", "future"}
    close = trial_history(N).bars.close_e8 * 1e-8
    means = np.array([close[max(0, t - 5) : t + 6].mean() for t in range(N)])
    arrival = next(leak for leak in report.leaks if leak.check == "arrival")
    assert arrival.bar == int(np.flatnonzero(close > means)[0]) and (arrival.blind, arrival.sighted) == (0.0, 1.0)


def test_a_mean_of_the_whole_series_is_found(host: PolicyHost, planted: Path) -> None:
    report = report_of(host, planted, "full_series_mean")
    assert found(report) == {"arrival", "memory", "prefix", "future"}
    close = trial_history(N).bars.close_e8
    arrival = next(leak for leak in report.leaks if leak.check == "arrival")
    assert arrival.bar == int(np.flatnonzero(close < close.mean())[0])


def test_the_next_close_from_a_file_is_found_twice(host: PolicyHost, planted: Path) -> None:
    """By the file itself, and by a signal that is right about every next bar."""
    report = report_of(host, planted, "file_of_closes", cuts=2)
    outside = next(leak for leak in report.leaks if leak.check == "outside")
    assert found(report) == {"outside", "shifted"} and outside.detail == f"opens {planted.parent / 'closes.txt'}"
    assert (outside.bar, outside.blind) == (0, None)


def test_what_is_no_function_of_bars_is_named_so(host: PolicyHost, planted: Path) -> None:
    report = report_of(host, planted, "draws")
    assert found(report) == {"repeatable"} and report.checks == ("outside", "repeatable")


def test_a_future_written_into_the_policy_is_found_by_the_shift(host: PolicyHost, tmp_path: Path) -> None:
    moves = np.diff(trial_history(N).bars.close_e8) > 0
    path = tmp_path / "knows.py"
    path.write_text(
        "import numpy as np\nfrom apps.engine.policies import POLICIES, python_policy\n"
        f"UP = {moves.tolist()!r}\n\n\ndef update(state, bar):\n    state[0] += 1.0\n"
        "    return float(UP[int(state[0]) - 1]) if state[0] <= len(UP) else 0.0\n\n\n"
        "POLICIES.register(python_policy(policy_id='knows', summary='Planted.', init=lambda v: np.zeros(1),"
        " update=update, warm_up=lambda v: 1))\n"
    )
    report = lookahead_policy(host, PolicySource("knows", (str(path),)), trial_history(N).bars, cuts=4)
    assert found(report) == {"shifted"}
    close = trial_history(N).bars.close_e8
    truth = np.concatenate([moves, [False]]).astype(np.float64)
    assert foresight(close, truth, delay=0) == pytest.approx(1.0) and abs(foresight(close, truth, delay=1)) < 0.2


@pytest.mark.parametrize("name", ["honest", "ema_cross"])
def test_what_sees_the_past_alone_passes(host: PolicyHost, planted: Path, name: str) -> None:
    report = report_of(host, planted, name)
    assert report.leaks == () and report.first is None and len(report.checks) == 7


def test_a_stream_is_answered_bar_by_bar_with_the_bits_of_a_batch(host: PolicyHost) -> None:
    columns = single_columns(trial_history(N).bars)
    with PolicyProcess(host, host.sources("vol_target")[0]) as process:
        assert process.stream(columns).tobytes() == process.batch(columns).tobytes()
        assert process.warm_up == 49


def test_a_policy_that_ends_its_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ends.py"
    path.write_text("import os\nos._exit(7)\n")
    with PolicyHost() as one, pytest.raises(InvalidInput, match=r"ended its process \(7\)"):
        one.sources(str(path))


def test_unknown_names_are_refused_and_the_host_goes_on(host: PolicyHost) -> None:
    with pytest.raises(UnknownName, match="nobody"):
        host.sources("nobody")
    with pytest.raises(InvalidInput, match="no parameter 'gone'"):
        PolicyProcess(host, PolicySource("tsmom", (), {"gone": 1.0}))
    with PolicyProcess(host, PolicySource("tsmom")) as process:
        assert process.warm_up == 97


def test_another_future_keeps_the_past_and_changes_the_rest() -> None:
    bars = trial_history(N).bars
    other = another_future(bars, 100, seed=1, tick_e8=1_000_000)
    for one, two in zip(bars, other, strict=True):
        assert one[:100].tolist() == two[:100].tolist()
    assert (other.close_e8[100:] != bars.close_e8[100:]).mean() > 0.99
    prices = np.stack(other[1:5])
    assert (prices.max(axis=0) == other.high_e8).all() and (prices.min(axis=0) == other.low_e8).all()
    assert (prices % 1_000_000 == 0).all()


def test_cuts_are_spread_and_include_the_edges() -> None:
    cuts = cut_points(1_000, 40, 3, 96)
    assert {1, 96, 97, 999} <= set(cuts.tolist()) and 38 <= len(cuts) <= 40
    assert np.diff(cuts).max() < 80 and cuts.tolist() == cut_points(1_000, 40, 3, 96).tolist()


@pytest.mark.usefixtures("compiled", "desk_db")
def test_the_desk_knows_nothing_of_later_bars(monkeypatch: Any) -> None:
    history = trial_history(2_000)
    request = replace(request_default(history.symbol, history.interval), horizon_bars=5)
    rules = ruleset(request, history.filters)
    assert lookahead_desk(history, request, rules, cuts=5).leaks == ()
    # Signals one bar early, as a slip of an index would make them.
    honest = Observer.signal_matrix
    monkeypatch.setattr(Observer, "signal_matrix", lambda self, columns: np.roll(honest(self, columns), -1, axis=0))
    report = lookahead_desk(history, request, rules, cuts=40)
    assert {"arrival", "future"} <= found(report) and report.first is not None
    assert report.first.blind != report.first.sighted
    future = next(leak for leak in report.leaks if leak.check == "future")
    assert " of the decision; the bars from " in future.detail


def command(*args: str) -> tuple[int, str]:
    out = io.StringIO()
    try:
        call_command("lookahead_check", *args, stdout=out, stderr=io.StringIO(), no_color=True)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    return 0, out.getvalue()


@pytest.mark.usefixtures("desk_db")
def test_the_command_says_which_bar_and_both_signals(tmp_path: Path) -> None:
    path = tmp_path / "one.py"
    path.write_text(PLANTED.read_text().replace("for planted in (global_peek, ", "for planted in (")
                    .replace("full_series_mean, file_of_closes, draws, honest", ""))  # fmt: skip
    status, told = command(str(path), "--bars", "200", "--cuts", "5", "-v0")
    assert status == 3 and "from the past alone, 1 with more at hand" in told and "looks ahead, first at bar" in told
    status, text = command("tsmom", "--bars", "200", "--cuts", "5", "--json", "-v0")
    told = json.loads(text)
    assert status == 0 and told["holds"] and told["reports"][0]["leaks"] == [] and told["data"]["bars"] == 200


@pytest.mark.usefixtures("desk_db")
@pytest.mark.parametrize(
    ("args", "status", "said"),
    [
        (["nobody"], 2, "policy:"),
        (["gone.py"], 2, "policy:"),
        (["tsmom", "--cuts", "0"], 2, "cuts:"),
        (["tsmom", "--bars", "9"], 2, "bars:"),
        (["tsmom", "--param", "window"], 2, "param:"),
        (["tsmom", "--param", "window=7"], 2, "window:"),
        (["tsmom", "--file", "gone.csv"], 2, "file:"),
        (["tsmom", "--from", "2024-01-01"], 2, "from:"),
        (["tsmom", "--symbol", "NOBODY"], 2, "symbol:"),
    ],
)
def test_a_wrong_argument_is_named(args: list[str], status: int, said: str) -> None:
    with pytest.raises(CommandError) as refused:
        command(*args, "-v0")
    assert refused.value.returncode == status and str(refused.value).startswith(said)
