"""Bars as the exchange's dump would hold them."""

from __future__ import annotations

from pathlib import Path

from apps.engine.decimals import e8_text
from apps.engine.values import Bars


def write_klines(path: Path, bars: Bars, *, interval_ms: int = 60_000) -> Path:
    """A raw dump of twelve columns; the file's name tells symbol and interval."""
    rows = [
        ",".join(
            [str(row[0]), *(e8_text(count) for count in row[1:6]), str(row[0] + interval_ms - 1), "0", str(row[6])]
            + ["0", "0", "0"]
        )
        for row in zip(*(column.tolist() for column in bars), strict=True)
    ]
    path.write_text("\n".join(rows) + "\n")
    return path
