"""Dangerous settings are named by number."""

from __future__ import annotations

from typing import Any

import pytest

from apps.web.checks import check_edge


def ids(**kwargs: Any) -> list[str]:
    return [str(message.id) for message in check_edge(None)]


def test_the_defaults_are_fine() -> None:
    assert ids() == []


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"ALLOWED_HOSTS": ["*"]}, ["web.E001", "web.W001"]),
        ({"ALLOWED_HOSTS": [".example.org"], "EMBEDDED": False}, ["web.E001", "web.E002"]),
        ({"EMBEDDED": False}, ["web.E002"]),
        ({"SECRET_KEY": "short"}, ["web.E003"]),
        ({"SECRET_KEY": "django-insecure-" + "x" * 40}, ["web.E003"]),
        ({"DEBUG": True}, ["web.E004"]),
        ({"BODY_LIMIT_BYTES": 1}, ["web.E005"]),
        ({"ALLOWED_HOSTS": ["localhost", "desk.example.org"]}, ["web.W001"]),
    ],
)
def test_a_dangerous_setting_is_found(
    settings: Any, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], found: list[str]
) -> None:
    monkeypatch.delenv("SECRET_KEY", raising=False)
    for name, value in changes.items():
        setattr(settings, name, value)
    assert ids() == found


def test_a_given_secret_satisfies_the_scaled_profile(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "k" * 50)
    settings.EMBEDDED = False
    assert ids() == []
