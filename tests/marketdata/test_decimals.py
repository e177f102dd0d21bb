"""Decimal text to whole counts of 1e-8: exact, or refused by name."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.engine.errors import DataError
from apps.marketdata.exchange.decimals import INT64_MAX, Memo, parse_e8


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("58942.01000000", 5_894_201_000_000),
        ("0.00000001", 1),
        ("1e-8", 1),
        ("1.412e-05", 1_412),
        ("5e-05", 5_000),
        ("93646814.0", 9_364_681_400_000_000),
        ("7", 700_000_000),
        ("0", 0),
        ("0.0000000100", 1),
        ("1E+2", 10_000_000_000),
        ("-0.5", -50_000_000),
        ("-1.00000000", -100_000_000),
        ("92233720368.54775807", INT64_MAX),
    ],
)
def test_it_reads_what_files_and_frames_hold(text: str, count: int) -> None:
    assert parse_e8(text) == count


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1e-9", "exactly"),
        ("0.000000001", "exactly"),
        ("92233720368.54775808", "too large"),
        ("95302311917668.0", "too large"),
        ("1e999", "too large"),
        *[
            (text, "not a decimal")
            for text in (
                ".12345678",
                "1.2.12345678",
                "-.12345678",
                "",
                ".",
                ".5",
                "nan",
                "inf",
                "-inf",
                "1_0",
                " 1",
                "1 ",
                "+1",
                "0x1",
            )
        ],
        *[
            (text, "not a decimal")
            for text in ("\u0661", "\u0661.00000000", "12345678\u00b2.00000000", "1,5", "1.2.3", "1e", "--1", "9" * 65)
        ],
        (None, "not a decimal"),
        (1.5, "not a decimal"),
    ],
)
def test_it_refuses_the_rest_by_name(text: object, why: str) -> None:
    with pytest.raises(DataError, match=why) as caught:
        parse_e8(text)  # type: ignore[arg-type]
    assert str(text)[:40] in str(caught.value)


@given(st.integers(min_value=0, max_value=INT64_MAX))
def test_every_count_comes_back_from_its_text(count: int) -> None:
    whole, fraction = divmod(count, 10**8)
    assert parse_e8(f"{whole}.{fraction:08d}") == count
    assert parse_e8(f"{Decimal(count).scaleb(-8).normalize():E}") == count


@given(st.text(alphabet="0123456789.-+eE_ ", max_size=22))
def test_it_reads_any_text_as_decimal_does_or_refuses_it(text: str) -> None:
    try:
        count = parse_e8(text)
    except DataError:
        return
    assert Decimal(count).scaleb(-8) == Decimal(text)


def test_a_memo_works_each_key_out_once_and_stays_within_its_limit() -> None:
    asked: list[str] = []

    def read(text: str) -> int:
        asked.append(text)
        return parse_e8(text)

    memo = Memo(read, limit=3)
    assert [memo[text] for text in ("1", "2", "1", "3", "1")] == [10**8, 2 * 10**8, 10**8, 3 * 10**8, 10**8]
    assert asked == ["1", "2", "3"]
    assert memo["4"] == 4 * 10**8 and len(memo) == 1
    for _ in range(2):
        with pytest.raises(DataError):
            memo["nan"]
    assert asked[-2:] == ["nan", "nan"] and len(memo) == 1
