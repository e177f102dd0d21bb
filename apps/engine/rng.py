"""Which uniform belongs to a decision: Philox4x64-10 keyed by what the decision is about.

u = (first output word >> 11) 2^-53 with key (root seed, symbol id) and counter (view's bar time, attempt, 0, 0).
Equal to the raw output of numpy's Philox, except that numpy adds 1 to its counter before it draws: numpy must be given
counter - 1 to give ours. A decision is redrawn from its own record, and an extra call shifts nobody's draw.
Paper: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
from numba import njit

ROUNDS = 10
# uint64 with a plain literal becomes int64 or float64 in compiled code, so every constant is wrapped.
MULTIPLIER_0 = np.uint64(0xD2E7470EE14C6C93)
MULTIPLIER_1 = np.uint64(0xCA5A826395121157)
WEYL_0 = np.uint64(0x9E3779B97F4A7C15)
WEYL_1 = np.uint64(0xBB67AE8584CAA73B)
LOW_32 = np.uint64(0xFFFFFFFF)
BITS_32 = np.uint64(32)
BITS_11 = np.uint64(11)
ZERO = np.uint64(0)
TWO_POWER_MINUS_53 = 1.0 / 9007199254740992.0


def symbol_id(name: str) -> int:
    """A symbol's 63-bit number in draws: the first 8 bytes of sha256 of its name, big-endian, without the last bit."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1


@njit(cache=True, error_model="numpy", nogil=True)
def philox_uniform_nb(seed: int, symbol_id: int, bar_time_ms: int, attempt: int) -> float:
    """The uniform in [0, 1), a multiple of 2^-53, of one decision. NaN if any argument is negative."""
    if seed < 0 or symbol_id < 0 or bar_time_ms < 0 or attempt < 0:
        return math.nan
    key_0, key_1 = np.uint64(seed), np.uint64(symbol_id)
    c0, c1, c2, c3 = np.uint64(bar_time_ms), np.uint64(attempt), ZERO, ZERO
    for _ in range(ROUNDS):
        high_0, low_0 = _multiply_nb(MULTIPLIER_0, c0)
        high_1, low_1 = _multiply_nb(MULTIPLIER_1, c2)
        c0, c1, c2, c3 = high_1 ^ c1 ^ key_0, low_1, high_0 ^ c3 ^ key_1, low_0
        key_0, key_1 = _add_nb(key_0, WEYL_0), _add_nb(key_1, WEYL_1)
    return float(c0 >> BITS_11) * TWO_POWER_MINUS_53


@njit(cache=True, error_model="numpy", nogil=True)
def _multiply_nb(a: np.uint64, b: np.uint64) -> tuple[np.uint64, np.uint64]:
    """High and low word of a b. In halves: numpy scalars warn when a product wraps, and this also runs uncompiled."""
    a_high, a_low = a >> BITS_32, a & LOW_32
    b_high, b_low = b >> BITS_32, b & LOW_32
    bottom = a_low * b_low
    middle = a_high * b_low + (bottom >> BITS_32)
    other = a_low * b_high + (middle & LOW_32)
    high = a_high * b_high + (middle >> BITS_32) + (other >> BITS_32)
    return high, (other << BITS_32) | (bottom & LOW_32)


@njit(cache=True, error_model="numpy", nogil=True)
def _add_nb(a: np.uint64, b: np.uint64) -> np.uint64:
    """a + b modulo 2^64, in halves for the same reason."""
    low = (a & LOW_32) + (b & LOW_32)
    return (((a >> BITS_32) + (b >> BITS_32) + (low >> BITS_32)) << BITS_32) | (low & LOW_32)
