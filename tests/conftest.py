"""Fixtures shared by all tests. Databases are copies of one migrated template; nothing is ever flushed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_TEST_VAR = tempfile.mkdtemp(prefix="tradedesk-test-")
os.environ.setdefault("TRADEDESK_VAR", _TEST_VAR)
# Kernels are keyed by the hash of their sources, so test runs may share them with the desk.
_ROOT = Path(__file__).resolve().parent.parent
if "NUMBA_CACHE_DIR" not in os.environ:
    from tradedesk.env import engine_hash

    os.environ["NUMBA_CACHE_DIR"] = str(_ROOT / "var" / "kernels" / engine_hash())

import pytest  # noqa: E402 - the environment must be set before Django is imported


@pytest.fixture(scope="session")
def db_template(django_db_blocker: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file that tests copy."""
    from django.core.management import call_command
    from django.db import connections

    path = tmp_path_factory.mktemp("template") / "template.sqlite3"
    with django_db_blocker.unblock():
        _point_at(path)
        call_command("migrate", verbosity=0)
        with connections["default"].cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connections["default"].close()
    return path


@pytest.fixture
def desk_db(db_template: Path, tmp_path: Path, django_db_blocker: object, settings: object) -> Iterator[Path]:
    """A fresh file database, visible to every thread, with TRADEDESK_VAR beside it."""
    from django.db import connections

    path = tmp_path / "desk.sqlite3"
    shutil.copy(db_template, path)
    settings.VAR_DIR = tmp_path
    settings.TRADEDESK_VAR = tmp_path
    with django_db_blocker.unblock():
        _point_at(path)
        yield path
        connections["default"].close()


def _point_at(path: Path) -> None:
    from django.db import connections

    connections["default"].close()
    connections["default"].settings_dict["NAME"] = str(path)
    connections.databases["default"]["NAME"] = str(path)


@pytest.fixture(scope="session")
def recorded_data() -> Path:
    """The folder of recorded bars; a test that needs it is skipped, with a word, where it is absent."""
    from django.conf import settings

    path = Path(settings.TRADEDESK_DATA)
    if not (path / "README.md").exists():
        pytest.skip(f"recorded bars not found in {path}; set TRADEDESK_DATA")
    return path


def pytest_sessionfinish() -> None:
    shutil.rmtree(_TEST_VAR, ignore_errors=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Soak tests run only when asked for with `-m soak`."""
    if "soak" in (config.option.markexpr or ""):
        return
    skip = pytest.mark.skip(reason="long run: make soak")
    for item in items:
        if item.get_closest_marker("soak"):
            item.add_marker(skip)
