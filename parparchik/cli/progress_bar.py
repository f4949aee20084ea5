"""How far the start-up is, for who watches a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable

import click

from parparchik.config import LogConfig

_WIDTH = 30
_CLEAR_LINE = "\r\x1b[K"


def progress_bar(config: LogConfig) -> Callable[[str, int, int], object] | None:
    """What shows phase, done and total on standard error; None where nobody looks at it."""
    return None if config.format == "json" or not sys.stderr.isatty() else _show


def _show(phase: str, done: int, total: int) -> None:
    """Ends at the line's beginning: a log line that comes between writes over the bar."""
    if phase == "ready":
        line = ""
    elif total:
        filled = min(_WIDTH * done // total, _WIDTH)
        line = f"{phase} [{'#' * filled:<{_WIDTH}}] {done} of {total}\r"
    else:
        line = f"{phase} {done or ''}\r"
    click.echo(f"{_CLEAR_LINE}{line}", err=True, nl=False)
