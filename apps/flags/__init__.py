"""Feature flags: definitions in code, revisions in rows."""
