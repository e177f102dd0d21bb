"""Fit the embedding of a symbol on a window of its past: the contexts that its own fold came to, bar by bar."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from django.conf import settings

from apps.engine.embedding import EmbeddingModel, fit_embedding
from apps.engine.errors import DataError, InvalidInput
from apps.engine.observer import Observer
from apps.engine.values import Array2d, IntArray1d
from apps.marketdata import selectors as market
from apps.strategy.facts import inactive_arms, stretches
from apps.strategy.fold import observe_settings
from apps.strategy.selectors import fact_rows, fold_start_ms
from apps.strategy.services import embedding_set

CHUNK_BARS = 2_000


class Fitted(NamedTuple):
    """A model, the window it was fitted on (its end not included), and whether it was put in force just now."""

    model: EmbeddingModel
    first_ms: int
    end_ms: int
    n_bars: int
    is_new: bool


def embedding_fit(
    *,
    symbol: str,
    start_ms: int | None,
    end_ms: int | None,
    actor: str,
    reason: str,
    ts_ms: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Fitted:
    """Fit on the stored bars with start <= open < end and put the model in force; None is as far as there are bars.

    Raises DataError where no bars are stored, InvalidInput where the window cannot be used.
    """
    contexts, times_ms = window_contexts(symbol, start_ms, end_ms, progress)
    model = fit_embedding(contexts, times_ms, step_bars=1, step_ms=settings.INTERVAL_MS)
    window = int(times_ms[0]), int(times_ms[-1]) + settings.INTERVAL_MS
    is_new = embedding_set(symbol=symbol, model=model, window_ms=window, actor=actor, reason=reason, ts_ms=ts_ms)
    return Fitted(model, *window, int(times_ms.shape[0]), is_new)


def window_contexts(
    symbol: str,
    start_ms: int | None,
    end_ms: int | None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Array2d, IntArray1d]:
    """The context after each bar of a window and the bars' open times. What came before warms the fold up."""
    bars = market.bars_load(symbol, settings.INTERVAL, start_ms=fold_start_ms(symbol), end_ms=end_ms)
    if bars.n == 0:
        raise DataError(f"no bars of {symbol} {settings.INTERVAL} are stored before the end of the window")
    first = 0 if start_ms is None else int(np.searchsorted(bars.open_time_ms, start_ms))
    if first == bars.n:
        raise InvalidInput("no bar is stored between the beginning of the window and its end", field="from")
    observer, parts = Observer(observe_settings(symbol)), []
    cuts = [first, *range(first + CHUNK_BARS, bars.n, CHUNK_BARS)]
    for stretch in stretches(fact_rows(symbol), bars.open_time_ms, cuts=cuts):
        block, is_bocpd = bars.slice(stretch.first, stretch.last), stretch.facts.is_bocpd
        if stretch.last <= first:
            observer.observe_many(block, inactive=inactive_arms(), is_bocpd=is_bocpd)
            continue
        parts.append(observer.contexts(block, is_bocpd=is_bocpd))
        progress(stretch.last - first, bars.n - first)
    return np.concatenate(parts), bars.open_time_ms[first:]
