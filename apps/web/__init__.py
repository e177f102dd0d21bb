"""The HTTP edge: strict JSON in, camelCase out, one error shape, default-deny roles."""
