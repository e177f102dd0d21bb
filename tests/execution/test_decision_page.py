"""The page that explains a decision: every kind of outcome, in words and numbers that are the record's own."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from django.test import Client

from apps.audit.records import StoredRecord
from apps.audit.selectors import audit_head, audit_latest
from apps.dashboard.detail import Section
from apps.engine.features import FEATURE_NAMES
from apps.execution.explanation import words
from apps.execution.explanation.choice import arms_section, sizing_section, switch_costs
from apps.execution.explanation.costs import fill_costs
from apps.execution.explanation.outcome import title, verdict
from apps.execution.explanation.page import explanation, whole_document
from apps.execution.explanation.trade import guards_section, order_section, position_section

ADDRESS = "http://localhost:5000"


class Text(HTMLParser):
    """The words of a page."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.words: list[str] = []
        self.feed(body.decode())

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())

    @property
    def whole(self) -> str:
        return " ".join(word for word in self.words if word)


@pytest.fixture
def client() -> Client:
    return Client(headers={"host": "localhost:5000", "accept": "text/html"})


@pytest.fixture
def find(traded: tuple[str, ...]) -> Callable[..., tuple[StoredRecord, dict[str, Any]]]:
    """The newest record of a decision with this source, status and, when given, reason."""

    def one(source: str, status: str, reason: str | None = None) -> tuple[StoredRecord, dict[str, Any]]:
        for record in audit_latest(300, "execution.decision"):
            document = whole_document(record)
            outcome = document["outcome"]
            if (outcome["source"], outcome["status"]) == (source, status) and reason in (None, outcome["reason"]):
                return record, document
        raise LookupError(f"no decision of {source} ended in {status}")

    return one


def cells(section: Section | None) -> list[list[str]]:
    assert section is not None and section.table is not None
    return [[cell.text for cell in row] for row in section.table.cells]


def pairs(section: Section | None) -> dict[str, str]:
    assert section is not None
    return {label: cell.text for label, cell in section.items}


def test_the_page_of_every_kind_of_decision_is_whole(find: Any, client: Client) -> None:
    kinds = [
        ("router", "filled", None),
        ("router", "no_trade", "within_band"),
        ("router", "no_trade", "cash_chosen"),
        ("router", "no_trade", "context_missing"),
        ("person", "filled", None),
        ("person", "blocked", "global_cap"),
        ("flatten", "filled", None),
    ]
    for kind in kinds:
        record, document = find(*kind)
        response = client.get(f"/decisions/{record.audit_id}")
        assert response.status_code == 200, kind
        text = Text(response.content).whole
        for told in (title(document), verdict(document, "BTC").text.split(". ")[0], record.record_hash):
            assert told in text, (kind, told)
        assert not re.findall(r"\b(?:None|nan|inf|True|False)\b", text.split("The whole record")[0]), kind
        assert f"curl -s -X POST {ADDRESS}/api/audit/{record.audit_id}/replay" in text


def test_looking_writes_nothing(find: Any, client: Client) -> None:
    record, _ = find("router", "filled")
    before = audit_head()
    assert client.get(f"/decisions/{record.audit_id}/").status_code == 200
    assert client.head(f"/decisions/{record.audit_id}").status_code == 200
    assert client.post(f"/decisions/{record.audit_id}").status_code == 405
    assert audit_head() == before


def test_an_unknown_id_is_a_page_that_says_so(traded: Any, client: Client) -> None:
    response = client.get("/decisions/ad0000000000000000000000")
    assert response.status_code == 404
    assert b"There is nothing at this address" in response.content
    api = client.get("/decisions/ad0000000000000000000000", headers={"accept": "application/json"})
    assert api.headers["Content-Type"] == "application/problem+json"


def test_a_change_of_a_control_has_a_page_too(traded: Any, client: Client) -> None:
    record = audit_latest(1, "execution.epoch")[0]
    text = Text(client.get(f"/decisions/{record.audit_id}").content).whole
    assert "A change of the desk, not a decision." in text and "first start" in text


def test_the_printed_line_replays_the_decision(find: Any, client: Client) -> None:
    record, _ = find("person", "filled")
    replayed = client.post(f"/api/audit/{record.audit_id}/replay", headers={"accept": "application/json"})
    assert replayed.json()["matches"] is True


def test_the_sentence_of_a_trade_names_policy_chance_target_and_holding(find: Any) -> None:
    _, document = find("router", "filled")
    choice, sizing = document["policy"]["choice"], document["sizing"]
    side = {"BUY": "Bought", "SELL": "Sold"}[document["order"]["side"]]
    sentence = verdict(document, "BTC").text
    assert sentence.startswith(f"{side} {document['order']['quantity']} BTC at ")
    assert f"The draw fell on {choice['policyId']}, which had a probability of " in sentence
    held = document["position"]["before"]["quantity"]
    assert sentence.endswith(f"The target was {sizing['targetSize']} BTC and {held} BTC was held.")


def test_the_sentence_of_a_refusal_has_the_guards_numbers(find: Any) -> None:
    _, document = find("person", "blocked")
    (cap,) = [guard for guard in document["guards"] if guard["name"] == "global_cap"]
    observed = f"{int(cap['observed']) / 1e8:,.2f} USDT"
    assert verdict(document, "BTC").text == (
        "Blocked: asked to buy 9 BTC. The gross notional of all positions would exceed MAX_NOTIONAL. "
        f"Global cap: {observed}, limit 250,000.00 USDT."
    )
    assert title(document).startswith("Why was BTCUSDT not bought at ")


