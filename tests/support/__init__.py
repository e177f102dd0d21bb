"""Builders that several folders of tests use."""
