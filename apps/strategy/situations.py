"""Which past does the present resemble? The embedding of the newest contexts under the model in force."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from django.conf import settings

from apps.audit import selectors as audit
from apps.engine.codec import float_from, float_text
from apps.engine.embedding import (
    LAG_BARS,
    UNFITTED,
    Embedding,
    EmbeddingModel,
    Neighbor,
    embed,
    embedding_from,
    nearest_situations,
)
from apps.engine.values import Array1d

RING_BARS = LAG_BARS[-1] + 1
NEAREST = 5


class Situation(NamedTuple):
    """An embedding, or why there is none, and the version of the model it comes from ("" before the first fit)."""

    embedding: Embedding = UNFITTED
    version: str = ""


NOT_EMBEDDED = Situation()


class ContextRing:
    """The contexts of the newest bars, as far back as there is no gap."""

    def __init__(self) -> None:
        self._rows: deque[Array1d] = deque(maxlen=RING_BARS)
        self._last = -1

    def push(self, bar_index: int, context: Array1d) -> None:
        if bar_index != self._last + 1:
            self._rows.clear()
        self._rows.append(context)
        self._last = bar_index

    def situation(self, version: str) -> Situation:
        """The newest context's embedding under a model."""
        model = model_of(version) if version else None
        return Situation(embed(model, np.array(self._rows)), version)


def model_key(symbol: str) -> str:
    """The control that names the model in force."""
    return f"embedding.{symbol}.{settings.INTERVAL}"


def version_of_controls(symbol: str, controls: Mapping[str, Any]) -> str:
    """The version of the model in force; "" before the first fit."""
    entry = controls.get(model_key(symbol))
    return str(entry.value) if entry is not None else ""


@lru_cache(maxsize=16)
def model_of(version: str) -> EmbeddingModel:
    """The model of a version, which is the hash that its bytes are kept under."""
    return embedding_from(audit.snapshot_get(version))


def situation_values(situation: Situation) -> dict[str, Any]:
    """A situation as JSON values, exact."""
    values, reason, novelty = situation.embedding
    return {
        "values": None if values is None else [float_text(value) for value in values],
        "reason": reason,
        "novelty": None if novelty is None else float_text(novelty),
        "version": situation.version,
    }


def situation_of(fields: Mapping[str, Any]) -> Situation:
    """The situation behind `situation_values`; that of a view older than them is not fitted."""
    if not fields:
        return NOT_EMBEDDED
    values, novelty = fields["values"], fields["novelty"]
    embedding = Embedding(
        None if values is None else tuple(map(float_from, values)),
        fields["reason"],
        None if novelty is None else float_from(novelty),
    )
    return Situation(embedding, fields["version"])


def nearest(situation: Situation) -> tuple[Neighbor, ...]:
    """The moments of the fit window that were most like this one; none without an embedding."""
    values = situation.embedding.values
    return () if values is None else nearest_situations(model_of(situation.version), values, NEAREST)
