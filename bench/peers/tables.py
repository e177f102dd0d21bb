"""How figures are shown: a table for the terminal, the same as Markdown, and a section of docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"


def plain_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns padded to their widest cell; the first is text, the others are numbers and stand right."""
    table = [list(head), *[list(row) for row in rows]]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(cells))
        for cells in (list(zip(row, widths, strict=True)) for row in table)
    ]
    return "\n".join(line.rstrip() for line in lines)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *rows])


def write_section(name: str, text: str, page: Path = PAGE) -> None:
    """Replace what stands between the marks of this name. Raises ValueError when the page has no such marks."""
    start, end = f"<!-- {name}: written by the bench -->", f"<!-- {name}: end -->"
    page_text = page.read_text()
    if page_text.count(start) != 1 or page_text.count(end) != 1 or page_text.index(end) < page_text.index(start):
        raise ValueError(f"{page.name} has no place for {name}: it needs {start} and {end}")
    before, rest = page_text.split(start)
    page.write_text(f"{before}{start}\n\n{text.strip()}\n\n{end}{rest.split(end)[1]}")
