"""The pure engine: values in, values out. No Django, clock, environment, log or global randomness."""
