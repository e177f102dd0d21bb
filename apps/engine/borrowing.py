"""Arrays without a share in who frees them, for kernels whose caller holds them anyway.

The compiler counts references to an array's memory, atomically, at every slice and at every call it does not inline: a
third of the time of kernels that slice much. A borrowed array is the same memory without a counter, and so is every
slice of it. It must not outlive its owner: never return one to Python, never keep one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import types
from numba.extending import intrinsic, overload

T = TypeVar("T")


def _without_counter(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    """The value with no memory counter in it, members of tuples included."""
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value=value)
        array.meminfo = array.meminfo.type(None)  # a null pointer is counted by nobody
        return array._getvalue()
    if isinstance(kind, types.BaseTuple):
        kinds: Any = kind
        lent = [
            _without_counter(context, builder, own, builder.extract_value(value, at)) for at, own in enumerate(kinds)
        ]
        return context.make_tuple(builder, kind, lent)
    return value


def _lend(typing_context: Any, value: Any) -> tuple[Any, Any]:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _without_counter(context, builder, signature.args[0], arguments[0])

    return value(value), generate


_lent: Any = intrinsic(_lend)


def borrowed(value: T) -> T:
    """An array, or a tuple with arrays in it, without counters. Where nothing is compiled: as it is."""
    return value


@overload(borrowed, strict=False)  # annotations are no part of a kernel
def _borrowed(value: Any) -> Callable[[Any], Any]:
    return lambda value: _lent(value)
