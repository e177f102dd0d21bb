"""Parts of bench/desk.py."""
