"""Where does chance come from? From hashes of names and places, so that any moment can be asked for on its own."""

from __future__ import annotations

import math
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

UintArray = npt.NDArray[np.uint64]
_MASK = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB


def key_of(*parts: object) -> int:
    """A 64-bit key for names and numbers, equal in every process."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def mixed(value: int) -> int:
    """One splitmix64 step: a 64-bit number that looks like chance."""
    value = (value + _GOLDEN) & _MASK
    value = ((value ^ (value >> 30)) * _MIX_1) & _MASK
    value = ((value ^ (value >> 27)) * _MIX_2) & _MASK
    return value ^ (value >> 31)


def mixed_array(values: UintArray) -> UintArray:
    """The same step over an array."""
    values = values + np.uint64(_GOLDEN)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(_MIX_1)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(_MIX_2)
    return values ^ (values >> np.uint64(31))


def uniform(key: int, *places: int) -> float:
    """A number in [-1, 1) that belongs to this key and place."""
    for place in places:
        key = mixed(key ^ (place & _MASK))
    return key / 2**63 - 1.0


def nearly_normal(values: UintArray) -> npt.NDArray[np.float64]:
    """Four 16-bit pieces of each hash, summed and scaled: mean 0, variance 1, tails within 3.5."""
    low = np.uint64(0xFFFF)
    total = np.zeros(values.shape)
    for shift in (0, 16, 32, 48):
        total += (values >> np.uint64(shift)) & low
    return (total / 65536.0 - 2.0) * math.sqrt(3.0)


def generator(key: int, place: int) -> np.random.Generator:
    """A counter-based generator for one block of the market."""
    return np.random.Generator(np.random.Philox(key=np.array([key & _MASK, place & _MASK], dtype=np.uint64)))
