"""Why this trade, or why none: one audit record told in words, tables and the line that replays it."""
