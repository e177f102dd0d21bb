"""What does the exchange say to a control message? Answers are never wrapped."""

from __future__ import annotations

import re
from typing import Any, Protocol

import orjson

MAX_STREAMS = 1024
_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_FIELDS = {"method", "params", "id"}
_ID_TEXT = re.compile(r"[A-Za-z0-9_\-]{1,36}", re.ASCII)
UNKNOWN_PROPERTY, NOT_BOOLEAN, INVALID_REQUEST, INVALID_JSON, TOO_MANY = 0, 1, 2, 3, 4


class Subscriber(Protocol):
    """The connection a control message acts on."""

    names: dict[str, None]
    combined: bool

    def add(self, names: list[str]) -> bool: ...
    def remove(self, names: list[str]) -> None: ...


class Wrong(Exception):
    """A control message that is answered with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def answer(text: str | bytes, subscriber: Subscriber) -> dict[str, Any]:
    """Do what the message asks and return what is sent back."""
    try:
        request = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return {
            "code": INVALID_JSON,
            "msg": f"Invalid JSON: expected value at line {error.lineno} column {error.colno}",
        }
    named = request.get("id") if isinstance(request, dict) else None
    identity = {"id": named} if named is not None and _is_id(named) else {}
    try:
        return {"result": _act(_checked(request), subscriber), "id": request.get("id")}
    except Wrong as wrong:
        body = {"code": wrong.code, "msg": wrong.message}
        return {"error": body, **identity} if wrong.code == TOO_MANY else {**body, **identity}


def _checked(request: Any) -> dict[str, Any]:
    if not isinstance(request, dict):
        raise Wrong(INVALID_REQUEST, "Invalid request: expected an object")
    for name in request:
        if name not in _FIELDS:
            raise Wrong(
                INVALID_REQUEST, f"Invalid request: unknown field `{name}`, expected `method`, `params` or `id`"
            )
    if "method" not in request:
        raise Wrong(INVALID_REQUEST, "Invalid request: missing field `method`")
    if request["method"] not in _METHODS:
        expected = ", ".join(f"`{name}`" for name in _METHODS)
        raise Wrong(
            INVALID_REQUEST, f"Invalid request: unknown variant `{request['method']}`, expected one of {expected}"
        )
    if not _is_id(request.get("id")):
        raise Wrong(INVALID_REQUEST, "Invalid request: request ID must be an unsigned integer or a short string")
    return request


def _is_id(value: Any) -> bool:
    if isinstance(value, str):
        return _ID_TEXT.fullmatch(value) is not None
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63)


def _act(request: dict[str, Any], subscriber: Subscriber) -> Any:
    method, params = request["method"], request.get("params")
    if method == "LIST_SUBSCRIPTIONS":
        if params:
            raise Wrong(INVALID_REQUEST, "Invalid request: too many parameters")
        return list(subscriber.names)
    if not isinstance(params, list):
        raise Wrong(INVALID_REQUEST, "Invalid request: missing field `params`")
    if method in ("SUBSCRIBE", "UNSUBSCRIBE"):
        return _change(method, params, subscriber)
    return _property(method, params, subscriber)


def _change(method: str, params: list[Any], subscriber: Subscriber) -> None:
    if not all(isinstance(name, str) for name in params):
        raise Wrong(INVALID_REQUEST, "Invalid request: params must be an array of strings")
    if method == "UNSUBSCRIBE":
        subscriber.remove(params)
    elif not subscriber.add(params):
        raise Wrong(TOO_MANY, "Too many subscriptions")


def _property(method: str, params: list[Any], subscriber: Subscriber) -> bool | None:
    wanted = 2 if method == "SET_PROPERTY" else 1
    if len(params) != wanted:
        words = "too many parameters" if len(params) > wanted else "not enough parameters"
        raise Wrong(INVALID_REQUEST, f"Invalid request: {words}")
    if params[0] != "combined":
        raise Wrong(UNKNOWN_PROPERTY, "Unknown property")
    if method == "GET_PROPERTY":
        return subscriber.combined
    if not isinstance(params[1], bool):
        raise Wrong(NOT_BOOLEAN, "Invalid value type: expected Boolean")
    subscriber.combined = params[1]
    return None
