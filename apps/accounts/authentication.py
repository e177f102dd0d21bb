"""Who presents this bearer token?"""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed

from apps.accounts.selectors import Bearer, token_bearer
from apps.accounts.services import token_touch
from apps.accounts.tokens import PREFIX
from apps.web.clock import wall_ms

SEEN_EVERY_MS = 60_000


class BearerTokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer tdk_…`. A token that is presented and not valid is a 401, whoever asks."""

    def authenticate_header(self, request: Any) -> str:
        return "Bearer"

    def authenticate(self, request: Any) -> tuple[Any, str] | None:
        words = get_authorization_header(request).split()
        if not words or words[0].lower() != b"bearer":
            return None
        token = words[1].decode("latin-1") if len(words) == 2 else ""
        bearer = token_bearer(token=token, now_ms=wall_ms()) if token.startswith(PREFIX) else None
        if bearer is None:
            raise AuthenticationFailed("The bearer token is not valid.")
        self._note_use(request, bearer)
        return bearer.user, token

    def _note_use(self, request: Any, bearer: Bearer) -> None:
        """Reads only: a kill must not wait behind other writers for the sake of a statistic."""
        if request.method == "GET" and wall_ms() - (bearer.last_used_at_ms or 0) >= SEEN_EVERY_MS:
            token_touch(token_id=bearer.token_id, ts_ms=wall_ms())


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the API's description shows it."""

    target_class = BearerTokenAuthentication
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}
