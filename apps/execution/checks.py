"""Settings that cannot be had together, said by name before the desk starts."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core import checks


@checks.register
def protective_orders_need_trades(**_: Any) -> list[checks.CheckMessage]:
    """Between two bars nothing watches trades, so that a stop would sell at a price nobody saw."""
    asked = [name for name in ("PROTECT_STOP", "PROTECT_TAKE") if getattr(settings, name)]
    if settings.FILLS != "bars" or not asked:
        return []
    return [
        checks.Error(
            f"{' and '.join(asked)} cannot be kept under FILLS=bars: protective orders wait for trades.",
            hint=f"Set {' and '.join(f'{name}=0' for name in asked)}, or FILLS=depth.",
            id="execution.E001",
        )
    ]
