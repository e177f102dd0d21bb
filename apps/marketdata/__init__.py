"""Symbols, bars, books and prices, and the exchange they come from."""
