"""One backtest as one page that needs nothing else."""
