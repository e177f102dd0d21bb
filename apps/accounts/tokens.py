"""What is a token? 256 random bits behind a prefix that scanners for leaked secrets can find."""

from __future__ import annotations

import hashlib
import secrets

PREFIX = "tdk_"
HINT_LENGTH = 8


def new_token() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(token: str) -> str:
    """What is stored. A fast hash is enough: nobody guesses 256 bits."""
    return hashlib.sha256(token.encode()).hexdigest()


def hint_of(token: str) -> str:
    """Enough to tell tokens apart in a list, too little to use one."""
    return token[:HINT_LENGTH]
