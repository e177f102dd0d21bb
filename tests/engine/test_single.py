"""One policy alone: fills at the next open, fees, the curve and the log, worked by hand and by a second way."""

from __future__ import annotations

import dataclasses
import math
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from apps.engine.errors import DataError, InvalidInput
from apps.engine.observer import float_columns
from apps.engine.policies import Policy, unconstrained
from apps.engine.single import SingleResult, single_columns, single_run
from apps.engine.sweep import sma_sweep
from apps.engine.values import Bars
from bench.peers.workload import CASH_CENTS, make_bars
from tests.engine.example_policies import sma_cross
from tests.engine.series import digest, head

ROOT = Path(__file__).resolve().parents[2]


def scripted(*signals: float) -> Policy:
    """A policy in plain Python that says what it was told to say."""

    def update(params: np.ndarray, state: np.ndarray, *bar: float) -> float:
        state[0] += 1
        return signals[int(state[0]) - 1]

    return Policy(
        "scripted", "", (), unconstrained, lambda values: 0, lambda values: (np.zeros(0), np.zeros(1)), update
    )


def bars(opens: list[float], closes: list[float]) -> tuple[np.ndarray, ...]:
    open_, close = np.array(opens, float), np.array(closes, float)
    return open_, np.maximum(open_, close), np.minimum(open_, close), close, np.ones(len(opens))


OPENS, CLOSES = [100.0, 110.0, 120.0, 90.0, 80.0], [105.0, 115.0, 125.0, 85.0, 100.0]


def test_a_signal_is_filled_at_the_next_open() -> None:
    """Buys 2 at 110 and sells them at 90, 1 % each: 1000 - 220 - 2.20 + 180 - 1.80 = 956."""
    result = single_run(scripted(1, 1, 0, 0, 1), {}, bars(OPENS, CLOSES), fee_bps=100, cash=1000.0, unit=2.0)
    assert result.orders.bar.tolist() == [1, 3]
    assert result.orders.quantity.tolist() == [2.0, -2.0]
    assert result.orders.price.tolist() == [110.0, 90.0]
    assert result.orders.fee.tolist() == pytest.approx([2.20, 1.80], abs=1e-12)
    # 777.80 of cash and two at 115, then at 125; the last signal finds no open.
    assert result.equity.tolist() == pytest.approx([1000.0, 1007.8, 1027.8, 956.0, 956.0], abs=1e-12)
    assert result.max_drawdown == pytest.approx(1 - 956.0 / 1027.8, abs=1e-15)
    assert (result.cash, result.quantity, result.fees) == pytest.approx((956.0, 0.0, 4.0), abs=1e-12)
    assert result.end_equity == result.equity[-1]


def test_all_in_spends_everything_and_its_fee() -> None:
    """10,100 buys 1000 / 11 at 110 with 1 % on top; at 90 they bring 90 % less 1 %."""
    result = single_run(scripted(1, 1, 0, 0, 0), {}, bars(OPENS, CLOSES), fee_bps=100, cash=10_100.0)
    assert result.orders.quantity[0] == pytest.approx(10_000 / 110, rel=1e-14)
    assert result.equity[1] == pytest.approx(10_000 / 110 * 115, rel=1e-12)
    assert result.end_equity == pytest.approx(10_000 / 110 * 90 * 0.99, rel=1e-12)


@pytest.mark.parametrize(("first", "second"), [(0.5, 0.25), (0.25, 0.75), (1.0, 0.5)])
def test_a_share_is_held_of_the_equity_after_the_fee(first: float, second: float) -> None:
    result = single_run(scripted(first, second, second), {}, bars(OPENS[:3], CLOSES[:3]), fee_bps=50, cash=500.0)
    held = np.cumsum(result.orders.quantity)
    cash = 500.0 - np.cumsum(result.orders.quantity * result.orders.price + result.orders.fee)
    value = held * result.orders.price
    assert (value / (cash + value)).tolist() == pytest.approx([first, second], rel=1e-13)


def test_a_share_of_a_unit_is_that_part_of_it() -> None:
    result = single_run(scripted(0.5, 1.0, 0.25, 0, 0), {}, bars(OPENS, CLOSES), cash=1000.0, unit=4.0)
    assert result.orders.quantity.tolist() == [2.0, 2.0, -3.0, -1.0]


def test_no_order_spends_more_than_there_is() -> None:
    result = single_run(scripted(1, 1), {}, bars([100, 50], [100, 60]), fee_bps=100, cash=101.0, unit=10.0)
    assert result.orders.quantity.tolist() == pytest.approx([2.0])
    assert result.cash == pytest.approx(0.0, abs=1e-12)


def test_below_zero_holds_nothing() -> None:
    result = single_run(scripted(-1, 1, -0.5, -1, -1), {}, bars(OPENS, CLOSES), cash=1000.0, unit=1.0)
    assert result.orders.quantity.tolist() == [1.0, -1.0]
    assert result.orders.bar.tolist() == [2, 3]


def test_one_bar_is_no_trade() -> None:
    result = single_run(scripted(1), {}, bars([5.0], [6.0]), cash=10.0)
    assert result.orders.n == 0
    assert result.equity.tolist() == [10.0]


@pytest.mark.parametrize("signal", [1.0001, -1.5, math.nan, math.inf])
def test_a_signal_out_of_range_is_refused_with_its_bar(signal: float) -> None:
    with pytest.raises(InvalidInput, match="scripted: the signal of bar 2 "):
        single_run(scripted(0, 1, signal, 0, 0), {}, bars(OPENS, CLOSES))


