"""What /metrics prints: every name once, failures counted, labels bounded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from apps.telemetry import metrics


@pytest.fixture
def registered() -> Iterator[list[Any]]:
    """Collectors that the test adds, taken off again."""
    before = set(REGISTRY._collector_to_names)
    names = set(metrics._names)
    yield []
    for collector in set(REGISTRY._collector_to_names) - before:
        REGISTRY.unregister(collector)
    metrics._names.clear()
    metrics._names.update(names)


def scrape(**headers: str) -> str:
    answer = Client(headers={"host": "localhost", **headers}).get("/metrics")
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_text_parses_and_names_every_series_once(desk_db: object) -> None:
    seen = [
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in text_string_to_metric_families(scrape())
        for sample in family.samples
    ]
    assert len(seen) == len(set(seen)) > 20
    assert ("flag_changes_total", (("flag", "BOCPD"),)) in seen


def test_openmetrics_is_served_to_those_who_ask(desk_db: object) -> None:
    assert scrape(accept="application/openmetrics-text; version=1.0.0").rstrip().endswith("# EOF")


def test_counters_gauges_and_histograms_print_what_they_hold(desk_db: object, registered: list[Any]) -> None:
    metrics.counter("probe_events_total", "Events", ("kind",)).labels("a").inc(3)
    metrics.gauge("probe_level", "Level").set(2.5)
    metrics.histogram("probe_seconds", "Seconds").observe(0.003)
    text = scrape()
    assert 'probe_events_total{kind="a"} 3.0' in text
    assert "probe_level 2.5" in text
    assert 'probe_seconds_bucket{le="0.0025"} 0.0' in text and 'probe_seconds_bucket{le="0.005"} 1.0' in text


def test_a_name_is_taken_once(registered: list[Any]) -> None:
    metrics.counter("probe_once_total", "Once")
    with pytest.raises(ValueError, match="twice"):
        metrics.gauge("probe_once_total", "Again")


def test_gauges_are_computed_at_each_scrape(desk_db: object, registered: list[Any]) -> None:
    ages = iter([1.0, 2.0])
    metrics.collect_with(
        lambda: [
            ("probe_age_seconds", "Age", {"symbol": "BTCUSDT"}, next(ages)),
            metrics.Sample("probe_age_seconds", "Age", {"symbol": "ETHUSDT"}, 7.0),
        ]
    )
    assert 'probe_age_seconds{symbol="BTCUSDT"} 1.0' in scrape()
    text = scrape()
    assert 'probe_age_seconds{symbol="BTCUSDT"} 2.0' in text and 'probe_age_seconds{symbol="ETHUSDT"} 7.0' in text


def test_what_ends_in_total_is_a_counter(desk_db: object, registered: list[Any]) -> None:
    metrics.collect_with(
        lambda: [
            metrics.Sample("probe_seen_total", "Seen", {"kind": "a"}, 3),
            metrics.Sample("probe_level", "Level", {}, 2),
            metrics.Sample("probe_seen_total", "Seen", {"kind": "b"}, 4),
        ]
    )
    families = {family.name: family for family in text_string_to_metric_families(scrape())}
    assert (families["probe_seen"].type, families["probe_level"].type) == ("counter", "gauge")
    assert [(sample.name, sample.labels["kind"], sample.value) for sample in families["probe_seen"].samples] == [
        ("probe_seen_total", "a", 3.0),
        ("probe_seen_total", "b", 4.0),
    ]
    for name in ("router_decisions", "exec_blocked"):
        assert families[name].type == "counter"
        assert {sample.name for sample in families[name].samples} == {f"{name}_total"}


def test_a_source_that_fails_is_counted_and_hides_nothing_else(desk_db: object, registered: list[Any]) -> None:
    def broken() -> Any:
        raise RuntimeError("no table")

    metrics.collect_with(broken)
    failures = metrics.COLLECT_FAILURES.labels(__name__)._value
    before = failures.get()
    assert "flag_changes_total" in scrape()
    assert failures.get() == before + 1


def test_symbols_beyond_the_fiftieth_share_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_symbols", {})
    labels = [metrics.symbol_label(f"S{number}") for number in range(60)]
    assert labels[:50] == [f"S{number}" for number in range(50)] and set(labels[50:]) == {"other"}
    assert metrics.symbol_label("S3") == "S3"


def test_a_scraper_elsewhere_needs_a_token(desk_db: object) -> None:
    assert Client(headers={"host": "localhost"}, REMOTE_ADDR="192.0.2.1").get("/metrics").status_code == 401
