"""Cards of execution: equity against buying and holding, positions, what the router believes, the last decisions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings

from apps.audit.rendering import record_document
from apps.audit.selectors import audit_many
from apps.dashboard import cards
from apps.execution import selectors
from apps.execution.buttons import controls_context
from apps.execution.explanation.outcome import happened
from apps.execution.explanation.words import gate_words, plain, price, price_e8
from apps.execution.honesty import honesty_context
from apps.marketdata.market import market_view
from apps.web.values import parse_decimal_e8

SHOWN_DECISIONS = 12


def equity_context() -> dict[str, Any]:
    """Where the account stands at present marks, and the curve of the epoch. The data's age is that of what is held."""
    standing, curve = selectors.equity_standing(), selectors.equity_curve()
    rows = [(row["ts_ms"], row["equity_e8"], row["buy_and_hold_e8"]) for row in curve]
    initial = standing.initial_e8 if standing else None
    equity, exposure = (standing.equity_e8, standing.exposure_e8) if standing else (None, None)
    hold = rows[-1][2] if rows else None
    return {
        "rows": rows,
        "equity_e8": equity,
        "pnl_e8": _minus(equity, initial),
        "pnl_share": _share(_minus(equity, initial), initial),
        "hold_pnl_e8": _minus(hold, initial),
        "hold_pnl_share": _share(_minus(hold, initial), initial),
        "drawdown": standing.drawdown if standing else None,
        "exposure_e8": exposure,
        "exposure_share": _share(exposure, equity),
        "cash_e8": standing.cash_e8 if standing else None,
        "fees_e8": standing.fees_e8 if standing else None,
        "started_ts_ms": standing.started_ts_ms if standing else None,
        **_mark_ages(standing.held if standing else ()),
    }


def _minus(value: int | None, base: int | None) -> int | None:
    return None if value is None or base is None else value - base


def _share(part: int | None, whole: int | None) -> float | None:
    return None if part is None or not whole else part / whole


def _mark_ages(held: Iterable[str]) -> dict[str, int | None]:
    """The age of the oldest price that something held is marked at; None when nothing is held or no price is known."""
    view = market_view()
    quotes = [quote for quote in map(view.quote, held) if quote is not None]
    age = max((view.now_ms() - quote.ts_ms for quote in quotes), default=None) if view.clock.is_set else None
    return {"data_age_ms": age, "stale_after_ms": int(settings.STALE_AFTER_MS)}


def positions_context() -> dict[str, Any]:
    """What is held of each symbol at present marks, their sums, and how the router last sized each."""
    rows = selectors.position_values(selectors.account_current())
    sizings = [_sizing_row(row) for row in selectors.router_decisions_latest() if row["answer"]["sizing"]]
    counts = [row["quantity_e8"] for row in rows] + [row["target_e8"] for row in sizings]
    held = [row["symbol"] for row in rows if row["quantity_e8"]]
    names = ("notional_e8", "unrealized_e8", "realized_e8", "fees_e8")
    return {
        "rows": [_position_row(row, names) for row in rows],
        "places": max(map(_places, counts), default=0),
        "sums": {name: _sum([row[name] for row in rows if row["quantity_e8"] or row[name]]) for name in names},
        "sizings": sizings,
        **_mark_ages(held),
    }


