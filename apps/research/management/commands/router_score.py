"""`manage.py router_score`: the router in made-up worlds where the best way is known."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.engine.errors import IntegrityBreach, InvalidInput
from apps.research.scoring.router_score import is_above_oracle
from apps.research.scoring.router_tables import (
    Asked,
    Scored,
    baselines_table,
    document,
    kinds_table,
    scored,
    small_table,
    variants_table,
    write_parts,
)
from apps.research.scoring.worlds import WorldTerms

ERROR_EXIT, INPUT_EXIT, BREACH_EXIT = 1, 2, 3
TENTHS = 10
UNIT = "net reward in reward-sd per 1,000 decisions, mean over worlds ± standard error"


class Command(BaseCommand):
    help = (
        "Scores the router's own kernels in made-up regime-switching worlds where the best way is known: regret and "
        "capture against the oracle, the best fixed policy in hindsight and an even draw. Exit status: 0 done, 1 an "
        "error, 2 an argument cannot be used, 3 a score above the oracle's, so something sees what it must not."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        terms = WorldTerms()
        parser.add_argument("--worlds", type=int, default=100, help="default: %(default)s")
        parser.add_argument("--decisions", type=int, default=terms.decisions, help="in each; default: %(default)s")
        parser.add_argument("--seed", type=int, default=1, help="root of all draws; default: %(default)s")
        parser.add_argument("--mode", default="all", help="all, thompson, ucb or greedy; default: %(default)s")
        parser.add_argument("--signal", type=float, default=terms.signal, help="sd of mean rewards; 0 is pure noise")
        parser.add_argument("--visibility", type=float, default=terms.visibility, help="of regimes in the context")
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument("--write", action="store_true", help="score all kinds of worlds into docs/router.md")

    def handle(self, *args: Any, **options: Any) -> None:
        terms = WorldTerms(decisions=options["decisions"], signal=options["signal"], visibility=options["visibility"])
        asked = Asked(options["worlds"], options["seed"], terms, options["mode"])
        self._is_shown, self._worlds = options["verbosity"] > 0, max(1, options["worlds"])
        if self._is_shown:
            self.stderr.write("router_score: the first run after an update compiles its kernels")
        try:
            if options["write"]:
                _write_check(asked)
            answer = scored(asked, self._progress)
            if options["write"]:
                self._write(answer)
        except InvalidInput as error:
            raise CommandError(f"{error.field}: {error}", returncode=INPUT_EXIT) from error
        except (IntegrityBreach, OSError) as error:
            raise CommandError(str(error), returncode=ERROR_EXIT) from error
        if options["json"]:
            self.stdout.write(json.dumps(document(answer)))
        else:
            self.stdout.write(f"{UNIT}\n\n{baselines_table(answer.baselines)}\n\n{variants_table(answer.scores)}")
        above = [score for score in answer.scores if is_above_oracle(score)]
        if above:
            raise CommandError(f"{len(above)} variants score above the oracle", returncode=BREACH_EXIT)

    def _progress(self, what: str, done: int) -> None:
        if self._is_shown and done * TENTHS // self._worlds > (done - 1) * TENTHS // self._worlds:
            self.stderr.write(f"{what}: {done} of {self._worlds} worlds")

    def _write(self, answer: Scored) -> None:
        size = f"{answer.asked.worlds} worlds of {answer.asked.terms.decisions:,} decisions, seed {answer.asked.seed}."
        write_parts(
            Path(settings.BASE_DIR) / "docs" / "router.md",
            {
                "kinds": f"{size}\n\n{kinds_table(answer.asked, self._progress)}",
                "variants": f"{size}\n\n{variants_table(answer.scores)}",
                "small": small_table(),
            },
        )


def _write_check(asked: Asked) -> None:
    """Asked before the run: the page tells of the default worlds only."""
    if asked.mode != "all" or asked.terms != WorldTerms(decisions=asked.terms.decisions):
        raise InvalidInput("goes with the default worlds and all modes", field="write")
