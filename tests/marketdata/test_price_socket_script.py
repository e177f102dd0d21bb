"""The shipped socket script, run by a real browser in a world where time is a number: it comes back, gently."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.support.chromium import chromium

pytestmark = pytest.mark.browser
ROOT = Path(__file__).resolve().parents[2]
N_BROWSERS = 500
PEAK_SHARE, ALL_BACK_S = 0.20, 60.0


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with chromium() as browser:
        page = browser.new_page()
        page.add_script_tag(path=ROOT / "static" / "pricesocket.js")
        page.add_script_tag(path=Path(__file__).with_name("price_socket_world.js"))
        yield page


def act(page: Page, script: str) -> Any:
    """Run a scene: `world`, `desk`, `heard` and one browser's `socket`, with a frame every 100 ms."""
    return page.evaluate(
        "() => { const world = new World(7), desk = new Desk(world, 100), heard = [];"
        f"const socket = browserOf(world, desk, heard); const line = () => [...desk.lines][0]; {script} }}"
    )


OUTAGES = [("refusing", 10), ("refusing", 60), ("swallowing", 40), ("swallowing", 60)]


def come_back(page: Page, kind: str, outage_s: int, seed: int) -> None:
    scene = {"browsers": N_BROWSERS, "outageMs": outage_s * 1000, "kind": kind, "seed": seed}
    found = page.evaluate("(scene) => storm(scene)", scene)
    print(
        f"{N_BROWSERS} browsers, {outage_s} s {kind}: peak {found['peakShare']:.1%} of them in a second, "
        f"all back after {found['lastBackS']:.1f} s (seed {seed})"
    )
    assert found["back"] == N_BROWSERS, f"seed {seed}"
    assert found["peakShare"] <= PEAK_SHARE, f"seed {seed}"
    assert found["lastBackS"] <= ALL_BACK_S, f"seed {seed}"


@pytest.mark.parametrize(("kind", "outage_s"), OUTAGES)
def test_five_hundred_browsers_come_back_without_a_storm(page: Page, kind: str, outage_s: int) -> None:
    come_back(page, kind, outage_s, seed=1)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 40))
@pytest.mark.parametrize(("kind", "outage_s"), OUTAGES)
def test_they_come_back_whatever_the_dice_say(page: Page, kind: str, outage_s: int, seed: int) -> None:
    come_back(page, kind, outage_s, seed)


def test_it_acknowledges_often_enough_to_be_sent_prices_without_a_pause(page: Page) -> None:
    sent = act(page, "world.run(60000); return line().sent;")
    seqs, times = [ack["ack"] for ack in sent], [ack["at"] for ack in sent]
    assert max(b - a for a, b in zip([0, *seqs], seqs, strict=False)) <= 32
    assert max(b - a for a, b in zip([0, *times], times, strict=False)) <= 6_000


def test_it_acknowledges_in_a_quiet_market_too(page: Page) -> None:
    times = act(page, "desk.frameMs = 10000; world.run(60000); return line().sent.map((ack) => ack.at);")
    assert len(times) >= 10 and max(b - a for a, b in zip([0, *times], times, strict=False)) <= 6_000


def test_a_gap_in_the_numbers_leads_to_a_new_snapshot(page: Page) -> None:
    script = (
        "world.run(3000); const first = line(); first.seq += 3; world.run(3100 + 5100);"
        "return [desk.accepted.length, first.readyState, heard.filter((m) => m.type === 'snapshot').length,"
        "        socket.isOpen, desk.lines.size];"
    )
    assert act(page, script) == [2, 3, 2, True, 1]


def test_without_a_gap_it_stays(page: Page) -> None:
    assert act(page, "world.run(300000); return [desk.attempts.length, socket.attempts];") == [1, 0]


def test_a_connection_that_says_nothing_is_given_up(page: Page) -> None:
    script = "world.run(5000); line().isFed = false; world.run(60000); return [desk.attempts.length, socket.isOpen];"
    assert act(page, script) == [2, True]


def test_an_attempt_that_hangs_is_given_up(page: Page) -> None:
    script = (
        "world.run(1000); desk.outage('swallowing'); line().end(1006); world.run(2000); const hanging = socket.socket;"
        "world.run(50000); const tried = desk.attempts.length; desk.mode = 'up'; world.run(90000);"
        "return [hanging.readyState, tried >= 3, socket.isOpen];"
    )
    assert act(page, script) == [3, True, True]


def test_waits_grow_while_connections_do_not_last(page: Page) -> None:
    """A desk that accepts and then fails must not be asked at full speed."""
    script = (
        "const crash = () => { for (const each of [...desk.lines]) if (each.readyState === 1) each.end(4500);"
        "world.later(crash, 500); }; crash(); world.run(600000); return desk.attempts.length;"
    )
    assert act(page, script) < 80  # half a cap apart on average once the waits have grown


@pytest.mark.parametrize(("code", "words"), [(4400, "refused by the desk"), (4401, "sign in to see live prices")])
def test_a_refusal_is_final(page: Page, code: int, words: str) -> None:
    script = f"world.run(1000); line().end({code}); world.run(300000); return [desk.attempts.length, socket.ended];"
    assert act(page, script) == [1, words]
