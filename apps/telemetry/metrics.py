"""What does the desk count? Metrics with unique names, on the registry that `/metrics` prints.

The registry is prometheus_client's own, because django-prometheus and the process collector are on it: one scrape, no
series twice. Labels come from enums or from `symbol_label`, so that the number of series is bounded.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
MAX_SYMBOLS = 50
OTHER = "other"
TOTAL = "_total"
_log = logging.getLogger(__name__)
_names: set[str] = set()
_symbols: dict[str, str] = {}
_lock = threading.Lock()


class Sample(NamedTuple):
    """One value that is computed when somebody scrapes: a counter when its name ends in `_total`, else a gauge."""

    name: str
    help: str
    labels: Mapping[str, str]
    value: float


Collect = Callable[[], Iterable[Sample | tuple[str, str, Mapping[str, str], float]]]


def counter(name: str, help: str, labels: Sequence[str] = ()) -> Counter:
    """A count that only grows. Raises ValueError when the name is taken."""
    _claim(name)
    return Counter(name, help, labels)


def gauge(name: str, help: str, labels: Sequence[str] = ()) -> Gauge:
    """A value that goes up and down. Raises ValueError when the name is taken."""
    _claim(name)
    return Gauge(name, help, labels)


def histogram(
    name: str, help: str, labels: Sequence[str] = (), buckets: Sequence[float] = LATENCY_BUCKETS
) -> Histogram:
    """A distribution, in seconds unless the name says otherwise. Raises ValueError when the name is taken."""
    _claim(name)
    return Histogram(name, help, labels, buckets=buckets)


def collect_with(fn: Collect) -> None:
    """Ask `fn` for samples at each scrape. Its failure is counted and logged, and the other metrics still print."""
    REGISTRY.register(_AtScrape(fn))


def symbol_label(symbol: str) -> str:
    """The symbol as a label value: the first 50 by name, then `other`."""
    with _lock:
        if symbol not in _symbols and len(_symbols) < MAX_SYMBOLS:
            _symbols[symbol] = symbol
        return _symbols.get(symbol, OTHER)


def _claim(name: str) -> None:
    with _lock:
        if name in _names:
            raise ValueError(f"metric {name!r} is registered twice")
        _names.add(name)


class _AtScrape:
    """A collector over one function. It describes nothing, so registering it does not call the function."""

    def __init__(self, fn: Collect) -> None:
        self.fn = fn

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        families: dict[str, GaugeMetricFamily | CounterMetricFamily] = {}
        try:
            for name, help, labels, value in self.fn():
                if name not in families:
                    kind = CounterMetricFamily if name.endswith(TOTAL) else GaugeMetricFamily
                    families[name] = kind(name.removesuffix(TOTAL), help, labels=sorted(labels))
                family = families[name]
                family.add_metric([str(labels[key]) for key in sorted(labels)], float(value))
        except Exception:
            _log.exception("metrics of %s cannot be collected", self.fn.__module__)
            COLLECT_FAILURES.labels(self.fn.__module__).inc()
        yield from families.values()


COLLECT_FAILURES = counter(
    "telemetry_collect_failures_total", "Scrapes at which a source of gauges failed", ("source",)
)