@pytest.mark.parametrize("column", range(5))
@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_a_bar_of_no_market_is_refused(column: int, value: float) -> None:
    columns = bars(OPENS, CLOSES)
    columns[column][3] = value
    with pytest.raises(DataError, match="^bar 3: "):
        single_run(scripted(0, 0, 0, 0, 0), {}, columns)


def test_a_price_of_zero_is_refused_and_a_silent_bar_is_not() -> None:
    columns = bars(OPENS, CLOSES)
    columns[4][:] = 0.0
    assert single_run(scripted(0, 0, 0, 0, 0), {}, columns).orders.n == 0
    columns[2][1] = 0.0
    with pytest.raises(DataError, match="^bar 1: "):
        single_run(scripted(0, 0, 0, 0, 0), {}, columns)


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"fee_bps": -1}, "fee_bps"),
        ({"fee_bps": math.nan}, "fee_bps"),
        ({"cash": 0}, "cash"),
        ({"cash": math.inf}, "cash"),
        ({"unit": 0}, "unit"),
        ({"unit": math.nan}, "unit"),
    ],
)
def test_terms_are_named(terms: dict[str, float], field: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        single_run(scripted(), {}, bars(OPENS, CLOSES), **terms)
    assert raised.value.field == field


def test_columns_must_match() -> None:
    with pytest.raises(DataError, match="one length"):
        single_columns((np.ones(3), np.ones(3), np.ones(3), np.ones(2), np.ones(3)))
    with pytest.raises(DataError, match="one length"):
        single_columns((np.ones(0),) * 5)
    with pytest.raises(DataError, match="2 were given"):
        single_columns((np.ones(3), np.ones(3)))


def exact_run(columns: tuple[np.ndarray, ...], fast: int, slow: int, fee: Fraction, cash: int) -> list[Fraction]:
    """Equity at each close in exact arithmetic, by the definition: no sliding sums, no floats."""
    opens, closes = ([int(x) for x in columns[i]] for i in (0, 3))
    money, held, wanted, equity = Fraction(cash), 0, 0, []
    for t, (price, close) in enumerate(zip(opens, closes, strict=True)):
        if wanted != held:
            money -= (wanted - held) * price + fee * price
            held = wanted
        equity.append(money + held * close)
        if t + 1 >= slow:
            averages = [Fraction(sum(closes[t + 1 - window : t + 1]), window) for window in (fast, slow)]
            wanted = int(averages[0] > averages[1])
    return equity


def test_it_equals_exact_arithmetic_to_a_hundredth_of_a_cent() -> None:
    columns = make_bars(3_000)
    result = single_run(sma_cross(), {}, tuple(columns), fee_bps=10, cash=CASH_CENTS, unit=1.0)
    exact = exact_run(columns, 10, 50, Fraction(10, 10_000), CASH_CENTS)
    assert result.orders.n > 50
    assert max(abs(Fraction(float(a)) - b) for a, b in zip(result.equity, exact, strict=True)) < Fraction(1, 100)


def test_drawdown_is_the_deepest_of_the_curve() -> None:
    result = single_run(sma_cross(), {}, tuple(make_bars(5_000)), cash=CASH_CENTS)
    peaks = np.maximum.accumulate(result.equity)
    assert result.max_drawdown == pytest.approx(float(((peaks - result.equity) / peaks).max()), rel=1e-15)
    assert result.max_drawdown > 0.1


def test_later_bars_change_nothing_earlier() -> None:
    columns = tuple(make_bars(2_000))
    whole = single_run(sma_cross(), {}, columns, cash=CASH_CENTS)
    part = single_run(sma_cross(), {}, head(columns, 1_234), cash=CASH_CENTS)
    assert np.array_equal(part.equity, whole.equity[:1_234])
    assert np.array_equal(part.orders.bar, whole.orders.bar[: part.orders.n])


def test_plain_python_gives_the_same_bits() -> None:
    """A policy of one's own may be slow Python; what it earns is the same."""
    columns = tuple(make_bars(2_000))
    plain = dataclasses.replace(sma_cross(), update_nb=lambda *bar: sma_cross().update_nb.py_func(*bar))
    assert bits(single_run(plain, {}, columns)) == bits(single_run(sma_cross(), {}, columns))


def test_counts_of_1e_8_are_read_as_the_desk_reads_them() -> None:
    rng = np.random.default_rng(3)
    n = 100
    prices = rng.integers(10**10, 10**12, n)
    bars_e8 = Bars(np.arange(n), prices, prices + 7, prices - 7, prices + 1, prices // 3, np.ones(n, np.int64))
    for ours, desk in zip(single_columns(bars_e8), float_columns(bars_e8), strict=True):
        assert np.array_equal(ours, desk)


def bits(result: SingleResult) -> str:
    return digest(result.equity, *result.orders, np.array([result.cash, result.fees, result.max_drawdown]))


def everything() -> str:
    columns = tuple(make_bars(1_000))
    pairs = [(2, 3), (5, 20), (10, 50)]
    return " ".join(
        digest(*sma_sweep(pairs, columns, unit=unit, cash=CASH_CENTS))
        + bits(single_run(sma_cross(), {}, columns, unit=unit, cash=CASH_CENTS))
        for unit in (None, 1.0)
    )


def test_uncompiled_kernels_give_the_same_bits() -> None:
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.engine.test_single"],
        cwd=ROOT,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.stderr == ""
    assert answer.stdout.strip() == everything()


if __name__ == "__main__":
    print(everything())
