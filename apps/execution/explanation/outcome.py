"""What happened, in one plain sentence and a title that asks the reader's question."""

from __future__ import annotations

from typing import Any, NamedTuple

from apps.dashboard import formats
from apps.dashboard.detail import Cell, Section
from apps.execution.explanation import words
from apps.execution.explanation.costs import fill_costs

DONE = {"BUY": "Bought", "SELL": "Sold"}
VERBS = {"BUY": "buy", "SELL": "sell"}
REFUSALS = {"blocked": "Blocked", "rejected": "Rejected", "expired": "Expired"}
SOURCES = {"router": "the router", "person": "a person's order", "flatten": "a flatten"}


class Told(NamedTuple):
    """A status in words, and how serious it is."""

    words: str
    tone: str


def happened(status: str, side: str | None) -> Told:
    """The status of a decision, such as `Bought` or `No trade`."""
    if status == "filled":
        return Told(DONE.get(side or "", "Filled"), "good")
    if status == "partial":
        return Told(f"{DONE.get(side or '', 'Filled')} in part", "warn")
    if status == "open":
        return Told("Waiting", "good")
    return Told(REFUSALS.get(status, "No trade"), "warn" if status in REFUSALS else "")


def title(document: dict[str, Any]) -> str:
    """The question this page answers."""
    order, status = document["order"], document["outcome"]["status"]
    when = formats.time_short(document["tsMs"])
    if order is None:
        return f"Why no trade in {document['symbol']} at {when}?"
    if status == "open":
        return f"Why an order to {VERBS[order['side']]} {document['symbol']} at {when}?"
    done = {"BUY": "bought", "SELL": "sold"}[order["side"]]
    denial = "" if status in ("filled", "partial") else "not "
    return f"Why was {document['symbol']} {denial}{done} at {when}?"


def verdict(document: dict[str, Any], asset: str) -> Cell:
    """The outcome in one sentence."""
    outcome, order = document["outcome"], document["order"]
    told = happened(outcome["status"], order and order["side"])
    if outcome["status"] in ("filled", "partial"):
        return Cell(_filled(document, told, asset), told.tone)
    if outcome["status"] == "no_trade":
        return Cell(f"No trade: {_lowered(outcome['detail'] or '')} {_chosen(document)}".strip(), told.tone)
    if outcome["status"] == "open":
        size = words.quantity(order["quantity"], asset)
        return Cell(f"Accepted and waiting: an order to {VERBS[order['side']]} {size} has not filled yet.", told.tone)
    wanted = f"{VERBS[order['side']]} {words.quantity(order['quantity'], asset)}" if order else "decide"
    return Cell(
        f"{told.words}: asked to {wanted}. {outcome['detail'] or ''} {_worst_guard(document, asset)}".strip(), told.tone
    )


def _filled(document: dict[str, Any], told: Told, asset: str) -> str:
    costs = fill_costs(document)
    size = words.quantity(costs.quantity_text, asset)
    sentence = f"{told.words} {size} at {words.price_e8(costs.price_e8)} on average. "
    sizing = document["sizing"]
    if sizing is None:
        who = SOURCES.get(document["outcome"]["source"], "an order")
        sentence += f"It was {who}, from {document['actor']}; no policy chose it."
    else:
        sentence += (
            f"{_chosen(document)} The target was {words.quantity(sizing['targetSize'], asset)} "
            f"and {words.quantity(document['position']['before']['quantity'], asset)} was held."
        )
    detail = document["outcome"]["detail"]
    return f"{sentence} {detail}" if detail else sentence


def _chosen(document: dict[str, Any]) -> str:
    """Which policy won the draw, and what it wanted."""
    choice = (document["policy"] or {}).get("choice")
    if choice is None:
        return ""
    name, signal = choice["policyId"], formats.number(choice["signal"], 2, signed=True)
    wants = "" if name == "cash" else f" and signals {signal}"
    if not document["inputs"]["terms"]["is_router_on"]:
        return f"The router is off; {name} stands in{wants}."
    return f"The draw fell on {name}, which had a probability of {formats.percent(choice['propensity'], 1)}{wants}."


def _lowered(sentence: str) -> str:
    """A sentence that goes on after a colon; a word in capitals stays as it is."""
    return sentence if sentence[1:2].isupper() else sentence[:1].lower() + sentence[1:]


def _worst_guard(document: dict[str, Any], asset: str) -> str:
    """The numbers of the guard that gave the reason: of the worst verdict the first, by name, that could tell."""
    ranks = {"REDUCE": 1, "DENY": 2, "HALT": 3}
    stopped = [guard for guard in document["guards"] or [] if guard["verdict"] in ranks]
    if not stopped:
        return ""
    worst = max(stopped, key=lambda guard: (ranks[guard["verdict"]], not guard.get("isUnknown")))
    unit = words.unit_of(worst)
    if unit == "state" or worst.get("isUnknown"):
        return ""
    step = int(document["inputs"]["filters"]["step_e8"])
    observed, limit = (words.in_unit(worst[name], unit, step_e8=step, asset=asset) for name in ("observed", "limit"))
    return f"{words.plain(worst['name']).capitalize()}: {observed}, limit {limit}."


def _canary(rehearsal: dict[str, Any]) -> str:
    return "disabled" if rehearsal["status"] == "disabled" else formats.percent(rehearsal["weight"], 0)


def summary_section(document: dict[str, Any], asset: str) -> Section:
    """The few numbers that a reader wants first."""
    outcome, position = document["outcome"], document["position"]
    order, choice = document["order"], (document["policy"] or {}).get("choice")
    told = happened(outcome["status"], order and order["side"])
    costs = fill_costs(document)
    before, after = (words.quantity(position[name]["quantity"], asset) for name in ("before", "after"))
    pairs: list[tuple[str, Cell | str]] = [
        ("Outcome", Cell(told.words, told.tone)),
        ("Reason code", Cell(outcome["reason"], mono=True) if outcome["reason"] else "none needed"),
        ("Asked by", f"{document['actor']} ({SOURCES.get(outcome['source'], outcome['source'])})"),
        ("Policy", choice["policyId"] if choice else "none"),
        ("Position", before if before == after else f"{before} → {after}"),
        ("Canary", _canary(document["rehearsal"])),
    ]
    if costs.n_fills:
        pairs += [
            ("Average price", words.price_e8(costs.price_e8)),
            ("Slippage", formats.bps(costs.slippage_bps, signed=True)),
            ("Fee", words.money(costs.fee_text)),
        ]
    if outcome["source"] != "router" and document.get("reason"):
        pairs.append(("Reason given", document["reason"]))
    return Section("In short", pairs=pairs)
