"""How does one thing explain itself on a page? Titled sections of pairs, tables and JSON, ready to print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


@dataclass(frozen=True)
class Cell:
    """One value ready to print. `tone` is up, down, flat, good, warn or bad; `mono` for hashes and codes."""

    text: str
    tone: str = ""
    href: str = ""
    mono: bool = False
    is_number: bool = False


@dataclass(frozen=True)
class Table:
    """Rows under headings. A heading that ends in `>` is a column of numbers; a plain string is a cell."""

    headings: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    caption: str = ""
    empty: str = "Nothing here."

    @property
    def columns(self) -> list[tuple[str, bool]]:
        return [(heading.removesuffix(">"), heading.endswith(">")) for heading in self.headings]

    @property
    def cells(self) -> list[list[Cell]]:
        """The rows as cells, numbers marked as such by their column."""
        flags = [is_number for _, is_number in self.columns]
        return [[_cell(value, flag) for value, flag in zip(row, flags, strict=True)] for row in self.rows]


@dataclass(frozen=True)
class Section:
    """A part of the page: a sentence, pairs of label and value, a table, a block of JSON; each may be absent."""

    title: str
    note: str = ""
    pairs: Sequence[tuple[str, Cell | str]] = ()
    table: Table | None = None
    json: str = ""
    is_folded: bool = False

    @property
    def items(self) -> list[tuple[str, Cell]]:
        return [(label, _cell(value, False)) for label, value in self.pairs]


def detail_response(
    request: HttpRequest,
    *,
    title: str,
    sections: Sequence[Section],
    subtitle: str = "",
    verdict: Cell | None = None,
    links: Sequence[tuple[str, str]] = (),
) -> HttpResponse:
    """The detail page. `verdict` is the one line to read first; `links` are (label, address) beside the title."""
    context = {"title": title, "subtitle": subtitle, "verdict": verdict, "sections": sections, "links": links}
    return render(request, "dashboard/detail.html", context)


def _cell(value: Cell | str, is_number: bool) -> Cell:
    if isinstance(value, Cell):
        return Cell(value.text, value.tone, value.href, value.mono, value.is_number or is_number)
    return Cell(value, is_number=is_number)
