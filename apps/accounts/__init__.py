"""Who may act: users, roles, tokens."""
