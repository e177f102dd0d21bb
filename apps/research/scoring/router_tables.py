"""The router's scores as tables for people, as one JSON document, and as the marked parts of docs/router.md."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from apps.engine.errors import InvalidInput
from apps.engine.router import RouterParams
from apps.research.scoring.router_score import (
    MODES,
    Baselines,
    Estimate,
    Score,
    Variant,
    estimate,
    score_variants,
)
from apps.research.scoring.worlds import WorldTerms

SMALL_WORLDS, SMALL_DECISIONS, SMALL_SEED = 6, 600, 1
KINDS = tuple(
    WorldTerms(signal=signal, visibility=visibility)
    for signal, visibility in ((0.0, 1.0), (0.1, 1.0), (0.1, 2.0), (0.2, 1.0), (0.2, 2.0))
)
BASE, BANDIT = Variant(), Variant(RouterParams(rho=1.0), is_full=False)
VARIANT_COLUMNS = (
    *("feedback", "mode", "v", "gamma", "rho", "net", "over best fixed", "beats it", "over steady", "regret"),
    *("capture", "turnover", "over first row"),
)
KIND_COLUMNS = (
    *("signal", "visibility", "oracle", "informed", "best fixed", "steady", "uniform", "full feedback"),
    *("capture", "over best fixed", "beats it", "over steady", "bandit feedback", "capture"),
)
Progress = Callable[[str, int], None]


class Asked(NamedTuple):
    """What is scored."""

    worlds: int = 100
    seed: int = 1
    terms: WorldTerms = WorldTerms()
    mode: str = "all"


class Scored(NamedTuple):
    """The answer to what was asked."""

    asked: Asked
    baselines: Baselines
    scores: list[Score]


def variants_of(mode: str) -> list[Variant]:
    """The desk's default first, then what one may ask about: feedback, mode, v, gamma, rho, size."""
    if mode not in ("all", *MODES):
        raise InvalidInput(f"must be all, {', '.join(MODES)}, not {mode!r}", field="mode")
    default = RouterParams()
    found = []
    for is_full, rho in ((True, default.rho), (False, 1.0)):
        settings = [default._replace(rho=rho)]
        settings += [default._replace(rho=rho, v=v) for v in (0.1, 1.0)]
        settings += [default._replace(rho=rho, gamma=gamma) for gamma in (1.0, 0.995, 0.99)]
        settings += [default._replace(rho=1.0 if is_full else default.rho)]
        settings += [default._replace(rho=rho, mode=MODES[name]) for name in ("ucb", "greedy")]
        found += [Variant(params, is_full) for params in settings]
    found.append(Variant(default, is_sized=True))
    return [variant for variant in found if mode == "all" or variant.params.mode == MODES[mode]]


def scored(asked: Asked, progress: Progress = lambda what, done: None) -> Scored:
    """Every variant of the mode in the worlds asked for."""
    known, scores = score_variants(
        asked.terms, variants_of(asked.mode), worlds=asked.worlds, seed=asked.seed,
        progress=lambda done: progress("variants", done),
    )  # fmt: skip
    return Scored(asked, known, scores)


def variants_table(scores: Sequence[Score]) -> str:
    """A row per variant."""
    rows = _head(VARIANT_COLUMNS, 2)
    for score in scores:
        told = [_text(score.net), _text(score.over_best_fixed), f"{score.beats_best_fixed:.0%}"]
        told += [_text(score.over_steady), _text(score.regret), _text(score.capture, 2), f"{score.turnover:.0f}"]
        told.append("" if score is scores[0] else _text(score.over_first))
        rows.append(f"| {' | '.join([*_names(score.variant), *told])} |")
    return "\n".join(rows)


def baselines_table(known: Baselines) -> str:
    """The yardsticks, a row each."""
    rows = ["| yardstick | net |", "|---|--:|"]
    rows += [f"| {name.replace('_', ' ')} | {_text(estimate(net))} |" for name, net in known._asdict().items()]
    return "\n".join(rows)


