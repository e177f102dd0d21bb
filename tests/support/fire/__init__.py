"""A desk under fire: run as a process of its own on the database that DATABASE_URL names, it prints what it saw."""
