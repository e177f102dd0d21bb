"""Backtests, training and promotion."""
