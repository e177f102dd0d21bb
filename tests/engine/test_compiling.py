"""An empty cache of kernels is filled once, before anything uses it, and only a full one counts as full."""

from __future__ import annotations

from pathlib import Path

import pytest

from tradedesk import compiling


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The parts that ran in this process; an empty cache, and a second half that has little to do."""
    parts: list[str] = []
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kernels"))
    monkeypatch.setattr(compiling, "_SECOND_HALF", "import pathlib; pathlib.Path('second').touch()")
    monkeypatch.setattr(compiling, "BASE_DIR", tmp_path)
    monkeypatch.setattr(compiling, "_deciding", lambda: parts.append("deciding"))
    monkeypatch.setattr(compiling, "_backtest", lambda: parts.append("backtest"))
    return parts


def test_an_empty_cache_is_filled_once_and_says_so(done: list[str], tmp_path: Path) -> None:
    said: list[str] = []
    compiling.kernels_compiled(said.append)
    assert done == ["deciding", "backtest"] and (tmp_path / "second").exists()
    assert [line.split()[1] for line in said] == ["compiling", "deciding", "observing", "backtest"]
    compiling.kernels_compiled(said.append)
    assert done == ["deciding", "backtest"] and len(said) == 4


def test_a_half_that_failed_is_told_and_tried_again(
    done: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said: list[str] = []
    with monkeypatch.context() as broken:
        broken.setattr(compiling, "_SECOND_HALF", "raise SystemExit(3)")
        compiling.kernels_compiled(said.append)
    assert "failed" in said[-1] and not (tmp_path / "kernels" / "complete").exists()
    compiling.kernels_compiled(said.append)
    assert done == ["deciding", "backtest"] * 2 and "failed" not in said[-1]


def test_an_error_in_this_process_leaves_no_second_one_behind(
    done: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken() -> None:
        raise ValueError("no such kernel")

    monkeypatch.setattr(compiling, "_SECOND_HALF", "import time; time.sleep(30); open('late', 'w')")
    monkeypatch.setattr(compiling, "_deciding", broken)
    with pytest.raises(ValueError, match="no such kernel"):
        compiling.kernels_compiled(lambda line: None)
    assert not (tmp_path / "kernels" / "complete").exists()
    assert compiling_children() == []


def compiling_children() -> list[str]:
    """Command lines of processes that sleep for the test above."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if b"open('late'" in words:
            found.append(path.parent.name)
    return found
