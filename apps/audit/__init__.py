"""The append-only, hash-chained record of every decision and control change."""
