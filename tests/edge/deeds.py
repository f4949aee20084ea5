"""What acts behind an edge, and requests that have it act."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

import outcome
import trio

from parparchik.errors import Forbidden
from parparchik.model import Action, Answer, Request, Unfinished, Upload, WholeUpload
from tests.mounts import Blocks
from tests.soon import soon

Then = Callable[[Answer | Unfinished[Answer]], None]


class Deeds:
    """Acts at /m/, by the target; `done` has what was asked for and the body that came of it."""

    def __init__(self) -> None:
        self.done: list[tuple[str, bytes, bytes]] = []
        self.sizes: list[int | None] = []
        self.go_on = trio.Event()

    def act(self, request: Request) -> Action | None:
        if request.target == b"/m/crash":
            raise RuntimeError("boom")
        if not request.target.startswith(b"/m/"):
            return None

        async def do(upload: Upload) -> Answer:
            self.sizes.append(upload.size_bytes)
            if request.target == b"/m/bug":
                raise RuntimeError("boom")
            if request.target == b"/m/forbidden":
                raise Forbidden("not here")
            if request.target == b"/m/waits":
                await self.go_on.wait()
            body = b""
            if request.target != b"/m/unread":
                while piece := await upload.read():
                    body += piece
                assert await upload.read() == b""
            self.done.append((request.method, request.target, body))
            if request.target == b"/m/content":
                return Blocks([b"one", b"two"]).answer()
            return Answer(201, ((b"location", b"http://s3" + request.target),), kind="mount")

        return Action(do)


class PromptDeeds(Deeds):
    """The same without a task of the edge's, but for errors: a task raises them."""

    def act(self, request: Request) -> Action | None:
        action = super().act(request)
        return None if action is None else Action(action.do, partial(self._soon, action.do))

    def _soon(
        self, do: Callable[[Upload], Awaitable[Answer]], upload: WholeUpload, then: Then
    ) -> bool:
        def tell(came: outcome.Outcome[Answer]) -> None:
            async def finish() -> Answer:
                return came.unwrap()

            then(came.value if isinstance(came, outcome.Value) else Unfinished(finish))

        soon(do, upload, then=tell)
        return True


class Kept(NamedTuple):
    target: bytes
    upload: WholeUpload
    then: Then


class KeptDeeds(Deeds):
    """What is begun without a task is in `kept` until a test says what came of it. /m/declines
    never is, and /m/fails raises; `done` has what a task did."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Kept] = []

    def act(self, request: Request) -> Action | None:
        action = super().act(request)
        return None if action is None else Action(action.do, partial(self._soon, request.target))

    def _soon(self, target: bytes, upload: WholeUpload, then: Then) -> bool:
        if target == b"/m/fails":
            raise RuntimeError("boom")
        if target == b"/m/declines":
            return False
        self.kept.append(Kept(target, upload, then))
        return True


def put(
    body: bytes,
    target: bytes = b"/m/k",
    *lines: bytes,
    method: bytes = b"PUT",
    version: bytes = b"HTTP/1.1",
) -> bytes:
    length = b"Content-Length: %d" % len(body)
    first = b"%b %b %b" % (method, target, version)
    return b"\r\n".join([first, b"Host: a", length, *lines, b"", body])
