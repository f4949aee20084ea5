"""What is written for eyes: tables, the progress bar, and nothing that commands the terminal."""

from __future__ import annotations

import io
import sys

import pytest

from parparchik.cli.progress_bar import progress_bar
from parparchik.cli.table import printable, table
from parparchik.config import LogConfig


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_columns_are_aligned_in_wide_letters_too() -> None:
    rows = [("A", "B"), ("漢字", "x"), ("abc", "")]
    assert table(rows) == "A     B\n漢字  x\nabc"


@pytest.mark.parametrize(("text", "shown"), [("a б", "a б"), ("\x1b[31m\n", "\\x1b[31m\\x0a")])
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_the_bar_is_for_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert progress_bar(LogConfig()) is None
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert progress_bar(LogConfig()) is not None
    assert progress_bar(LogConfig(format="json")) is None


def test_the_bar_fills_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    show = progress_bar(LogConfig())
    assert show is not None
    for done in (0, 5, 10):
        show("reconciling", done, 10)
    show("listing buckets", 2000, 0)
    show("ready", 0, 0)
    drawn = terminal.getvalue().split("\r\x1b[K")[1:]
    assert [line.count("#") for line in drawn] == [0, 15, 30, 0, 0]
    assert "5 of 10" in drawn[1]
    assert drawn[3] == "listing buckets 2000\r"
    assert drawn[4] == ""
