"""Clients for the edge's tests."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client


@pytest.fixture(autouse=True)
def fast_passwords(settings: Any) -> None:
    """Argon2 takes a tenth of a second on purpose."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def test_routes(settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.web.urls"


@pytest.fixture
def local(test_routes: None) -> Client:
    """A client on this machine that is trusted without login. It sees 500s as a browser would."""
    return Client(headers={"host": "localhost"}, raise_request_exception=False)


@pytest.fixture
def remote(test_routes: None) -> Client:
    """A client elsewhere."""
    return Client(headers={"host": "localhost"}, REMOTE_ADDR="192.0.2.1", raise_request_exception=False)