def kinds_table(asked: Asked, progress: Progress = lambda what, done: None) -> str:
    """Kinds of worlds, a row each: the yardsticks, then the default router under both feedbacks."""
    rows = _head(KIND_COLUMNS, 0)
    for at, kind in enumerate(KINDS):
        terms = kind._replace(decisions=asked.terms.decisions)
        known, (full, bandit) = score_variants(
            terms, (BASE, BANDIT), worlds=asked.worlds, seed=asked.seed,
            progress=lambda done, at=at: progress(f"kind {at + 1} of {len(KINDS)}", done),  # type: ignore[misc]
        )  # fmt: skip
        told = [f"{terms.signal:g}", f"{terms.visibility:g}", *(_text(estimate(net)) for net in known)]
        told += [_text(full.net), _text(full.capture, 2), _text(full.over_best_fixed), f"{full.beats_best_fixed:.0%}"]
        told += [_text(full.over_steady), _text(bandit.net), _text(bandit.capture, 2)]
        rows.append(f"| {' | '.join(told)} |")
    return "\n".join(rows)


def small_table() -> str:
    """A table small enough for a test to make again."""
    known, scores = score_variants(
        WorldTerms(decisions=SMALL_DECISIONS), (BASE, BANDIT), worlds=SMALL_WORLDS, seed=SMALL_SEED
    )
    return f"{baselines_table(known)}\n\n{variants_table(scores)}"


def document(answer: Scored) -> dict[str, Any]:
    """The answer as JSON: undefined figures are null."""
    terms = answer.asked.terms
    return {
        "worlds": answer.asked.worlds,
        "seed": answer.asked.seed,
        "mode": answer.asked.mode,
        "unit": "reward-sd per 1,000 decisions",
        "terms": terms._asdict(),
        "baselines": {name: _json(estimate(net)) for name, net in answer.baselines._asdict().items()},
        "variants": [_variant_json(score) for score in answer.scores],
    }


def write_parts(path: Path, parts: dict[str, str]) -> None:
    """Put each text between its `<!-- name: written by the command -->` and `<!-- name: end -->`."""
    text = path.read_text(encoding="utf-8")
    for name, part in parts.items():
        start, end = part_edges(text, name)
        text = f"{text[:start]}\n{part}\n{text[end:]}"
    path.write_text(text, encoding="utf-8")


def part_edges(text: str, name: str) -> tuple[int, int]:
    """Where the marked part of this name lies. Raises InvalidInput if a mark is missing."""
    opening, closing = f"<!-- {name}: written by the command -->", f"<!-- {name}: end -->"
    start, end = text.find(opening), text.find(closing)
    if start < 0 or end < start:
        raise InvalidInput(f"the marks of {name} are missing", field="write")
    return start + len(opening), end


def _head(columns: Sequence[str], n_words: int) -> list[str]:
    """The head of a table whose first columns are words, the others numbers."""
    marks = ["---"] * n_words + ["--:"] * (len(columns) - n_words)
    return [f"| {' | '.join(columns)} |", f"|{'|'.join(marks)}|"]


def _names(variant: Variant) -> list[str]:
    params = variant.params
    mode = next(name for name, code in MODES.items() if code == params.mode)
    feedback = ("full" if variant.is_full else "bandit") + (", sized" if variant.is_sized else "")
    return [feedback, mode, f"{params.v:g}", f"{params.gamma:g}", f"{params.rho:g}"]


def _text(value: Estimate, digits: int = 1) -> str:
    if not math.isfinite(value.mean):
        return "none"
    error = f" ± {value.se:.{digits}f}" if math.isfinite(value.se) else ""
    return f"{value.mean:.{digits}f}{error}"


def _json(value: Estimate) -> dict[str, float | None]:
    return {
        "mean": value.mean if math.isfinite(value.mean) else None,
        "standardError": value.se if math.isfinite(value.se) else None,
    }


def _variant_json(score: Score) -> dict[str, Any]:
    feedback, mode, *_ = _names(score.variant)
    params = score.variant.params
    return {
        "feedback": feedback.partition(",")[0],
        "mode": mode,
        "isSized": score.variant.is_sized,
        "v": params.v,
        "gamma": params.gamma,
        "rho": params.rho,
        "net": _json(score.net),
        "overBestFixed": _json(score.over_best_fixed),
        "beatsBestFixed": score.beats_best_fixed,
        "overSteady": _json(score.over_steady),
        "overUniform": _json(score.over_uniform),
        "regret": _json(score.regret),
        "capture": _json(score.capture),
        "captureOfOracle": _json(score.capture_oracle),
        "overFirst": _json(score.over_first),
        "turnover": score.turnover,
        "size": score.size,
    }
