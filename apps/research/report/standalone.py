"""A page that is one file: its styles, drawings and script are inside, and no address leads out of it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string
from django.utils.safestring import mark_safe

ROOT = Path(settings.BASE_DIR)


def standalone_page(template: str, context: Mapping[str, Any], *, has_script: bool) -> str:
    """The whole page as text. `template` extends research/standalone.html."""
    # The dashboard's colors, then the page's own rules.
    styles = [_read("static", "tokens.css"), _read("templates", "research", "report.css")]
    common: dict[str, Any] = {"styles": [mark_safe(style) for style in styles], "version": settings.VERSION}
    if has_script:
        script = _read("templates", "research", "report.js")
        common["script"] = mark_safe(script)
        common["script_hash"] = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return render_to_string(template, {**common, **context})


def _read(*parts: str) -> str:
    return ROOT.joinpath(*parts).read_text(encoding="utf-8")
