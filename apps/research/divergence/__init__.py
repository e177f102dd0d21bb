"""Why live and backtest differ: the same span twice, decision by decision, each difference with its first cause."""
