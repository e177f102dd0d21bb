"""What bench/decide.py starts and measures: a desk's own server with two routes more, and a client that loads it."""
