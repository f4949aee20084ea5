"""An edge behind which deeds are kept until a test says what came of them."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
import trio

from parparchik.access import AccessLog, JSONLines
from parparchik.model import Answer, Unfinished
from tests.edge.conftest import Running, running, until
from tests.edge.deeds import Kept, KeptDeeds
from tests.edge.test_edge import SAFETY_S
from tests.mounts import Blocks

CLOSES = b"\r\nconnection: close\r\n\r\n"


@dataclass
class Scene:
    """`deeds` behind an edge that is `up`; its access log goes to `lines`."""

    up: Running
    deeds: KeptDeeds
    lines: io.StringIO

    async def kept(self, count: int = 1) -> Kept:
        """The last of so many that are begun."""
        await until(lambda: len(self.deeds.kept) >= count)
        assert len(self.deeds.kept) == count
        return self.deeds.kept[-1]

    async def records(self, count: int) -> list[tuple[str, int, str]]:
        """(target, status, kind) of the so many requests that are on record."""
        await until(lambda: self.lines.getvalue().count("\n") >= count)
        lines = [msgspec.json.decode(line) for line in self.lines.getvalue().splitlines()]
        assert len(lines) == count
        return [(line["path"], line["status"], line["kind"]) for line in lines]


@asynccontextmanager
async def kept_deeds() -> AsyncIterator[Scene]:
    async with running() as up:
        scene = Scene(up, KeptDeeds(), io.StringIO())
        access = AccessLog(up.traffic, JSONLines(scene.lines, str))
        up.edge.renew(ask=up.routes.ask, act=scene.deeds.act, access=access)
        with trio.fail_after(SAFETY_S):
            yield scene


def created(target: bytes = b"/m/k") -> Answer:
    return Answer(201, ((b"location", b"http://s3" + target),), kind="mount")


def finish(target: bytes = b"/m/k") -> Unfinished[Answer]:
    async def rest() -> Answer:
        await trio.lowlevel.checkpoint()
        return created(target)

    return Unfinished(rest)


def streamed(content: Blocks) -> Unfinished[Answer]:
    async def rest() -> Answer:
        return content.answer()

    return Unfinished(rest)
