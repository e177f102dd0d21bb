"""A warm-up that is declared too short is found, with the length that would do."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from apps.engine.errors import InvalidInput
from apps.research.backtests.request import request_default, ruleset
from apps.research.validation import desk_startup
from apps.research.validation.desk_startup import startup_desk, variation
from apps.research.validation.policy_process import PolicyHost, PolicySource
from apps.research.validation.startup import LENGTHS, SMOOTH_BARS, StartupReport, Verdict, judged, startup_policy
from apps.research.validation.trial_market import trial_history

N = 6_000
EMA = """
import numpy as np
from apps.engine.policies import POLICIES, python_policy

SPAN = 300


def update(state, bar):
    state[0] = bar.close if state[1] == 0.0 else state[0] + 2.0 / (SPAN + 1) * (bar.close - state[0])
    state[1] = 1.0
    return 1.0 if bar.close > state[0] else 0.0


for name, declared in (("short", 5), ("long", 400)):
    POLICIES.register(python_policy(policy_id=name, summary="Planted.", init=lambda v: np.zeros(2), update=update,
                                    warm_up=lambda v, declared=declared: declared))
"""


@pytest.fixture(scope="module")
def ema(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("startup") / "ema.py"
    path.write_text(EMA)
    return str(path)


@pytest.fixture(scope="module")
def host() -> Iterator[PolicyHost]:
    with PolicyHost() as one:
        yield one


def report_of(host: PolicyHost, ema: str, name: str) -> StartupReport:
    return startup_policy(host, PolicySource(name, (ema,)), trial_history(N).bars, starts=80)


def test_an_average_that_is_declared_too_short_is_found(host: PolicyHost, ema: str) -> None:
    """The weight of the seed after n bars is (1 - 2/301)^n: half is left after 104 bars, a twentieth after 450."""
    short, long = report_of(host, ema, "short"), report_of(host, ema, "long")
    assert not short.holds and short.declared == 5 and short.at_declared.share > 0.2
    assert short.enough is not None and 50 < short.enough < 800
    assert long.holds and long.enough == short.enough and long.at_declared.share < 0.1
    assert [one.bars for one in short.at_lengths] == list(LENGTHS)
    assert short.at_lengths[-1].share == 0.0 and short.at_lengths[0].share > short.at_lengths[-1].share


def test_a_finite_window_needs_its_window_and_nothing_more(host: PolicyHost) -> None:
    """The return over 96 bars and its volatility: after 97 closes nothing older is asked for but the EWMA's tail."""
    report = startup_policy(host, host.sources("tsmom", {"threshold": 0.0})[0], trial_history(N).bars, starts=80)
    assert report.declared == 97 and report.at_declared.share == 0.0 and report.holds
    assert report.enough is not None and report.enough <= 97


def test_the_verdict_counts_starts_offsets_and_slack() -> None:
    """Ten starts, of which two differ up to offset 99: 0.2 until the mean over 24 offsets falls to 0.05 (6 of 24)."""
    off = np.zeros((10, 2_100))
    off[:2, :100] = 1.0
    report = judged("hand", 50, off, Verdict(1e-6, 0.05, 2.0), (100, 101))
    assert [one.share for one in report.at_lengths] == [0.2, 0.0] and report.at_declared.largest == 1.0
    # Offsets o .. o + 23 hold 100 - o differing ones: 0.2 (100 - o) / 24 <= 0.05 from o = 94 on, which is 95 bars.
    assert report.enough == 95 and report.holds
    assert not judged("hand", 47, off, Verdict(1e-6, 0.05, 2.0), (100,)).holds
    assert judged("hand", 1, np.zeros((10, 2_100)), Verdict(1e-6, 0.05, 2.0)).enough == 1
    assert judged("hand", 50, np.ones((10, 2_100)), Verdict(1e-6, 0.05, 2.0)).enough is None


def test_too_few_bars_are_refused(host: PolicyHost, ema: str) -> None:
    with pytest.raises(InvalidInput, match=f"needs at least {2 * (LENGTHS[-1] + SMOOTH_BARS) + 1} bars"):
        startup_policy(host, PolicySource("short", (ema,)), trial_history(500).bars)


def test_distances_of_probabilities() -> None:
    one = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    other = np.array([[0.2, 0.5, 0.3], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    assert variation(one, other).tolist() == pytest.approx([0.3, 1.0, 1.0, 0.0])


@pytest.mark.usefixtures("compiled", "desk_db")
def test_the_desk_forgets_where_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longer it has seen the market, the fewer of its choices are others; early it has hardly any choice."""
    monkeypatch.setattr(desk_startup, "LENGTHS", (199, 999, 2_499))
    history = trial_history(12_000)
    request = replace(request_default(history.symbol, history.interval), horizon_bars=5)
    report = startup_desk(history, request, ruleset(request, history.filters), starts=12)
    shares = [one.share for one in report.at_lengths]
    assert shares[0] > 0.9 and shares[0] > shares[1] > shares[2] and report.starts == 12


def command(*args: str) -> tuple[int, str]:
    out = io.StringIO()
    try:
        call_command("startup_check", *args, stdout=out, stderr=io.StringIO(), no_color=True)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    return 0, out.getvalue()


@pytest.mark.usefixtures("desk_db")
def test_the_command_says_what_would_do(ema: str) -> None:
    status, told = command(ema, "--bars", str(N), "--starts", "40", "-v0")
    assert status == 3 and "FAILED  5 bars are declared, " in told and " would do" in told
    status, text = command("tsmom", "--bars", str(N), "--starts", "40", "--json", "-v0")
    told = json.loads(text)
    assert status == 0 and told["reports"][0]["declared"] == 97 and told["reports"][0]["holds"]


@pytest.mark.usefixtures("desk_db")
@pytest.mark.parametrize(
    ("args", "said"),
    [(["--starts", "1"], "starts:"), (["--tolerance", "nan"], "tolerance:"), (["--share", "2"], "share:"),
     (["--slack", "0.5"], "slack:"), (["--bars", "100"], "bars:")],
)  # fmt: skip
def test_a_wrong_argument_is_named(args: list[str], said: str) -> None:
    with pytest.raises(CommandError) as refused:
        command("tsmom", *args, "-v0")
    assert refused.value.returncode == 2 and str(refused.value).startswith(said)


def test_the_file_is_a_path(host: PolicyHost, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is not a file"):
        host.sources(str(tmp_path / "gone.py"))
