"""The live shell (autopilot, desk thread, rows, audit) and the batch loop decide the same to the bit."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.audit import selectors as audit
from apps.engine.decide import decide
from apps.engine.decision import FILL_BARS, SOURCE_ROUTER
from apps.engine.observer import Observer
from apps.engine.record import inputs_back
from apps.engine.run import RunResult, RunSettings, run
from apps.execution.assembling import limit_record, terms_record
from apps.execution.bars_autopilot import BarsAutopilot
from apps.execution.controls import controls_read
from apps.execution.desk_thread import desk_thread
from apps.execution.models import Account, EquityPoint, Position
from apps.execution.reconciler import book_differences
from apps.marketdata.market import market_view
from apps.risk.selectors import limits_current
from apps.strategy.fold import Fold, inactive_arms, observe_settings
from apps.strategy.models import View
from tests.support.bars import FILTERS, walk_bars
from tests.support.desk import seed_desk, store


def live_run(symbols: tuple[str, ...], blocks: list[Any]) -> list[dict[str, Any]]:
    """Drive the live shell over stored bars; the decision records, oldest first."""
    for symbol, block in zip(symbols, blocks, strict=True):
        store(symbol, block)
    autopilot = BarsAutopilot()
    autopilot.step()
    desk_thread().stop()
    records = audit.audit_after(0, 10**6)
    return [json.loads(bytes(record.body)) for record in records if record.kind == "execution.decision"]


def batch_run(symbols: tuple[str, ...], blocks: list[Any]) -> RunResult:
    controls = controls_read(symbol=symbols[0], halted=None, using="default")
    limits = limits_current()
    terms = terms_record(source=SOURCE_ROUTER, rules=FILTERS, controls=controls, last_signal=0.0)
    assert terms.fill_kind == FILL_BARS
    return run(
        [Observer(observe_settings(symbol)) for symbol in symbols],
        blocks,
        [FILTERS] * len(symbols),
        RunSettings(
            seed=20260101,
            initial_cash_e8=10**14,
            limits=limit_record(limits, FILTERS),
            terms=terms,
            window_trades=limits["drawdown_window_trades"],
            lookback_ms=limits["low_profit_window_ms"],
        ),
        inactive=inactive_arms(),
        is_bocpd=True,
    )


def compare(symbols: tuple[str, ...], records: list[dict[str, Any]], batch: RunResult) -> None:
    """Every recorded decision, recomputed from its record, equals the batch row in every integer and float bit."""
    assert len(records) == len(batch.decisions)
    for row, body in enumerate(records):
        assert body["symbol"] == symbols[batch.symbol[row]]
        inputs, _ = inputs_back(body["inputs"], audit.snapshot_get)
        decision = decide(inputs)
        assert tuple(decision.ints) == tuple(batch.decisions[row]), (row, body["symbol"])
        floats = np.array(decision.floats)
        assert floats.tobytes() == np.array(tuple(batch.floats[row])).tobytes()
        assert np.array(decision.probabilities).tobytes() == batch.probabilities[row].tobytes()


@pytest.fixture
def bars_desk(compiled: None, desk_db: Path, settings: Any) -> Any:
    settings.FILLS, settings.HORIZON_BARS = "bars", 5
    return settings


@pytest.mark.parametrize(
    ("symbols", "n"), [(("BTCUSDT",), 5_000), (("BTCUSDT", "ETHUSDT", "SOLUSDT"), 600)], ids=["one-5000", "three-600"]
)
def test_live_equals_batch(bars_desk: Any, symbols: tuple[str, ...], n: int) -> None:
    bars_desk.SYMBOLS = symbols
    seed_desk(symbols)
    blocks = [walk_bars(n, seed=seed + 1, sigma=0.003) for seed in range(len(symbols))]
    records = live_run(symbols, blocks)
    batch = batch_run(symbols, blocks)
    traded = int((batch.decisions["filled_lots"] > 0).sum())
    assert traded >= 20, "the parity of a desk that does not trade proves nothing"
    compare(symbols, records, batch)
    points = dict(EquityPoint.objects.values_list("ts_ms", "equity_e8"))
    closes = blocks[0].open_time_ms + 60_000
    assert [points[int(ts)] for ts in closes] == batch.equity_e8.tolist()
    assert Account.objects.get().cash_e8 == int(batch.book.totals[0])
    assert book_differences() == []
    rebuilt_state_is_the_stored_one(symbols)


def test_live_equals_batch_with_fees_in_base(bars_desk: Any) -> None:
    """Dust in every position, and its worth in every equity."""
    symbols = ("BTCUSDT", "ETHUSDT")
    bars_desk.SYMBOLS, bars_desk.FEE_ASSET, bars_desk.FEE_BPS = symbols, "base", 7
    seed_desk(symbols)
    blocks = [walk_bars(600, seed=seed + 1, sigma=0.003) for seed in range(len(symbols))]
    records = live_run(symbols, blocks)
    batch = batch_run(symbols, blocks)
    compare(symbols, records, batch)
    held = {row.symbol: row.quantity_e8 for row in Position.objects.all()}
    book = batch.book
    expected = [int(lots) * FILTERS.step_e8 + int(dust) for lots, dust in zip(book.positions, book.dust, strict=True)]
    assert [held[symbol] for symbol in symbols] == expected and (batch.decisions["dust_after_e8"] > 0).sum() >= 20
    points = dict(EquityPoint.objects.values_list("ts_ms", "equity_e8"))
    assert [points[int(ts)] for ts in blocks[0].open_time_ms + 60_000] == batch.equity_e8.tolist()
    assert Account.objects.get().cash_e8 == int(book.totals[0]) and book_differences() == []


def rebuilt_state_is_the_stored_one(symbols: tuple[str, ...]) -> None:
    for symbol in symbols:
        fold = Fold(symbol)
        fold.rebuild()
        stored = (
            View.objects.filter(symbol=symbol).order_by("-bar_open_ms").values_list("state_hash", flat=True).first()
        )
        assert fold.observer.state_hash() == stored


def test_a_gap_and_a_breaker_trip_are_the_same_in_both(bars_desk: Any) -> None:
    """The rare paths: bars missing at a grid bar, and a drawdown that pauses trading and re-arms."""
    bars_desk.SYMBOLS = ("BTCUSDT",)
    bars_desk.MAX_DD, bars_desk.BREAKER_MINUTES = Decimal("0.0002"), 15
    seed_desk(("BTCUSDT",))
    bars = walk_bars(1_500, seed=9, sigma=0.004)
    keep = np.ones(bars.n, bool)
    keep[700:703] = False
    holed = type(bars)(*(np.ascontiguousarray(column[keep]) for column in bars))
    market_view().clock.observe(int(bars.open_time_ms[-1]) + 600_000)
    records = live_run(("BTCUSDT",), [holed])
    batch = batch_run(("BTCUSDT",), [holed])
    compare(("BTCUSDT",), records, batch)
    assert int(batch.decisions["is_tripped"].sum()) >= 1
    assert int(batch.decisions["is_rearmed"].sum()) >= 1


def test_a_shifted_reward_is_noticed(bars_desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe: when live learns one decision later than the batch, the comparison must fail."""
    bars_desk.SYMBOLS = ("BTCUSDT",)
    seed_desk(("BTCUSDT",))
    bars = walk_bars(600, seed=3)
    records = live_run(("BTCUSDT",), [bars])
    shifted = type(bars)(bars.open_time_ms, bars.open_e8 + 10**6, *bars[2:])
    batch = batch_run(("BTCUSDT",), [shifted])
    with pytest.raises(AssertionError):
        compare(("BTCUSDT",), records, batch)
