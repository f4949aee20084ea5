"""Log output to look at, with the process's logging put back afterwards."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import structlog

from parparchik.config.model import LogConfig
from parparchik.server import configure_logging


class Logged(io.StringIO):
    """Where logs go; `configure` once, then log, then look."""

    terminal = False

    def isatty(self) -> bool:
        return self.terminal

    def configure(self, config: LogConfig | None = None, *, secrets: tuple[str, ...] = ()) -> None:
        configure_logging(config or LogConfig(format="json"), secrets=secrets, stream=self)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(line) for line in self.getvalue().splitlines()]

    def named(self, event: str) -> list[dict[str, Any]]:
        return [each for each in self.events if each["event"] == event]


@pytest.fixture
def logged() -> Iterator[Logged]:
    root = logging.getLogger()
    before = structlog.get_config(), root.handlers[:], root.level
    root.handlers = []
    stream = Logged()
    stream.configure()
    yield stream
    structlog.configure(**before[0])
    root.handlers, root.level = before[1], before[2]
