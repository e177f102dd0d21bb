"""Is a setting dangerous? Numbered, so that each can be looked up and none can be silenced by accident.

web.E001  ALLOWED_HOSTS trusts every name: a page elsewhere could reach the desk by pointing its own name here.
web.E002  The scaled profile runs on the secret of one machine's folder; set SECRET_KEY.
web.E003  SECRET_KEY is short, or one that is printed in examples.
web.E004  DEBUG is on: it shows source and settings to whoever causes an error.
web.E005  DATA_UPLOAD_MAX_MEMORY_SIZE differs from BODY_LIMIT_BYTES, so one of the two limits does not hold.
web.W001  The embedded profile answers to names beyond loopback; those callers need to log in.
"""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from apps.web.trust import LOOPBACK_NAMES

MIN_SECRET_LENGTH = 32
SAMPLE_SECRETS = ("changeme", "secret", "insecure", "example", "your-secret")


def check_edge(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Every finding about the settings that the edge relies on."""
    findings: list[tuple[bool, CheckMessage]] = [
        (
            any(name.startswith(("*", ".")) for name in settings.ALLOWED_HOSTS),
            Error("ALLOWED_HOSTS must list exact names.", hint="Set ALLOWED_HOSTS=desk.example.org", id="web.E001"),
        ),
        (
            not settings.EMBEDDED and not os.environ.get("SECRET_KEY"),
            Error("The scaled profile needs a SECRET_KEY that all its processes share.", id="web.E002"),
        ),
        (_is_weak(settings.SECRET_KEY), Error("SECRET_KEY is short or a sample.", id="web.E003")),
        (bool(settings.DEBUG), Error("DEBUG must be off in every profile.", id="web.E004")),
        (
            settings.DATA_UPLOAD_MAX_MEMORY_SIZE != settings.BODY_LIMIT_BYTES,
            Error("DATA_UPLOAD_MAX_MEMORY_SIZE and BODY_LIMIT_BYTES must be equal.", id="web.E005"),
        ),
        (
            settings.EMBEDDED and not set(settings.ALLOWED_HOSTS) <= LOOPBACK_NAMES | {"testserver"},
            Warning("The embedded profile answers to names beyond loopback; those need login.", id="web.W001"),
        ),
    ]
    return [message for is_found, message in findings if is_found]


def _is_weak(secret: str) -> bool:
    return len(secret) < MIN_SECRET_LENGTH or any(sample in secret.lower() for sample in SAMPLE_SECRETS)
