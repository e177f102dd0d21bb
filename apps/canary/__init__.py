"""The ladder that says what share a live venue would get."""
