"""Clients for the edge's tests."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client


@pytest.fixture
def test_routes(settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.web.urls"


@pytest.fixture
def local(desk_db: object, test_routes: None) -> Client:
    """A client on this machine that is trusted without login. It sees 500s as a browser would."""
    return Client(headers={"host": "localhost"}, raise_request_exception=False)


@pytest.fixture
def remote(desk_db: object, test_routes: None) -> Client:
    """A client elsewhere."""
    return Client(headers={"host": "localhost"}, REMOTE_ADDR="192.0.2.1", raise_request_exception=False)