def _position_row(row: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    shown = {name: row[name] for name in ("symbol", "quantity_e8", "is_reduce_only", *names)}
    return {**shown, "entry": price_e8(row["entry_e8"]), "mark": price_e8(row["mark_e8"])}


def _sizing_row(row: dict[str, Any]) -> dict[str, Any]:
    answer = row["answer"]
    sizing = answer["sizing"]
    return {
        "symbol": answer["symbol"],
        "policy": answer["policyId"],
        "signal": answer["signal"],
        "base_e8": parse_decimal_e8(sizing["base"], "base"),
        "width": sizing["width"],
        "sigmoid": sizing["sigmoid"],
        "weight": sizing["portfolioWeight"],
        "target_e8": parse_decimal_e8(sizing["targetSize"], "targetSize"),
        "is_cash": answer["policyId"] == "cash",
    }


def _sum(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _places(count_e8: int) -> int:
    """How many decimals a count of 1e-8 has."""
    return len(f"{abs(count_e8) % 10**8:08d}".rstrip("0"))


def decisions_context() -> dict[str, Any]:
    """The newest decisions, one line each, with the reason in words."""
    rows = [_decision_row(found) for found in selectors.decisions_latest(SHOWN_DECISIONS)]
    places = max((_places(row["size_e8"]) for row in rows if row["size_e8"] is not None), default=0)
    return {"rows": rows, "places": places}


def _decision_row(found: dict[str, Any]) -> dict[str, Any]:
    answer = found["answer"]
    sent, requested = (parse_decimal_e8(answer[name], name) for name in ("finalSize", "requestedSize"))
    told = happened(answer["status"], answer["side"])
    is_refused = answer["status"] in ("blocked", "rejected")
    return {
        "ts_ms": found["ts_ms"],
        "audit_id": answer["auditId"],
        "symbol": answer["symbol"],
        "policy": answer["policyId"] or {"person": "a person", "flatten": "flatten"}.get(found["source"], "—"),
        "side": answer["side"] or "",
        "status": told.words,
        "tone": told.tone,
        "signal": answer["signal"],
        "size_e8": sent or (requested if is_refused else None),
        "is_sent": sent > 0,
        "price": price(answer["fillPrice"]),
        "slippage_bps": answer["slippageBps"],
        "why": answer["detail"] or _why_sent(found["source"], answer),
    }


def _why_sent(source: str, answer: dict[str, Any]) -> str:
    if source != "router":
        return "Closed by a person." if source == "flatten" else "Ordered by a person."
    target, held = answer["sizing"]["targetSize"], answer["position"]["before"]["quantity"]
    return f"Target {target}, held {held}."


def router_context() -> dict[str, Any]:
    """What the router believed at its newest decision on each symbol, read from that decision's own record."""
    ids = {row["answer"]["symbol"]: row["answer"]["auditId"] for row in selectors.router_decisions_latest()}
    records = audit_many(list(ids.values()))
    documents = {name: record_document(records[ids[name]]) for name in ids if ids[name] in records}
    symbols = [_router_head(symbol, documents.get(symbol)) for symbol in settings.SYMBOLS]
    beliefs = {symbol: _beliefs(documents.get(symbol)) for symbol in settings.SYMBOLS}
    names = list(dict.fromkeys(name for arms in beliefs.values() for name in arms))
    cells = [{"name": name, "cells": [beliefs[symbol].get(name) for symbol in settings.SYMBOLS]} for name in names]
    return {"symbols": symbols, "arms": cells, "horizon_bars": settings.HORIZON_BARS}


def _router_head(symbol: str, document: dict[str, Any] | None) -> dict[str, Any]:
    context = (document or {}).get("context") or {}
    terms = ((document or {}).get("inputs") or {}).get("terms") or {}
    return {
        "symbol": symbol,
        "regime": plain(context["regime"]["label"]) if "regime" in context else None,
        "ts_ms": document["tsMs"] if document else None,
        "audit_id": document["auditId"] if document else None,
        "is_router_on": bool(terms.get("is_router_on", 1)),
    }


def _beliefs(document: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    policy = (document or {}).get("policy")
    if not policy:
        return {}
    chosen = (policy["choice"] or {}).get("policyId")
    return {
        arm["policyId"]: {
            "probability": arm["probBest"],
            "mean": arm["mean"],
            "sd": arm["sd"],
            "is_chosen": arm["policyId"] == chosen,
            "closed": gate_words(arm["gate"]),
        }
        for arm in policy["posterior"]
    }


def _register() -> None:
    for card in (
        cards.Card("equity", "Equity", "execution/cards/equity.html", equity_context, order=10, span=7, query_budget=7),
        cards.Card(
            "positions",
            "Positions and sizing",
            "execution/cards/positions.html",
            positions_context,
            order=30,
            span=7,
            query_budget=len(settings.SYMBOLS) + 2,
        ),
        cards.Card(
            "router",
            "Router",
            "execution/cards/router.html",
            router_context,
            order=40,
            span=5,
            query_budget=len(settings.SYMBOLS) + 1,
        ),
        cards.Card(
            "decisions",
            "Last decisions",
            "execution/cards/decisions.html",
            decisions_context,
            order=50,
            span=12,
            query_budget=1,
        ),
        cards.Card(
            "controls",
            "Controls",
            "execution/cards/controls.html",
            controls_context,
            order=55,
            span=12,
            query_budget=4,
        ),
        cards.Card(
            "honesty",
            "How fills come about",
            "execution/cards/honesty.html",
            honesty_context,
            order=85,
            ttl_s=5.0,
            span=5,
            query_budget=5,
        ),
    ):
        cards.register(card)


_register()
