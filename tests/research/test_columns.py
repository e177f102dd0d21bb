"""Long columns: whole after packing, small, and named by their content."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from apps.engine.errors import IntegrityBreach
from apps.research.columns import columns_hash, columns_pack, columns_unpack

COLUMNS = {
    "walk": np.cumsum(np.random.Generator(np.random.PCG64(1)).integers(-9, 9, 5_000)) + 10**14,
    "edges": np.array([-(2**63), 2**63 - 1, 0, -1, 2**62], np.int64),
    "codes": np.array([-1, 0, 7, 127, -128], np.int8),
    "none": np.zeros(0, np.int64),
}


def test_they_come_back_bit_for_bit() -> None:
    back = columns_unpack(columns_pack(COLUMNS))
    assert set(back) == set(COLUMNS)
    for name, column in COLUMNS.items():
        assert back[name].dtype == column.dtype and back[name].tobytes() == column.tobytes(), name


def test_a_curve_takes_less_than_two_bytes_a_bar() -> None:
    assert len(columns_pack({"walk": COLUMNS["walk"]})) < 2 * 5_000


def test_the_hash_names_values_names_and_types() -> None:
    known = columns_hash({"a": np.array([1, 2], np.int64)})
    assert known == columns_hash({"a": np.array([1, 2], np.int64)})
    others = ({"a": np.array([1, 3], np.int64)}, {"b": np.array([1, 2], np.int64)}, {"a": np.array([1, 2], np.int8)})
    assert known not in {columns_hash(other) for other in others}
    assert columns_hash({"a": np.array([1, 2]), "b": np.array([3])}) != columns_hash(
        {"a": np.array([1]), "b": np.array([2, 3])}
    )


@pytest.mark.parametrize("spoil", [lambda packed: packed[:-9], lambda packed: b"x" + packed])
def test_bytes_that_are_not_whole_are_a_breach(spoil: object) -> None:
    with pytest.raises(IntegrityBreach):
        columns_unpack(spoil(columns_pack(COLUMNS)))  # type: ignore[operator]


def test_a_body_longer_than_its_header_is_a_breach() -> None:
    body = zlib.decompress(columns_pack({"codes": COLUMNS["codes"]}))
    with pytest.raises(IntegrityBreach, match="longer"):
        columns_unpack(zlib.compress(body + b"x"))
