"""Settings that cannot be had together are refused by name, before anything starts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from apps.execution.checks import protective_orders_need_trades


def test_protective_orders_are_refused_where_nothing_watches_trades(settings: Any) -> None:
    settings.FILLS, settings.PROTECT_STOP, settings.PROTECT_TAKE = "bars", Decimal("0.01"), Decimal(0)
    with pytest.raises(SystemCheckError, match="PROTECT_STOP cannot be kept under FILLS=bars"):
        call_command("check")
    settings.PROTECT_TAKE = Decimal("0.02")
    (found,) = protective_orders_need_trades()
    assert found.msg.startswith("PROTECT_STOP and PROTECT_TAKE cannot") and found.hint is not None
    assert "PROTECT_STOP=0 and PROTECT_TAKE=0" in found.hint
    settings.FILLS = "depth"
    assert protective_orders_need_trades() == []
    settings.FILLS, settings.PROTECT_STOP, settings.PROTECT_TAKE = "bars", Decimal(0), Decimal(0)
    assert protective_orders_need_trades() == []
