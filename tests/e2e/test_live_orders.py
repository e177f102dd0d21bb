"""Orders that rest, fill, trigger and are canceled in the running desk, and go on after a kill -9."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.desk_process import DeskProcess, manage, prepared_var, wait_until

SETTINGS = {"AUTOPILOT": "false"}


def owner(desk: DeskProcess) -> dict[str, str]:
    return {"Authorization": f"Bearer {(desk.var / 'owner.token').read_text().strip()}"}


def wait_until_ready(desk: DeskProcess) -> None:
    desk.wait_for_line("autopilot: folding bars, not deciding")
    wait_until(lambda: desk.get("/api/ws/status")[1].get("stale") is False)


def quote(desk: DeskProcess, symbol: str) -> dict[str, float]:
    ticker = desk.get(f"/api/market/ticker?symbol={symbol}")[1]
    return {name: float(ticker[name]) for name in ("bid", "ask")}


def place(desk: DeskProcess, **order: str) -> dict[str, Any]:
    status, answer = desk.post("/api/trading/paper/order", order)
    assert status == 201, answer
    return dict(answer)


def state_of(desk: DeskProcess, order: dict[str, Any]) -> dict[str, Any]:
    status, answer = desk.get(f"/api/trading/orders/{order['orderId']}")
    assert status == 200, answer
    return dict(answer)


def test_orders_rest_fill_and_survive_a_kill(compiled: None, db_template: Path, tmp_path: Path) -> None:
    """One of a bid and an offer at the touch is met by the market's own trades, wherever it goes; a far bid is
    canceled; a restart loses none of them."""
    var = prepared_var(tmp_path / "var", db_template)
    desk = DeskProcess(var, **SETTINGS)
    try:
        wait_until_ready(desk)
        price = quote(desk, "BTCUSDT")
        place(desk, symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01")
        base = {"symbol": "BTCUSDT", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}
        bid = place(desk, **base, side="BUY", price=f"{price['bid'] * 0.9999:.2f}")
        offer = place(desk, **base, side="SELL", price=f"{price['ask'] * 1.0001:.2f}")
        far = place(desk, **base, side="BUY", price=f"{price['bid'] * 0.9:.2f}")
        desk.kill()
        desk = DeskProcess(var, port=desk.port, **SETTINGS)
        wait_until_ready(desk)
        near = [bid, offer]
        wait_until(lambda: any(state_of(desk, order)["status"] == "FILLED" for order in near), timeout_s=120)
        filled = next(state for state in (state_of(desk, order) for order in near) if state["status"] == "FILLED")
        waiting = state_of(desk, far)
        listed = desk.get("/api/trading/orders?status=NEW")[1]
        assert waiting["status"] == "NEW" and far["orderId"] in [row["orderId"] for row in listed]
        assert sum(float(fill["quantity"]) for fill in filled["fills"]) == pytest.approx(0.01, abs=1e-12)
        assert desk.request("DELETE", f"/api/trading/orders/{far['orderId']}", None, **owner(desk))[0] == 202
        wait_until(lambda: state_of(desk, far)["status"] == "CANCELED")
        kinds = {record["kind"] for record in desk.get("/api/audit/latest?limit=50")[1]}
        assert {"execution.decision", "execution.fill"} <= kinds
    finally:
        assert desk.stop() == 0
    report = manage(var, "desk_report", **SETTINGS)
    assert report.returncode == 0, report.stdout[-2_000:] + report.stderr[-2_000:]
    assert manage(var, "reconcile", "--json", **SETTINGS).returncode == 0
