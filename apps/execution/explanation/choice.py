"""Which policy was chosen, on what view of the market, and how its target followed from it?"""

from __future__ import annotations

import math
from typing import Any

from apps.audit.selectors import snapshot_get
from apps.dashboard import formats
from apps.dashboard.detail import Cell, Section, Table
from apps.engine.decision import workspace
from apps.engine.errors import IntegrityBreach, UnknownName
from apps.engine.features import FEATURE_NAMES
from apps.engine.plan import score_inputs_nb
from apps.engine.record import inputs_back
from apps.engine.sizing import MIN_ANNUAL_SIGMA, TARGET_ANNUAL_SIGMA, base_e8_nb
from apps.execution.explanation import words
from apps.execution.explanation.costs import best_e8

MODES = ("tempered Thompson sampling", "an upper confidence bound", "the greedy rule")


def switch_costs(content: dict[str, Any]) -> dict[str, float]:
    """Per policy that could be chosen, and cash: what the router subtracted for moving the position to its target.

    Computed again from the recorded inputs and the stored posterior, in the unit of the reward. Empty where there was
    nothing to score, or where the posterior is not in the store any more.
    """
    try:
        inputs, view = inputs_back(content["inputs"], snapshot_get)
    except (UnknownName, IntegrityBreach):
        return {}
    base = int(base_e8_nb(inputs.desk.equity_e8, inputs.view.sigma_bar, inputs.terms.bars_per_year))
    if view is None or base <= 0 or inputs.view.context_missing:
        return {}
    w = workspace(len(view.policies))
    _, cash = score_inputs_nb(inputs.view, inputs.arms, inputs.gates, inputs.desk, inputs.terms, base, w)
    costs = zip(view.policies, w.costs, w.admissible, strict=True)
    return {**{name: float(cost) for name, cost, is_open in costs if is_open}, "cash": float(cash)}


def context_section(document: dict[str, Any]) -> Section:
    """What the desk saw."""
    context, inputs = document["context"], document["inputs"]
    quote, bar, regime = context.get("quote"), context.get("bar"), context.get("regime")
    arrival_ms = inputs["book_arrival"]["ts_ms"]
    pairs: list[tuple[str, Cell | str]] = [
        ("Bid and ask seen", f"{words.price(quote['bid'])} / {words.price(quote['ask'])}" if quote else "no book"),
        ("Book at arrival", _arrival_text(document) if arrival_ms else "no book"),
        ("Age of the data", words.seconds(context.get("dataAgeMs"))),
    ]
    if arrival_ms and document.get("preparedTsMs"):
        pairs.append(("Prepared to arrival", words.seconds(arrival_ms - document["preparedTsMs"])))
    if bar:
        kind = "grid bar" if bar["isGrid"] else "bar"
        pairs.append((f"Closed {kind} {bar['index']}", f"opened {formats.time_short(bar['openMs'])}"))
    if regime:
        pairs += [
            ("Regime", words.plain(regime["label"])),
            ("Expected age", f"{formats.number(regime['age'], 0)} horizons"),
            ("Chance of a recent change", formats.percent(regime["changeProbability"], 1)),
        ]
    if "sigmaBar" in context:
        pairs.append(("Volatility", f"{formats.percent(_annual_sigma(document), 1)} a year"))
    if context.get("novelty") is not None:
        pairs.append(("Distance from the fitted past", f"{formats.number(context['novelty'], 2)} (1 holds 99 % of it)"))
    return Section("What the desk saw", pairs=pairs, table=_features(context.get("features")))


def _arrival_text(document: dict[str, Any]) -> str:
    bid, ask = (best_e8(document, "book_arrival", side) for side in ("bids", "asks"))
    return f"{words.price_e8(bid)} / {words.price_e8(ask)}"


def _features(values: list[Any] | None) -> Table | None:
    if values is None:
        return None
    rows = [
        (
            name,
            Cell(formats.number(value, 3, signed=True)) if formats.is_number(value) else Cell("missing", "warn"),
            words.FEATURE_WORDS.get(name, ""),
        )
        for name, value in zip(FEATURE_NAMES, values, strict=False)
    ]
    return Table(("Feature", "Value>", "What it measures"), rows, caption="The context vector, each clipped to ±3.")


def arms_section(document: dict[str, Any], content: dict[str, Any]) -> Section | None:
    """Every arm with what was expected of it and its probability; None where the router was not asked."""
    policy = document["policy"]
    if document["outcome"]["source"] != "router":
        return None
    if policy is None:
        return Section("Which policy", note=f"None. {document['outcome']['detail'] or ''}")
    costs, choice = switch_costs(content), policy["choice"]
    rows, edge = [], 0.0
    for arm in policy["posterior"]:
        rows.append(_arm_row(arm, edge, costs, choice and choice["policyId"]))
        edge += arm["probBest"]
    headings = (
        "Policy",
        "Signal>",
        "Expected reward>",
        "± sd>",
        "Cost of switching>",
        "Probability>",
        "Draws that choose it>",
        "",
    )
    return Section("Which policy", note=_how_chosen(document), table=Table(headings, rows))


