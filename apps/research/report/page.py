"""stand-in"""

from apps.research.selectors import Backtest


def report_page(run: Backtest) -> str:
    """The page."""
    return run.run_id
