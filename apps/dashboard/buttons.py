"""What may a person do from a page? Small forms that answer in place; what is refused is the problem of the API."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from django.conf import settings
from django.http import HttpResponse
from django.template.loader import render_to_string
from rest_framework.parsers import BaseParser
from rest_framework.views import APIView

from apps.engine.errors import InvalidInput
from apps.web.problems import BodyTooLarge

CHANGED_EVENT = "desk:changed"
MAX_FIELDS = 20


class FormParser(BaseParser):
    """Reads the fields of a form as the members of a body; an empty field counts as absent."""

    media_type = "application/x-www-form-urlencoded"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> dict[str, str]:
        raw = stream.read(settings.BODY_LIMIT_BYTES + 1)
        if len(raw) > settings.BODY_LIMIT_BYTES:
            raise BodyTooLarge
        try:
            pairs = parse_qsl(raw.decode("ascii"), errors="strict", max_num_fields=MAX_FIELDS, strict_parsing=bool(raw))
        except ValueError as error:
            raise InvalidInput("is no form", field="body") from error
        if len(dict(pairs)) != len(pairs):
            raise InvalidInput("names a field twice", field="body")
        return dict(pairs)


class ButtonView(APIView):
    """Base of the views behind forms: the role table, the session with its CSRF token, and problems as at the API."""

    parser_classes = (FormParser,)
    schema = None


def told(text: str, *, tone: str = "good", links: list[tuple[str, str]] | None = None) -> HttpResponse:
    """What was done, for the place beside the form; the page is told to look again."""
    html = render_to_string("dashboard/partials/told.html", {"text": text, "tone": tone, "links": links or []})
    return HttpResponse(html, headers={"HX-Trigger": CHANGED_EVENT})
