"""flags.E001: an environment variable of a flag has a text that is no value of it; the desk must not start."""

from __future__ import annotations

import os
from typing import Any

from django.core.checks import CheckMessage, Error

from apps.engine.errors import InvalidInput
from apps.flags.definitions import FLAGS


def check_environment(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """One error for each variable that cannot be read."""
    found: list[CheckMessage] = []
    for flag in FLAGS:
        text = os.environ.get(flag.env_name)
        if text is None:
            continue
        try:
            flag.read_text(text)
        except InvalidInput as error:
            found.append(Error(str(error), id="flags.E001"))
    return found
