"""The composition root: settings, URLs, processes. It imports every app; no app imports it."""
