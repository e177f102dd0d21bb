"""Fixtures shared by all tests. Databases are copies of one migrated template; nothing is ever flushed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


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
def new_desk_db(
    db_template: Path, tmp_path: Path, django_db_blocker: object, settings: object
) -> Iterator[Callable[[str], Path]]:
    """Makes fresh file databases, visible to every thread, each with its own TRADEDESK_VAR; the newest is in use."""
    from django.db import connections

    def make(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        path = folder / "desk.sqlite3"
        shutil.copy(db_template, path)
        settings.VAR_DIR = settings.TRADEDESK_VAR = folder
        _point_at(path)
        return path

    with django_db_blocker.unblock():
        yield make
        connections["default"].close()


@pytest.fixture
def desk_db(new_desk_db: Callable[[str], Path]) -> Path:
    """A fresh file database, visible to every thread, with TRADEDESK_VAR beside it."""
    return new_desk_db(".")


def _point_at(path: Path) -> None:
    from django.db import connections

    connections["default"].close()
    options = connections.databases["default"]["OPTIONS"]
    # No test pulls the plug of the machine: a killed process loses nothing without fsync either.
    options["init_command"] = options["init_command"].replace("synchronous=FULL", "synchronous=OFF")
    for settings_dict in (connections["default"].settings_dict, connections.databases["default"]):
        settings_dict["NAME"] = str(path)
        settings_dict["OPTIONS"]["init_command"] = options["init_command"]


@pytest.fixture(scope="session")
def compiled() -> None:
    """The engine's kernels, compiled before a test hands work to a thread that waits only so long."""
    import numpy as np

    from apps.engine.observer import Observer, ObserveSettings
    from tradedesk.warm import warm_kernels

    observer = Observer(ObserveSettings("WARM", 60_000, 5))
    warm_kernels(observer, np.zeros(len(observer.runs), np.int64))


@pytest.fixture(scope="session")
def recorded_data() -> Path:
    """The folder of recorded bars; a test that needs it is skipped, with a word, where it is absent."""
    from django.conf import settings

    path = Path(settings.TRADEDESK_DATA)
    if not (path / "README.md").exists():
        pytest.skip(f"recorded bars not found in {path}; set TRADEDESK_DATA")
    return path


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Soak tests run only when asked for with `-m soak`."""
    if "soak" in (config.option.markexpr or ""):
        return
    skip = pytest.mark.skip(reason="long run: make soak")
    for item in items:
        if item.get_closest_marker("soak"):
            item.add_marker(skip)
