"""What did the caller ask for? Each parameter of the declared kind, given once, and no others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rest_framework.settings import api_settings

from apps.engine.errors import InvalidInput
from apps.web.fields import Field, boolean_of_text, integer_of_text
from apps.web.problems import InvalidFields

_OF_TEXT: dict[str, Callable[[str, str], Any]] = {"int": integer_of_text, "bool": boolean_of_text}


def Param(
    name: str,
    kind: str,
    required: bool = False,
    choices: tuple[Any, ...] | None = None,
    default: Any = None,
    low: float | None = None,
    high: float | None = None,
) -> Field:
    """A parameter: a field that is optional unless it says otherwise."""
    return Field(name, kind, required, choices, default, low, high)


def read_query(request: Any, *params: Field) -> dict[str, Any]:
    """The parameters by snake_case name. Raises InvalidFields naming each fault. An empty optional one is absent."""
    sent = request.GET
    by_wire_name = {param.wire_name: param for param in params}
    ignored = {api_settings.URL_FORMAT_OVERRIDE}
    faults = [(name, "is not a parameter of this call") for name in sent if name not in {*by_wire_name, *ignored}]
    values: dict[str, Any] = {}
    for wire_name, param in by_wire_name.items():
        texts = sent.getlist(wire_name)
        if len(texts) > 1:
            faults.append((wire_name, "is given more than once"))
        elif not texts or not texts[0]:
            values[param.name] = param.default
            if param.required:
                faults.append((wire_name, "is required"))
        else:
            _read_one(param, texts[0], values, faults)
    if faults:
        raise InvalidFields(faults)
    return values


def _read_one(param: Field, text: str, values: dict[str, Any], faults: list[tuple[str, str]]) -> None:
    convert = _OF_TEXT.get(param.kind)
    try:
        values[param.name] = param.read(convert(text, param.wire_name) if convert else text)
    except InvalidInput as error:
        faults.append((param.wire_name, str(error)))
