"""Metric registry, health, liveness and readiness."""
