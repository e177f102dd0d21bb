"""What did the caller send? The members of a JSON body, each of the declared kind, and no others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.engine.errors import InvalidInput
from apps.web.fields import Field
from apps.web.problems import InvalidFields

__all__ = ["Field", "read_body", "read_map"]


def read_body(request: Any, *fields: Field) -> dict[str, Any]:
    """The members by snake_case name; absent optional ones have their default. Raises InvalidFields naming each fault.

    `null` for an optional member counts as absent.
    """
    sent = read_map(request, may_be_absent=not any(field.required for field in fields))
    by_wire_name = {field.wire_name: field for field in fields}
    faults = [(name, "is not a field of this request") for name in sent if name not in by_wire_name]
    values: dict[str, Any] = {}
    for wire_name, field in by_wire_name.items():
        if sent.get(wire_name) is None:
            values[field.name] = field.default
            if field.required:
                faults.append((wire_name, "is required" if wire_name not in sent else "must not be null"))
            continue
        try:
            values[field.name] = field.read(sent[wire_name])
        except InvalidInput as error:
            faults.append((wire_name, str(error)))
    if faults:
        raise InvalidFields(faults)
    return values


def read_map(request: Any, *, may_be_absent: bool = False) -> dict[str, Any]:
    """The body as it was sent, for requests whose keys are data. Raises InvalidInput when there is no body."""
    data = request.data
    if not isinstance(data, Mapping) or (not data and _is_absent(request)):
        if may_be_absent:
            return {}
        raise InvalidInput("a JSON object is required")
    return dict(data)


def _is_absent(request: Any) -> bool:
    return request.META.get("CONTENT_LENGTH") in (None, "", "0")
