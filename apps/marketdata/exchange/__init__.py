"""How the desk speaks to an exchange: addresses, decimal text, REST client, stream frames."""
