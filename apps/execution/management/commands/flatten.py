"""Close one position, or all, through the running desk: only it sees the market that a fill needs."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.accounts.services import token_path

WORD = "FLATTEN"
PATH = "/api/trading/flatten"
TIMEOUT_S = 30
NOT_CLOSED_EXIT = 3


class Command(BaseCommand):
    """Exit codes: 0 all closed, 1 refused or no desk, 2 bad input, 3 something is still held."""

    help = "Cancel the open orders and close the position of one symbol, or of all. A HALTED desk asks for the word."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("symbol", nargs="?", help="one symbol; without it everything that is held")
        parser.add_argument("--reason", required=True, help="why; goes on record")
        parser.add_argument("--confirm", metavar="WORD", help=f"{WORD}, needed on a HALTED desk")
        parser.add_argument("--url", default="http://127.0.0.1:5000", help="the running desk (default %(default)s)")
        parser.add_argument("--json", action="store_true", help="print the records as the desk gives them")

    def handle(self, *args: Any, symbol: str | None, reason: str, url: str, **options: Any) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise CommandError("--url must begin with http:// or https://", returncode=2)
        asked = {"symbol": symbol, "reason": reason, "confirmation": options["confirm"]}
        answer = _post(url.rstrip("/") + PATH, {name: value for name, value in asked.items() if value is not None})
        records = json.loads(answer)["executions"]
        if options["json"]:
            self.stdout.write(answer)
        else:
            self.stdout.write("\n".join(map(_in_words, records)) or "nothing is held")
        if any(record["status"] not in ("filled", "no_trade") for record in records):
            raise SystemExit(NOT_CLOSED_EXIT)


def _post(url: str, body: dict[str, Any]) -> str:
    """The desk's answer as text. Raises CommandError with its words when it refuses, or when there is none."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {_token()}"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            return str(response.read().decode())
    except urllib.error.HTTPError as error:
        raise CommandError(_refusal(error)) from error
    except OSError as error:
        raise CommandError(f"no desk answers at {url} ({error}); start it, or name it with --url") from error


def _refusal(error: urllib.error.HTTPError) -> str:
    with error:
        text = error.read().decode(errors="replace")
    try:
        problem = json.loads(text)
    except json.JSONDecodeError:
        return f"the desk answered {error.code}: {text[:200]}"
    detail = problem.get("detail") or problem.get("title") or text[:200]
    fields = "; ".join(f"{entry['field']}: {entry['message']}" for entry in problem.get("errors", ()))
    return f"the desk answered {error.code}: {fields or detail}"


def _token() -> str:
    path = token_path(settings.VAR_DIR)
    if not path.exists():
        raise CommandError(f"There is no {path}: start the desk once, or run `manage.py owner_token --rotate`.")
    return path.read_text().strip()


def _in_words(record: dict[str, Any]) -> str:
    if record["status"] == "no_trade":
        return f"{record['symbol']}: nothing to close"
    price = f" at {record['fillPrice']}" if record["fillPrice"] else ""
    detail = f": {record['detail']}" if record["detail"] else ""
    return f"{record['symbol']}: {record['side']} {record['finalSize']} {record['status']}{price}{detail}"
