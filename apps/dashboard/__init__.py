"""Registries of cards and pages, and the fragments they render."""
