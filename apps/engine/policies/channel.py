"""What is the highest of the last n values? A queue of falling values, amortized two steps a bar.

The state is a block of 2 + 2 * capacity floats at `at`: position of the front, length, then values, then bar numbers.
A lowest value is the highest of the negated ones.
"""

from __future__ import annotations

from numba import njit

from apps.engine.values import Array1d


def channel_floats(capacity: int) -> int:
    """How many floats a channel over this many bars takes."""
    return 2 + 2 * capacity


@njit("void(f8[::1], i8, i8, f8, f8)", cache=True, error_model="numpy", nogil=True)
def channel_push_nb(state: Array1d, at: int, capacity: int, bar: float, value: float) -> None:
    """Append the value of bar number `bar`; what is `capacity` bars older leaves."""
    values, bars = at + 2, at + 2 + capacity
    front, length = int(state[at]), int(state[at + 1])
    if length > 0 and state[bars + front] <= bar - capacity:
        front = 0 if front + 1 == capacity else front + 1
        length -= 1
    # A value that is not above a newer one can never be the highest again.
    while length > 0:
        last = front + length - 1
        last = last - capacity if last >= capacity else last
        if state[values + last] > value:
            break
        length -= 1
    end = front + length
    end = end - capacity if end >= capacity else end
    state[values + end] = value
    state[bars + end] = bar
    state[at] = front
    state[at + 1] = length + 1


@njit("f8(f8[::1], i8)", cache=True, error_model="numpy", nogil=True)
def channel_highest_nb(state: Array1d, at: int) -> float:
    """The highest of the last `capacity` values pushed, at least one."""
    return state[at + 2 + int(state[at])]
