"""Limits, trading state, kill switch, and the usage they are held against."""