def _arm_row(arm: dict[str, Any], edge: float, costs: dict[str, float], chosen: str | None) -> tuple[Cell | str, ...]:
    name, probability = arm["policyId"], arm["probBest"]
    closed = words.gate_words(arm["gate"])
    cost = costs.get(name)
    mark = Cell("chosen", "good") if name == chosen else Cell(closed and f"closed: {closed}", "warn" if closed else "")
    span = f"{edge:.4f} – {edge + probability:.4f}" if probability > 0 else formats.MISSING
    return (
        name,
        formats.number(arm.get("signal", 0.0), 2, signed=True),
        words.reward(arm["mean"]),
        formats.number(arm["sd"], 3),
        formats.number(cost, 3),
        formats.percent(probability, 2),
        span,
        mark,
    )


def _how_chosen(document: dict[str, Any]) -> str:
    policy, inputs = document["policy"], document["inputs"]
    if not inputs["terms"]["is_router_on"]:
        return "The flag StrategyRouter is off: the fallback policy trades where it may, else cash."
    horizon = inputs["terms"]["horizon_bars"]
    unit = (
        f"Rewards and costs are in standard deviations of the return over {horizon} bars; the cost of switching the "
        "position to an arm's target counts against it. "
    )
    if policy["choice"] is None:
        return f"{unit}No arm was chosen. {document['outcome']['detail'] or ''}"
    mode, chosen = MODES[inputs["router"]["mode"]], policy["choice"]["policyId"]
    return f"{unit}Chosen by {mode}: the one draw, u = {policy['u']:.4f}, falls in the range of {chosen}."


def _annual_sigma(document: dict[str, Any]) -> float:
    return float(document["context"]["sigmaBar"] * math.sqrt(document["inputs"]["terms"]["bars_per_year"]))


def sizing_section(document: dict[str, Any], asset: str) -> Section | None:
    """The target, factor by factor, and the order that follows from it; None where no arm was chosen."""
    sizing = document["sizing"]
    if sizing is None:
        return None
    held = document["position"]["before"]["quantity"]
    rows: list[tuple[Cell | str, ...]] = [
        *(() if document["policy"]["choice"]["policyId"] == "cash" else _factors(document)),
        ("= target", words.quantity(sizing["targetSize"], asset), "rounded down to the lot"),
        ("− held", words.quantity(held, asset), "before the decision"),
        ("Requested", words.quantity(sizing["requestedSize"], asset), "the difference"),
        ("Sent", words.quantity(sizing["finalSize"], asset), _sent_words(document)),
    ]
    return Section("How large", table=Table(("Factor", "Value>", "Where it comes from"), rows))


def _factors(document: dict[str, Any]) -> list[tuple[Cell | str, ...]]:
    """base × sigmoid(-width) × portfolio weight × signal, and their product at the mark."""
    sizing, choice, position = document["sizing"], document["policy"]["choice"], document["position"]
    sigma = max(_annual_sigma(document), MIN_ANNUAL_SIGMA)
    base_e8 = words.e8_of(sizing["base"]) or 0
    product = round(base_e8 * sizing["sigmoid"] * sizing["portfolioWeight"] * choice["signal"])
    width = f"width {formats.number(sizing['width'], 4)}: 80 % interval of the expected reward, in sd"
    return [
        ("Base", words.money(sizing["base"]), _base_words(position["before"]["equity"], sigma)),
        ("× sigmoid(−width)", formats.number(sizing["sigmoid"], 4), width),
        ("× portfolio weight", formats.number(sizing["portfolioWeight"], 4), "this symbol's share"),
        ("× signal", formats.number(choice["signal"], 4, signed=True), f"of {choice['policyId']}"),
        ("= amount", formats.money(product), f"at the mark of {words.price(position['markPrice'])}"),
    ]


def _base_words(equity: str, sigma: float) -> str:
    target = formats.percent(TARGET_ANNUAL_SIGMA, 0)
    return f"equity {words.money(equity)} × min(1, {target} / {formats.percent(sigma, 1)} volatility)"


def _sent_words(document: dict[str, Any]) -> str:
    outcome = document["outcome"]
    if outcome["reason"] == "within_band":
        band = document["inputs"]["terms"]["rebalance_band_bps"] / 10_000
        return f"the band is {formats.percent(band, 0)} of the target"
    if outcome["status"] == "no_trade":
        return outcome["detail"] or ""
    return (
        "stopped by a guard"
        if outcome["status"] in ("blocked", "rejected")
        else "guards pass an order whole or not at all"
    )
