"""`python -m apps.marketdata.exchange.simulated`: serve until told to stop."""

import sys

from apps.marketdata.exchange.simulated.run import main

if __name__ == "__main__":
    sys.exit(main())
