"""Other backtesters, each in an environment of its own, on the same bars as tradedesk."""
