"""What is one record, and how do its hashes follow from its bytes?"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import orjson

from apps.engine.codec import canonical_bytes, parse_canonical, require_canonical

SCHEMA = 1
GENESIS_HASH = "0" * 64
ID_PREFIX = "ad"
REQUIRED_KEYS = frozenset({"schema", "sequence", "kind", "actor", "tsMs"})
WRAPPER_KEYS = REQUIRED_KEYS | {"controls"}
LEAF_PREFIX = b"\x00"


class StoredRecord(NamedTuple):
    """One row of the log, as it is stored. The order is the order of COLUMNS."""

    sequence: int
    audit_id: str
    kind: str
    symbol: str
    ts_ms: int
    actor: str
    body: bytes
    inputs_hash: str
    content_hash: str
    previous_hash: str
    record_hash: str

    @property
    def content(self) -> dict[str, Any]:
        """The body as a value. Raises InvalidInput when the stored bytes are not canonical."""
        content: dict[str, Any] = parse_canonical(self.body)
        return content


COLUMNS = ", ".join(StoredRecord._fields)


class ControlValue(NamedTuple):
    """What one control is set to, and by which record."""

    value: Any
    sequence: int


def record_hash_of(previous_hash: str, content_hash: str) -> str:
    """The chain: SHA-256(0x00 || previous record hash || content hash), over the raw hashes."""
    joined = LEAF_PREFIX + bytes.fromhex(previous_hash) + bytes.fromhex(content_hash)
    return hashlib.sha256(joined).hexdigest()


def record_bytes(content: Any) -> bytes:
    """The canonical bytes of a record. Raises InvalidInput on anything outside the domain."""
    require_canonical(content)
    return known_bytes(content)


def known_bytes(value: Any) -> bytes:
    """The canonical bytes of what has been found inside the domain: by the fast encoder where it knows every type."""
    try:
        return fast_canonical(value)
    except TypeError:
        # Named tuples and halves of surrogate pairs: the slow way writes the ones and names the others.
        return canonical_bytes(value)


def fast_canonical(value: Any) -> bytes:
    """The same bytes as `codec.canonical_bytes` for a value that is known to be inside its domain."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
