"""The built-in simulated exchange: a server of its own that speaks the spot protocol on loopback. Knows no Django."""
