"""What of learning is measured? Read from the newest views at each scrape."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings

from apps.strategy.selectors import coverage_current, situation_current
from apps.telemetry.metrics import Sample, collect_with, symbol_label


def collect() -> Iterator[Sample]:
    """Coverage of the reward forecasts by arm, whether one of a symbol alerts, and how new the situation is."""
    for symbol in settings.SYMBOLS:
        label = {"symbol": symbol_label(symbol)}
        arms = coverage_current(symbol)
        for arm in arms:
            if arm["coverage"] is not None:
                labels = {**label, "policy": arm["policy_id"]}
                text = "Share of an arm's last 500 rewards inside their 90 % interval"
                yield Sample("router_forecast_coverage", text, labels, arm["coverage"])
        alerts = sum(arm["alert"] for arm in arms)
        text = "Arms whose forecast coverage is further than 0.03 from 0.90"
        yield Sample("router_forecast_coverage_alerts", text, label, alerts)
        novelty = situation_current(symbol).embedding.novelty
        if novelty is not None:
            text = "Distance from the past; above 1 is further than 99 % of the fit window"
            yield Sample("market_situation_novelty", text, label, novelty)


collect_with(collect)
