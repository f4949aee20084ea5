"""The rooms keep their order: DESIGN's import rules, held against every file."""

from __future__ import annotations

import pytest

from tests.layering import ORDER, OWNERS, PURE, SIDE_DOORS, Module, complaints, modules, packages

PACKAGES = packages()


@pytest.mark.parametrize("module", list(modules()), ids=lambda module: module.name or "parparchik")
def test_the_rules_are_kept(module: Module) -> None:
    assert list(complaints(module, PACKAGES)) == []


def test_every_file_is_in_a_room() -> None:
    assert {module.room for module in modules()} == {"", *ORDER}


def test_every_pure_module_and_every_side_door_exists() -> None:
    names = {module.name for module in modules()}
    assert names >= PURE
    assert names >= SIDE_DOORS.keys()


def test_every_library_is_used_by_its_owner() -> None:
    used = {
        (library, module.room)
        for module in modules()
        for library in OWNERS
        if f"import {library}" in module.source or f"from {library}" in module.source
    }
    assert used == {(library, room) for library, rooms in OWNERS.items() for room in rooms}


FORBIDDEN = {
    "to the right": ("registry.x", "from parparchik.routes import Responder"),
    "to the right, in a function": (
        "s3.x",
        "def f():\n    from parparchik.registry import Service",
    ),
    "to the right, relative": ("s3.x", "from ..registry import Service"),
    "to the right, as a module": ("s3.x", "import parparchik.registry"),
    "to the right, for types only": (
        "errors",
        "import typing\nif typing.TYPE_CHECKING:\n    from parparchik.model import Entry",
    ),
    "past the door": ("routes.x", "from parparchik.registry.entries import pack"),
    "past the door, as a module": ("routes.x", "import parparchik.registry.entries"),
    "past the door of a room in a room": (
        "server.x",
        "from parparchik.s3.credentials.sts import x",
    ),
    "a private name": ("registry.x", "from parparchik.registry.entries import _BATCH"),
    "a private name of a library": ("s3.x", "from httpx import _client"),
    "the package itself": ("web.x", "from parparchik import cli"),
    "somebody else's library": ("web.x", "import httpx"),
    "somebody else's library, a part": ("web.x", "from hypercorn.config import Config"),
    "a library nobody knows": ("s3.x", "import requests"),
    "another event loop": ("registry.entries", "import asyncio"),
    "the environment": ("config.x", "import os\nos.environ['A']"),
    "the environment, asked": ("s3.x", "import os\nos.getenv('A')"),
    "printing": ("server.x", "print('hello')"),
    "exiting": ("server.x", "import sys\nsys.exit(1)"),
    "exiting, raised": ("server.x", "raise SystemExit(1)"),
    "a hidden import": ("s3.x", "import importlib\nimportlib.import_module('quart')"),
    "a pure module with a clock": ("registry.entries", "import time"),
    "a pure module with trio": ("routes.target", "import trio"),
    "a pure module with dates of today": ("rfc.dates", "from datetime import date\ndate.today()"),
    "a pure module with files": ("s3.xml", "open('x')"),
    "a pure module with paths": ("routes.answers", "from pathlib import Path"),
    "a pure module that waits": ("registry.manifest", "async def f() -> None: ..."),
    "a pure module on an impure one": (
        "registry.manifest",
        "from parparchik.registry.writer import PersistFailed",
    ),
    "a pure module on an impure room": ("routes.target", "from parparchik.registry import Service"),
}
ALLOWED = {
    "to the left": ("routes.x", "from parparchik.registry import Service"),
    "within the room": ("s3.x", "from parparchik.s3.pool import Pool"),
    "within the room, relative": ("s3.x", "from .pool import Pool"),
    "the settings": ("registry.x", "from parparchik.config.model import RoutesConfig"),
    "a room in a room": ("server.x", "from parparchik.s3.credentials import CredentialStores"),
    "the version": ("metrics.x", "from parparchik import __version__"),
    "one's own library": ("web.x", "from quart_trio import QuartTrio"),
    "what cli may": ("cli.x", "import os, sys\nprint(os.environ)\nsys.exit(2)"),
    "a pure module on pure ones": (
        "registry.manifest",
        "from parparchik.rfc import format_iso8601",
    ),
    "a Protocol of what waits": (
        "model",
        "from typing import Protocol\nclass P(Protocol):\n    async def f(self) -> None: ...",
    ),
}
DOORS = {
    "logic": '"""Room."""\nx = 1\n__all__ = []',
    "a condition": '"""Room."""\nif True:\n    from parparchik.s3.pool import Pool\n__all__ = []',
    "no idea": "__all__ = []",
    "more than it shows": '"""Room."""\nfrom parparchik.s3.pool import Pool\n__all__ = []',
}


@pytest.mark.parametrize("case", FORBIDDEN)
def test_what_is_forbidden_is_noticed(case: str) -> None:
    assert list(complaints(Module(*FORBIDDEN[case]), PACKAGES))


@pytest.mark.parametrize("case", ALLOWED)
def test_what_is_allowed_is_let_pass(case: str) -> None:
    assert list(complaints(Module(*ALLOWED[case]), PACKAGES)) == []


@pytest.mark.parametrize("case", DOORS)
def test_a_door_with_something_behind_it_is_noticed(case: str) -> None:
    assert list(complaints(Module("s3", DOORS[case], is_package=True), PACKAGES))
