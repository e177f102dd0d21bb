"""Account, orders, fills, positions, and the thread that decides."""
