"""The observing kernels again as plain Python, from their own text and with planted faults: do the checks notice?"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from apps.engine import observe

_COPIED = ("learn_closed_nb", "look_nb", "observe_batch_nb")
_LEARN = "    if learn_nb(sxx, sxy, syy, n, slot_f[SLOT_X : SLOT_X + N_CONTEXT], reward, slot_mask) == STATUS_OK:\n"
_LEARN_CLOSED = "        learn_closed_nb(slot_i, slot_f,"
_LOOK = "        look_nb(s, params,"

# One decision late: each decision learns the reward of the one before it.
LATE = (
    ("    move = slot_f", "    before = reward.copy()\n    move = slot_f"),
    (_LEARN, _LEARN.replace("reward,", "before,")),
)
# One decision early: the running position is closed at the next open, which nobody has seen yet, and learned at once.
EARLY = (
    (
        _LEARN_CLOSED,
        "        other = (grid + 1) % 2\n"
        "        if s.slots_i[other, SLOT_STAGE] == OPEN:\n"
        "            s.slots_f[other, SLOT_ENTRY] = peek[0] / s.slots_f[other, SLOT_ENTRY] - 1.0\n"
        "            s.slots_i[other, SLOT_STAGE] = CLOSED\n"
        "        learn_closed_nb(s.slots_i[other], s.slots_f[other],",
    ),
    (_LOOK, "        peek[0] = open_[min(t + 1, last)]\n" + _LOOK),
)


def observing_copy(*edits: tuple[str, str]) -> Callable[..., int]:
    """`observe_batch_nb` from the same text with these edits, each of which must fit exactly one place."""
    text = "\n".join(_text(name) for name in _COPIED)
    for old, new in edits:
        assert text.count(old) == 1, f"the kernels no longer say {old!r}"
        text = text.replace(old, new)
    names: dict[str, Any] = {**vars(observe), "peek": [0.0]}
    exec(compile(text, "kernel copy", "exec"), names)
    copy: Callable[..., int] = names["observe_batch_nb"]
    return copy


def _text(name: str) -> str:
    """A kernel's text without its decorator."""
    text = inspect.getsource(getattr(observe, name).py_func)
    return text[text.index("def ") :]
