"""Creating users and tokens. Every change is audited in its own transaction; secrets never are."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import NamedTuple

from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.db import transaction

from apps.accounts.models import Token, User
from apps.accounts.tokens import digest_of, hint_of, new_token
from apps.audit.services import audit_append
from apps.engine.errors import Conflict, InvalidInput, UnknownName
from apps.web.roles import Role

OWNER = "owner"
TOKEN_FILE = "owner.token"
MAX_USERNAME = 64


class FirstRun(NamedTuple):
    """What the first start prints, once."""

    username: str
    password: str
    token: str
    token_path: Path


def user_create(*, username: str, password: str, role: Role, actor: str, ts_ms: int) -> None:
    """Add a user. Raises Conflict when the name is taken, InvalidInput when it cannot be one."""
    _check_username(username)
    if not password:
        raise InvalidInput("must not be empty", field="password")
    with transaction.atomic():
        if User.objects.filter(username=username).exists():
            raise Conflict(f"there is a user {username!r} already")
        User.objects.create_user(username=username, password=password, role=role.value)
        audit_append(
            kind="accounts.user_created", actor=actor, ts_ms=ts_ms, body={"username": username, "role": role.value}
        )


@transaction.atomic
def token_create(*, username: str, actor: str, ts_ms: int, expires_at_ms: int | None = None) -> str:
    """A new token of a user; this is the only time that it can be read."""
    user = _user(username)
    token = new_token()
    Token.objects.create(
        user=user,
        digest=digest_of(token),
        hint=hint_of(token),
        created_at_ms=ts_ms,
        expires_at_ms=expires_at_ms,
    )
    body = {"username": username, "role": user.role, "digest": digest_of(token)[:16], "expiresAtMs": expires_at_ms}
    audit_append(kind="accounts.token_created", actor=actor, ts_ms=ts_ms, body=body)
    return token


@transaction.atomic
def tokens_revoke(*, username: str, actor: str, ts_ms: int) -> int:
    """Make every token of a user worthless; how many that were."""
    count = Token.objects.filter(user=_user(username), revoked_at_ms=None).update(revoked_at_ms=ts_ms)
    audit_append(kind="accounts.tokens_revoked", actor=actor, ts_ms=ts_ms, body={"username": username, "tokens": count})
    return count


def token_touch(*, token_id: int, ts_ms: int) -> None:
    """Note that a token was used."""
    Token.objects.filter(pk=token_id).update(last_used_at_ms=ts_ms)


@transaction.atomic
def first_run(*, var_dir: Path, ts_ms: int) -> FirstRun | None:
    """Where nobody exists yet, create the owner with a token in var/owner.token; None where somebody does."""
    if User.objects.exists():
        return None
    password = secrets.token_urlsafe(12)
    user_create(username=OWNER, password=password, role=Role.OWNER, actor="first run", ts_ms=ts_ms)
    token = token_create(username=OWNER, actor="first run", ts_ms=ts_ms)
    # Inside the transaction: without the file nobody could ever use the token that was committed.
    return FirstRun(OWNER, password, token, token_write(var_dir=var_dir, token=token))


@transaction.atomic
def owner_token_rotate(*, var_dir: Path, actor: str, ts_ms: int) -> Path:
    """Revoke the owner's tokens and write a new one to var/owner.token."""
    tokens_revoke(username=OWNER, actor=actor, ts_ms=ts_ms)
    return token_write(var_dir=var_dir, token=token_create(username=OWNER, actor=actor, ts_ms=ts_ms))


def token_path(var_dir: Path) -> Path:
    return Path(var_dir) / TOKEN_FILE


def token_write(*, var_dir: Path, token: str) -> Path:
    """Replace the token file atomically; readable by its owner alone at every moment."""
    path = token_path(var_dir)
    draft = path.with_name(f".{TOKEN_FILE}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as stream:
        stream.write(token + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)
    return path


def _user(username: str) -> User:
    user = User.objects.filter(username=username).first()
    if user is None:
        raise UnknownName(f"there is no user {username!r}", field="username")
    return user


def _check_username(username: str) -> None:
    try:
        UnicodeUsernameValidator()(username)
    except ValidationError as error:
        raise InvalidInput("may hold letters, digits and @ . + - _ only", field="username") from error
    if len(username) > MAX_USERNAME:
        raise InvalidInput(f"must be at most {MAX_USERNAME} characters", field="username")
