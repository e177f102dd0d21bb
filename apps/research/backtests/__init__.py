"""The desk over old bars: what is asked, what is run, what came of it."""
