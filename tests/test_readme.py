"""The README says what the program does, where a machine can tell."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from parparchik.cli.program import main
from parparchik.config import settings_markdown
from parparchik.web.endpoints import ENDPOINTS

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_the_configuration_table_is_that_of_the_settings() -> None:
    shown = re.search(r"<!-- settings -->\n(.*?)<!-- /settings -->", README, re.DOTALL)
    assert shown is not None
    assert shown[1] == settings_markdown(), "parparchik settings --markdown gives the table"


@pytest.mark.parametrize("path", [path for endpoint in ENDPOINTS for path in endpoint.paths])
def test_every_endpoint_is_described(path: str) -> None:
    assert re.search(rf"{re.escape(path)}\b", README)


@pytest.mark.parametrize("command", main.list_commands(click.Context(main)))
def test_every_command_is_described(command: str) -> None:
    assert f"| `{command}" in README
