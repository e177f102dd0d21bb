"""Loopback is trusted only when every sign is right."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import RequestFactory

from apps.web.trust import is_from_loopback, is_loopback_trusted

GOOD = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost:5000"}

TRUSTED: list[dict[str, str]] = [
    {},
    {"REMOTE_ADDR": "::1"},
    {"REMOTE_ADDR": "127.8.9.1"},
    {"REMOTE_ADDR": "::ffff:127.0.0.1"},
    {"HTTP_HOST": "localhost"},
    {"HTTP_HOST": "LOCALHOST:5000"},
    {"HTTP_HOST": "127.0.0.1:5000"},
    {"HTTP_HOST": "[::1]:5000"},
    {"HTTP_HOST": "[::1]"},
    {"HTTP_SEC_FETCH_SITE": "same-origin"},
    {"HTTP_SEC_FETCH_SITE": "none"},
    {"HTTP_ORIGIN": "http://localhost:5000"},
    {"HTTP_ORIGIN": "http://localhost:5000", "HTTP_SEC_FETCH_SITE": "same-origin"},
    {"HTTP_ORIGIN": "http://localhost", "HTTP_HOST": "localhost"},
    {"HTTP_ORIGIN": "http://localhost:80", "HTTP_HOST": "localhost"},
    {"HTTP_ORIGIN": "http://[::1]:5000", "HTTP_HOST": "[::1]:5000"},
]

DISTRUSTED: list[dict[str, str]] = [
    {"REMOTE_ADDR": "192.0.2.1"},
    {"REMOTE_ADDR": "10.0.0.1"},
    {"REMOTE_ADDR": "::ffff:192.0.2.1"},
    {"REMOTE_ADDR": ""},
    {"REMOTE_ADDR": "localhost"},
    {"REMOTE_ADDR": "127.0.0.1, 192.0.2.1"},
    {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
    {"HTTP_X_FORWARDED_FOR": ""},
    {"HTTP_X_FORWARDED_HOST": "localhost"},
    {"HTTP_X_FORWARDED_PROTO": "http"},
    {"HTTP_X_FORWARDED_PORT": "5000"},
    {"HTTP_FORWARDED": "for=127.0.0.1"},
    {"HTTP_X_REAL_IP": "127.0.0.1"},
    {"HTTP_VIA": "1.1 proxy"},
    {"HTTP_HOST": "evil.example"},
    {"HTTP_HOST": "evil.example:5000"},
    {"HTTP_HOST": "localhost.evil.example"},
    {"HTTP_HOST": "evil.example@localhost"},
    {"HTTP_HOST": "localhost:5000@evil.example"},
    {"HTTP_HOST": "localhost:"},
    {"HTTP_HOST": "localhost,evil.example"},
    {"HTTP_HOST": ""},
    {"HTTP_HOST": "0.0.0.0:5000"},
    {"HTTP_HOST": "localhost."},
    {"HTTP_SEC_FETCH_SITE": "cross-site"},
    {"HTTP_SEC_FETCH_SITE": "same-site"},
    {"HTTP_SEC_FETCH_SITE": ""},
    {"HTTP_SEC_FETCH_SITE": "same-origin, cross-site"},
    {"HTTP_ORIGIN": "http://localhost:3000"},
    {"HTTP_ORIGIN": "https://localhost:5000"},
    {"HTTP_ORIGIN": "http://127.0.0.1:5000"},
    {"HTTP_ORIGIN": "http://localhost"},
    {"HTTP_ORIGIN": "null"},
    {"HTTP_ORIGIN": ""},
    {"HTTP_ORIGIN": "http://localhost:5000.evil.example"},
    {"HTTP_ORIGIN": "http://localhost:5000@evil.example"},
    {"HTTP_ORIGIN": "http://evil.example/http://localhost:5000"},
    {"HTTP_ORIGIN": "http://localhost:99999"},
    {"HTTP_ORIGIN": "file://"},
    {"HTTP_ORIGIN": "http://evil.example", "HTTP_SEC_FETCH_SITE": "same-origin"},
]


@pytest.mark.parametrize("signs", TRUSTED, ids=str)
def test_a_person_at_this_machine_is_trusted(signs: dict[str, str]) -> None:
    assert is_from_loopback({**GOOD, **signs}, "http")


@pytest.mark.parametrize("signs", DISTRUSTED, ids=str)
def test_one_wrong_sign_is_enough(signs: dict[str, str]) -> None:
    assert not is_from_loopback({**GOOD, **signs}, "http")


def test_a_request_without_any_sign_is_not_trusted() -> None:
    assert not is_from_loopback({}, "http")


def test_the_origin_must_share_the_scheme_of_the_server() -> None:
    signs = {**GOOD, "HTTP_ORIGIN": "https://localhost:5000"}
    assert is_from_loopback(signs, "https") and not is_from_loopback(signs, "http")


@pytest.mark.parametrize("is_embedded", [True, False])
def test_only_the_embedded_profile_trusts(settings: Any, is_embedded: bool) -> None:
    settings.EMBEDDED = is_embedded
    assert is_loopback_trusted(RequestFactory().get("/", **GOOD)) is is_embedded
