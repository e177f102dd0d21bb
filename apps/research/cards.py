"""Cards of research: the newest backtests."""

from __future__ import annotations

from typing import Any

from apps.dashboard import cards
from apps.dashboard.formats import number, percent, tone
from apps.research import selectors

SHOWN = 50


def backtests_context() -> dict[str, Any]:
    """The newest backtests, ready to print."""
    rows = [
        {
            **run,
            "return_text": percent(run["total_return"], signed=True),
            "return_tone": tone(run["total_return"]),
            "hold_text": percent(run["buy_and_hold_return"], signed=True),
            "sharpe_text": number(run["sharpe"]),
            "drawdown_text": percent(run["max_drawdown"]),
            "span": f"{run['from'][:10]} to {run['to'][:10]}",
        }
        for run in selectors.backtests_latest(SHOWN)
    ]
    return {"rows": rows}


cards.register(
    cards.Card(
        "backtests", "Backtests", "research/cards/backtests.html", backtests_context, page="research", span=12,
        query_budget=1, ttl_s=5.0,
    )
)  # fmt: skip
