"""The dashboard alone: its own routes and the demo's templates, without a database."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
from django.conf import settings as django_settings
from django.test import override_settings

from apps.dashboard.pages import DESK, PAGES
from tests.dashboard import demo


def demo_settings() -> override_settings:
    templates = copy.deepcopy(django_settings.TEMPLATES)
    templates[0]["DIRS"].append(demo.TEMPLATES)
    return override_settings(TEMPLATES=templates, ROOT_URLCONF="tests.dashboard.demo_urls", EXCHANGE="simulated")


@pytest.fixture
def demo_pages() -> Iterator[None]:
    """The dashboard's routes with the demo's templates; register cards with `demo.demo_desk`."""
    with demo_settings(), demo.only(PAGES, DESK):
        yield
