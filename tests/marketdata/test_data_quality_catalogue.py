"""Every corruption of the catalogue is caught by its reason, on three series."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from apps.engine.errors import DataError
from apps.engine.quality import FAULT_TEXT, HARD, LIMITS, MOVES, SOFT, BarFault
from apps.engine.values import Bars
from apps.marketdata.exchange.binance import bars_of_klines
from apps.marketdata.exchange.frames import FrameParser, KlineEvent
from tests.support.corruptions import (
    CORRUPTIONS,
    NOT_FINAL,
    PAYLOADS,
    UNREADABLE,
    Corruption,
    Payload,
    catalogue_table,
    good_series,
    kline_frame,
    reasons_of,
    rest_body,
)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "data-quality.md"


def copied(bars: Bars) -> Bars:
    return Bars(*(column.copy() for column in bars))


@pytest.mark.parametrize("seed", [5, 6, 7])
@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda entry: entry.name)
def test_a_corruption_is_caught_by_its_reason(corruption: Corruption, seed: int) -> None:
    history, block = good_series(corruption.sigma, seed)
    assert reasons_of(history, block) == []
    spoiled = copied(block)
    spoiled = corruption.spoil(spoiled, history) or spoiled
    assert [reason for _, reason in reasons_of(history, spoiled)][:1] == [corruption.reason], f"seed {seed}"


def payload_reason(payload: Payload) -> str:
    """What becomes of a payload: the parser cannot read it, or reads a bar that is not final, or is deceived."""
    try:
        if payload.where == "REST":
            bars_of_klines(payload.spoil(rest_body()))
            return "read"
        event = FrameParser().parse(payload.spoil(kline_frame()))
    except DataError:
        return UNREADABLE
    return NOT_FINAL if isinstance(event, KlineEvent) and not event.closed else "read"


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda entry: f"{entry.where}: {entry.name}")
def test_a_payload_is_caught_before_it_is_a_bar(payload: Payload) -> None:
    assert payload_reason(payload) == payload.reason


def test_good_payloads_are_read() -> None:
    assert bars_of_klines(rest_body()).n == 2
    assert payload_reason(Payload("good", "stream", "read", json.dumps)) == "read"


def test_the_catalogue_is_long_and_meets_every_reason() -> None:
    assert len(CORRUPTIONS) >= 40
    assert len({entry.name for entry in CORRUPTIONS}) == len(CORRUPTIONS)
    assert {entry.reason for entry in CORRUPTIONS} == set(BarFault)
    assert set(SOFT) <= {entry.reason for entry in CORRUPTIONS}


def test_the_page_shows_the_catalogue() -> None:
    assert catalogue_table() in PAGE.read_text(), catalogue_table()


def reasons_table() -> str:
    """Every reason, in the order in which the rules are asked."""
    head = ["| reason | what it says | rule | the next bar can bear it out |", "|---|---|---|---|"]
    rows = [
        f"| `{reason.value}` | {FAULT_TEXT[reason]} | {'hard' if reason in HARD else 'soft'} "
        f"| {'yes' if reason in MOVES else ''} |"
        for reason in BarFault
    ]
    return "\n".join([*head, *rows])


def test_the_page_lists_every_reason() -> None:
    assert reasons_table() in PAGE.read_text(), reasons_table()


def test_the_page_names_every_limit() -> None:
    rows = "\n".join(f"| `{name}` | {value:g} |" for name, value in LIMITS._asdict().items())
    page = PAGE.read_text()
    assert all(row in page for row in rows.splitlines()), rows
