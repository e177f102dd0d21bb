"""Where does the time of a decision go? Named functions are timed, each without the named ones inside it."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

_own = threading.local()
_seconds: dict[str, float] = defaultdict(float)
is_on = False


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Time what runs inside, on this thread, less the phases inside it."""
    stack = _own.__dict__.setdefault("stack", [])
    started, frame = time.perf_counter(), [0.0]
    stack.append(frame)
    try:
        yield
    finally:
        took = time.perf_counter() - started
        stack.pop()
        if stack:
            stack[-1][0] += took
        if is_on:
            _seconds[name] += took - frame[0]


def timed(name: str, owner: Any, attribute: str) -> None:
    """Put a clock around a function or method."""
    inner: Callable[..., Any] = getattr(owner, attribute)

    @wraps(inner)
    def outer(*args: Any, **kwargs: Any) -> Any:
        with phase(name):
            return inner(*args, **kwargs)

    setattr(owner, attribute, outer)


def timed_commit(name: str, owner: Any) -> None:
    """Put a clock around the way into and out of the fence: BEGIN before, COMMIT after."""
    inner = owner.shared

    @contextmanager
    def outer(*args: Any, **kwargs: Any) -> Iterator[Any]:
        fence = inner(*args, **kwargs)
        with phase("fence and BEGIN"):
            passage = fence.__enter__()
        try:
            yield passage
        except BaseException as error:
            if not fence.__exit__(type(error), error, error.__traceback__):
                raise
        else:
            with phase(name):
                fence.__exit__(None, None, None)

    owner.shared = outer


def start() -> None:
    global is_on
    _seconds.clear()
    is_on = True


def stop() -> dict[str, float]:
    global is_on
    is_on = False
    return dict(_seconds)


def timed_queue(name: str, owner: Any) -> None:
    """Time how long a job waits for the desk thread."""
    inner = owner.submit

    def outer(self: Any, job: Callable[[], Any], **kwargs: Any) -> Any:
        handed = time.perf_counter()

        def begun() -> Any:
            if is_on:
                _seconds[name] += time.perf_counter() - handed
            return job()

        return inner(self, begun, **kwargs)

    owner.submit = outer


def install() -> None:
    """The phases of a decision. What is none of them is the server, the event loop and the way to the client."""
    from rest_framework.views import APIView

    from apps.audit import services as audit
    from apps.execution import api, desk, desk_thread, recording, services
    from apps.risk import fence
    from apps.web.renderers import CamelCaseJSONRenderer

    timed("authentication, permission", APIView, "initial")
    for name in ("read_body", "read_order"):
        timed("parse and validate", api, name)
    timed("render", CamelCaseJSONRenderer, "render")
    timed_queue("wait for the desk thread", desk_thread.DeskThread)
    timed("newest view", desk, "view_latest")
    timed("decision: the rest", services, "decide_and_record")
    desk.decide_and_record = services.decide_and_record
    timed_commit("COMMIT", fence)
    for name in ("account_state", "controls_read", "rules_read", "next_attempt"):
        timed("reads", services, name)
    timed("reads and assembling", services, "decision_inputs")
    timed("decide", services, "decide")
    timed("rows", services, "decision_record")
    timed("rows", services, "protective_follow")
    for name in ("sections", "_body", "answer_document"):
        timed("record and answer", recording, name)
    timed("record and answer", audit, "audit_draft")
    for name in ("answer_response", "order_response"):
        timed("answer to the caller", api, name)
