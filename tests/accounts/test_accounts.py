"""Users, tokens, the first run: secrets are hashed, files are private, changes are audited."""

from __future__ import annotations

import os
import stat
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from apps.accounts import services
from apps.accounts.models import Token, User
from apps.accounts.selectors import token_bearer
from apps.audit.selectors import audit_latest
from apps.engine.errors import Conflict, InvalidInput, UnknownName
from apps.web.roles import Role

NOW = 1_767_225_600_000
WHO: dict[str, Any] = {"actor": "test", "ts_ms": NOW}


def everything_stored(path: Path) -> bytes:
    """The bytes of the database, journal included."""
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(FULL)")
    return b"".join(part.read_bytes() for part in path.parent.glob(f"{path.name}*"))


def test_the_first_run_makes_an_owner_and_a_private_token_file(desk_db: Path, tmp_path: Path) -> None:
    first = services.first_run(var_dir=tmp_path, ts_ms=NOW)
    assert first is not None
    assert first.token.startswith("tdk_") and len(first.token) > 40 and len(first.password) >= 16
    assert first.token_path.read_text() == first.token + "\n"
    assert stat.S_IMODE(first.token_path.stat().st_mode) == 0o600
    bearer = token_bearer(token=first.token, now_ms=NOW)
    assert bearer is not None and bearer.user.role == "owner"
    assert Client().login(username="owner", password=first.password)


def test_it_happens_once(desk_db: Path, tmp_path: Path) -> None:
    services.first_run(var_dir=tmp_path, ts_ms=NOW)
    assert services.first_run(var_dir=tmp_path, ts_ms=NOW) is None
    assert User.objects.count() == 1


def test_it_is_audited_without_its_secrets(desk_db: Path, tmp_path: Path) -> None:
    first = services.first_run(var_dir=tmp_path, ts_ms=NOW)
    assert first is not None
    assert {record.kind for record in audit_latest(10)} == {"accounts.user_created", "accounts.token_created"}
    stored = everything_stored(desk_db)
    assert b"accounts.user_created" in stored
    assert first.token.encode() not in stored and first.token[4:].encode() not in stored
    assert first.password.encode() not in stored


def test_a_folder_that_cannot_be_written_leaves_no_owner_behind(desk_db: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError):
        services.first_run(var_dir=tmp_path / "missing", ts_ms=NOW)
    assert User.objects.count() == 0 and audit_latest(1) == []


@pytest.mark.parametrize(
    ("changes", "now_ms", "works"),
    [
        ({}, NOW, True),
        ({"expires_at_ms": NOW + 1}, NOW, True),
        ({"expires_at_ms": NOW}, NOW, False),
        ({"revoked_at_ms": NOW}, NOW, False),
    ],
)
def test_a_token_works_until_it_expires_or_is_revoked(
    desk_db: Path, changes: dict[str, int], now_ms: int, works: bool
) -> None:
    services.user_create(username="bot", password="x", role=Role.OPERATOR, **WHO)
    token = services.token_create(username="bot", **WHO)
    Token.objects.update(**changes)
    assert (token_bearer(token=token, now_ms=now_ms) is not None) is works


def test_a_user_who_left_has_no_token(desk_db: Path) -> None:
    services.user_create(username="bot", password="x", role=Role.OPERATOR, **WHO)
    token = services.token_create(username="bot", **WHO)
    User.objects.update(is_active=False)
    assert token_bearer(token=token, now_ms=NOW) is None


def test_the_hash_itself_is_no_token(desk_db: Path) -> None:
    services.user_create(username="bot", password="x", role=Role.OPERATOR, **WHO)
    services.token_create(username="bot", **WHO)
    assert token_bearer(token=Token.objects.get().digest, now_ms=NOW) is None


def test_reading_notes_the_use_once_a_minute_and_writing_never(desk_db: Path) -> None:
    services.user_create(username="bot", password="x", role=Role.OPERATOR, **WHO)
    token = services.token_create(username="bot", **WHO)
    client = Client(headers={"host": "localhost", "authorization": f"Bearer {token}"})
    client.post("/api/flags", data='{"BOCPD": false}', content_type="application/json")
    assert Token.objects.get().last_used_at_ms is None
    client.get("/api/flags")
    first_use = Token.objects.get().last_used_at_ms
    assert first_use is not None
    client.get("/api/flags")
    assert Token.objects.get().last_used_at_ms == first_use


def test_a_name_is_taken_once(desk_db: Path) -> None:
    services.user_create(username="olga", password="x", role=Role.VIEWER, **WHO)
    with pytest.raises(Conflict):
        services.user_create(username="olga", password="y", role=Role.OWNER, **WHO)
    assert User.objects.get().role == "viewer"


@pytest.mark.parametrize(("username", "password"), [("", "x"), ("a b", "x"), ("a\n", "x"), ("x" * 65, "x"), ("ok", "")])
def test_what_is_no_name_or_password_is_refused(desk_db: Path, username: str, password: str) -> None:
    with pytest.raises(InvalidInput):
        services.user_create(username=username, password=password, role=Role.VIEWER, **WHO)
    assert User.objects.count() == 0


def test_a_token_needs_a_user(desk_db: Path) -> None:
    with pytest.raises(UnknownName):
        services.token_create(username="nobody", **WHO)


def run(name: str, *args: str) -> str:
    out = StringIO()
    call_command(name, *args, stdout=out)
    return out.getvalue()


def test_the_owner_token_is_found_and_rotated(desk_db: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="start the desk once"):
        run("owner_token")
    with pytest.raises(CommandError, match="no owner yet"):
        run("owner_token", "--rotate")
    first = services.first_run(var_dir=tmp_path, ts_ms=NOW)
    assert first is not None
    assert run("owner_token") == f"{first.token_path}\n"
    run("owner_token", "--rotate")
    fresh = first.token_path.read_text().strip()
    assert token_bearer(token=first.token, now_ms=NOW) is None
    assert token_bearer(token=fresh, now_ms=NOW) is not None
    assert stat.S_IMODE(os.stat(first.token_path).st_mode) == 0o600


def test_a_user_is_created_by_command(desk_db: Path) -> None:
    lines = dict(line.split(" ", 1) for line in run("create_user", "olga", "--role", "operator", "--token",
                                                    "--generate").splitlines())  # fmt: skip
    assert lines["user"] == "olga, role operator"
    assert Client().login(username="olga", password=lines["password"])
    assert token_bearer(token=lines["token"], now_ms=NOW) is not None
    with pytest.raises(CommandError, match="already"):
        run("create_user", "olga", "--generate")


@pytest.mark.parametrize(("role", "status"), [(Role.VIEWER, 302), (Role.OPERATOR, 200), (Role.OWNER, 200)])
def test_operators_and_owners_may_open_the_admin(desk_db: Path, settings: Any, role: Role, status: int) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    services.user_create(username="alice", password="a long password", role=role, **WHO)
    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.get())
    assert client.get("/admin/").status_code == status