def test_the_draw_falls_in_the_range_of_the_chosen_arm(find: Any) -> None:
    record, document = find("router", "filled")
    rows = cells(arms_section(document, record.content))
    assert [row[0] for row in rows] == [arm["policyId"] for arm in document["policy"]["posterior"]]
    (chosen,) = [row for row in rows if row[-1] == "chosen"]
    low, high = (float(edge) for edge in chosen[6].split(" – "))
    assert chosen[0] == document["policy"]["choice"]["policyId"]
    assert low <= round(document["policy"]["u"], 4) <= high
    assert float(rows[-1][6].split(" – ")[1]) == 1.0


def test_the_cost_of_switching_is_fee_spread_and_impact_of_the_turnover(find: Any) -> None:
    record, document = find("router", "no_trade", "cash_chosen")
    costs = switch_costs(record.content)
    assert costs["cash"] == 0.0
    for arm in document["policy"]["posterior"][:-1]:
        # Nothing is held: the turnover is the signal itself, and impact only adds to 12 bps of fee and half-spread.
        scale = document["context"]["sigmaBar"] * 5**0.5
        least = 12e-4 * abs(arm["signal"]) / scale
        assert least <= costs[arm["policyId"]] <= 2 * least


def test_the_factors_multiply_to_the_target(find: Any) -> None:
    _, document = find("router", "filled")
    rows = {row[0]: row[1] for row in cells(sizing_section(document, "BTC"))}
    base = float(rows["Base"].removesuffix(" USDT").replace(",", ""))
    product = base * float(rows["× sigmoid(−width)"]) * float(rows["× portfolio weight"]) * float(rows["× signal"])
    amount = float(rows["= amount"].removesuffix(" USDT").replace(",", ""))
    mark = float(document["position"]["markPrice"])
    assert amount == pytest.approx(product, rel=1e-3)
    assert float(rows["= target"].removesuffix(" BTC")) == pytest.approx(amount / mark, abs=2e-5)


def test_guards_speak_in_units_for_people(find: Any) -> None:
    _, document = find("person", "filled")
    rows = {row[0]: row[1:4] for row in cells(guards_section(document, "BTC"))}
    assert rows["exchange filters"] == ["ALLOW", "1 BTC", "0.00001 BTC"]
    assert rows["stale data"] == ["ALLOW", "7 ms", "5.0 s"]
    assert rows["trading state"] == ["ALLOW", "ACTIVE", "ACTIVE"]
    assert rows["rolling drawdown"][2] == "5.00\u202f%"
    assert rows["free balance"][2].endswith(" USDT")


def test_fills_are_told_level_by_level_with_what_they_cost(find: Any) -> None:
    _, document = find("person", "filled")
    costs, levels = fill_costs(document), cells(order_section(document, "BTC"))
    assert [row[2] for row in levels] == ["0.4", "0.4", "0.2"]
    assert costs.slippage_bps == pytest.approx(costs.drift_bps + costs.depth_bps, rel=1e-3)
    # The mid rose by 2 dollars on the way; then 1, 2 and 3 dollars above it were paid for 0.4, 0.4 and 0.2 BTC.
    assert costs.drift_bps == pytest.approx(2 / costs.seen_mid_e8 * 1e12, rel=1e-2)
    assert costs.depth_bps == pytest.approx(1.8 / costs.seen_mid_e8 * 1e12, rel=1e-2)


def test_the_account_moves_by_the_notional_and_the_fee(find: Any) -> None:
    _, document = find("person", "filled")
    rows = {row[0]: row[1:] for row in cells(position_section(document, "BTC"))}
    before, after = document["position"]["before"], document["position"]["after"]
    assert rows["Position"][2] == "+1 BTC"
    spent = float(before["cash"]) - float(after["cash"])
    assert rows["Cash"][2] == f"−{spent:,.2f} USDT"


def test_a_persons_order_has_no_section_about_a_policy(find: Any) -> None:
    record, _ = find("person", "filled")
    titles = [section.title for section in explanation(record, asset="BTC", address=ADDRESS)["sections"]]
    assert "Which policy" not in titles and "How large" not in titles
    assert {"Guards", "Order and fills", "Account", "Proof", "Replay"} <= set(titles)


def test_bytes_that_were_changed_are_not_explained(find: Any) -> None:
    record, _ = find("router", "filled")
    shown = explanation(record._replace(body=b"{broken"), asset="", address=ADDRESS)
    assert shown["verdict"].tone == "bad"
    assert "cannot be believed" in shown["verdict"].text


def test_every_feature_and_every_gate_is_described() -> None:
    assert set(words.FEATURE_WORDS) == set(FEATURE_NAMES)
    assert words.gate_words(0) == ""
    assert words.gate_words(5) == "warming up, not active"
    assert all(words.gate_words(1 << bit) for bit in range(3))


@pytest.mark.parametrize(
    ("count", "unit", "told"),
    [
        ("28616405000000", "quote_e8", "286,164.05 USDT"),
        ("150000", "lots", "1.5 BTC"),
        ("42", "bps", "0.42\u202f%"),
        ("4200", "ms", "4.2 s"),
        ("900000", "ms", "15 min"),
        ("-1", "ms", "unknown"),
        ("2", "state", "HALTED"),
        ("1", "orders", "1 order"),
        ("6", "orders", "6 orders"),
    ],
)
def test_units(count: str, unit: str, told: str) -> None:
    assert words.in_unit(count, unit, step_e8=1_000, asset="BTC") == told


def test_what_a_person_wrote_cannot_become_markup(traded: Any, client: Client) -> None:
    from apps.risk.services import kill_engage

    kill_engage(actor="owner:<b>", reason="<script>alert(1)</script>", ts_ms=1_800_000_000_000)
    body = client.get(f"/decisions/{audit_latest(1)[0].audit_id}").content.decode()
    assert "<script>alert" not in body
    assert html.escape("<script>alert(1)</script>") in body
