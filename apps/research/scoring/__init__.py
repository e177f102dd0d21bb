"""The router in made-up worlds where the best way is known."""
