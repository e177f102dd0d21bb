"""Who presents this bearer token?"""

from __future__ import annotations

from rest_framework.authentication import BaseAuthentication


class BearerTokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer tdk_…`."""

    def authenticate_header(self, request: object) -> str:
        return "Bearer"

    def authenticate(self, request: object) -> None:
        return None
