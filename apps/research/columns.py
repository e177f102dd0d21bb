"""How are long columns kept? As one block of bytes with a header: its hash names the content, zlib makes it small.

Whole numbers of eight bytes are stored as differences with their bytes sorted by place, which is where nearly all of
the gain comes from. The hash is taken before compression, so that it does not depend on the compressor.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from apps.engine.codec import canonical_bytes, sha256_hex
from apps.engine.errors import IntegrityBreach

LEVEL = 6
_DTYPES: dict[str, np.dtype[Any]] = {"<i8": np.dtype("<i8"), "|i1": np.dtype("|i1")}


def columns_hash(columns: Mapping[str, Any]) -> str:
    """Hash of names, types, lengths and bytes."""
    return sha256_hex(_plain(columns))


def columns_pack(columns: Mapping[str, Any]) -> bytes:
    """Compressed bytes of whole-number columns."""
    header = _header(columns)
    blocks = [_folded(columns[name]) for name in sorted(columns)]
    return zlib.compress(header + b"\n" + b"".join(blocks), LEVEL)


def columns_unpack(packed: bytes) -> dict[str, Any]:
    """The columns again. Raises IntegrityBreach when the bytes are not whole."""
    try:
        body = zlib.decompress(packed)
    except zlib.error as error:
        raise IntegrityBreach(f"stored columns cannot be read: {error}") from error
    start = body.index(b"\n") + 1
    columns = {}
    for name, (kind, n) in sorted(json.loads(body[: start - 1]).items()):
        dtype = _DTYPES[kind]
        end = start + n * dtype.itemsize
        columns[name] = _unfolded(body[start:end], dtype, n)
        start = end
    if start != len(body):
        raise IntegrityBreach("stored columns are longer than their header says")
    return columns


def _header(columns: Mapping[str, Any]) -> bytes:
    kinds = {name: column.dtype.str for name, column in columns.items()}
    assert set(kinds.values()) <= set(_DTYPES), kinds
    return canonical_bytes({name: [kinds[name], int(column.shape[0])] for name, column in columns.items()})


def _plain(columns: Mapping[str, Any]) -> bytes:
    return _header(columns) + b"\n" + b"".join(columns[name].tobytes() for name in sorted(columns))


def _folded(column: Any) -> bytes:
    if column.dtype.itemsize == 1:
        return bytes(column.tobytes())
    steps = np.diff(column, prepend=np.int64(0))
    return bytes(steps.view(np.uint8).reshape(-1, 8).T.tobytes())


def _unfolded(body: bytes, dtype: Any, n: int) -> Any:
    raw = np.frombuffer(body, np.uint8)
    if dtype.itemsize == 1:
        return raw.view(dtype).copy()
    return np.cumsum(np.ascontiguousarray(raw.reshape(8, n).T).view(dtype)[:, 0] if n else np.zeros(0, np.int64))
