"""What the browser is given: nothing inline, colors that can be read, and vendored files that are what they say."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "static"
VENDOR = STATIC / "vendor"
# One file that is saved and sent on: it carries its own style and script, and no page of the desk includes it.
OWN = {f"templates/research/{name}.html" for name in ("standalone", "chart")}
SELF_CONTAINED = OWN | {f"templates/research/{name}.html" for name in ("report", "divergence", "walkforward")}
INLINE = {"an inline style", "an inline script"}
FORBIDDEN = {
    "an inline style": re.compile(r"<style\b|\sstyle\s*=", re.I),
    "an inline script": re.compile(r"<script\b(?![^>]*\ssrc=)", re.I),
    "an event handler": re.compile(r"<[^>]*\son[a-z]+\s*=", re.I),
    "hx-on": re.compile(r"\s(?:data-)?hx-on", re.I),
    "evaluated htmx values": re.compile(
        r"hx-(?:vals|headers|request|vars)\s*=\s*['\"]\s*(?:js|javascript):|hx-vars", re.I
    ),
    "a javascript: address": re.compile(r"javascript:", re.I),
    "an unescaped value": re.compile(r"\|\s*safe\b|\{%\s*autoescape\s+off", re.I),
    "a file from elsewhere": re.compile(r"<(?:script|link|img)\b[^>]*(?:src|href)\s*=\s*['\"](?:https?:)?//", re.I),
}


def faults(html: str) -> list[str]:
    return [name for name, pattern in FORBIDDEN.items() if pattern.search(html)]


def templates() -> list[Path]:
    return sorted([*(ROOT / "templates").rglob("*.html"), *(ROOT / "apps").rglob("templates/**/*.html")])


@pytest.mark.parametrize("path", templates(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_template_holds_nothing_that_the_policy_would_block(path: Path) -> None:
    allowed = INLINE if str(path.relative_to(ROOT)) in OWN else set()
    assert set(faults(path.read_text())) <= allowed


def test_no_page_includes_what_is_self_contained() -> None:
    pages = [path for path in templates() if str(path.relative_to(ROOT)) not in SELF_CONTAINED]
    named = [name for name in SELF_CONTAINED for page in pages if Path(name).name in page.read_text()]
    assert named == []


@pytest.mark.parametrize(
    ("html", "fault"),
    [
        ('<p style="color:red">', "an inline style"),
        ("<style>p{}</style>", "an inline style"),
        ("<script>alert(1)</script>", "an inline script"),
        ('<script type="application/json">{}</script>', "an inline script"),
        ('<button class="a" onclick="x()">', "an event handler"),
        ('<button hx-on:click="x()">', "hx-on"),
        ("<a hx-vals='js:{a: 1}'>", "evaluated htmx values"),
        ('<a href="javascript:void(0)">', "a javascript: address"),
        ("{{ value|safe }}", "an unescaped value"),
        ('<script src="https://unpkg.com/htmx.org"></script>', "a file from elsewhere"),
    ],
)
def test_the_lint_names_a_fault(html: str, fault: str) -> None:
    assert fault in faults(html)


def test_the_lint_lets_the_ordinary_pass() -> None:
    assert (
        faults('<script src="/static/app.js" defer></script><p data-one="1" hx-headers=\'{"A": "b"}\'>on time</p>')
        == []
    )


def manifest() -> list[dict[str, str]]:
    return json.loads((VENDOR / "VENDOR.json").read_text())


@pytest.mark.parametrize("row", manifest(), ids=lambda row: row["name"])
def test_a_vendored_file_is_what_the_manifest_says(row: dict[str, str]) -> None:
    assert hashlib.sha256((VENDOR / row["file"]).read_bytes()).hexdigest() == row["sha256"]
    assert len((VENDOR / row["licenceFile"]).read_text()) > 300


def test_nothing_is_vendored_beside_the_manifest() -> None:
    present = {str(path.relative_to(VENDOR)) for path in VENDOR.rglob("*") if path.is_file()}
    listed = {row[key] for row in manifest() for key in ("file", "licenceFile")}
    assert present == listed | {"VENDOR.json"}


def test_the_manifest_is_what_the_script_pins() -> None:
    spec = importlib.util.spec_from_file_location("vendor_script", ROOT / "scripts" / "vendor.py")
    assert spec and spec.loader
    script = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = script  # dataclasses look their module up
    spec.loader.exec_module(script)
    pinned = [(package.name, package.version, package.licence) for package in script.PACKAGES]
    assert pinned == [(row["name"], row["version"], row["licence"]) for row in manifest()]


def luminance(color: str) -> float:
    channels = [int(color[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted([luminance(one), luminance(other)])
    return (lighter + 0.05) / (darker + 0.05)


def colors(mode: int) -> dict[str, str]:
    """The tokens of one mode, 0 light and 1 dark."""
    text = (STATIC / "tokens.css").read_text()
    pairs = {
        name: (light, dark) for name, light, dark in re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", text)
    }
    single = dict(re.findall(r"--([\w-]+): (#\w{6});", text))
    return {name: pair[mode] for name, pair in pairs.items()} | single


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["bg", "surface", "raised"])
@pytest.mark.parametrize("ink", ["ink", "muted", "link", "up", "down", "warn"])
def test_text_can_be_read(mode: int, ground: str, ink: str) -> None:
    """WCAG 2.2 AA, 1.4.3: at least 4.5 to 1."""
    assert contrast(colors(mode)[ink], colors(mode)[ground]) >= 4.5


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_text_on_color_can_be_read(mode: int) -> None:
    tokens = colors(mode)
    assert contrast(tokens["on-amber"], tokens["amber"]) >= 4.5
    assert contrast(tokens["on-amber"], tokens["amber-dark"]) >= 4.5
    assert contrast(tokens["surface"], tokens["down"]) >= 4.5
    assert contrast(tokens["surface"], tokens["link"]) >= 4.5
    assert contrast(tokens["focus"], tokens["surface"]) >= 3


def test_black_on_white_is_the_greatest_contrast() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
