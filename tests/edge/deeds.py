"""What acts behind an edge, and requests that have it act."""

from __future__ import annotations

import trio

from parparchik.errors import Forbidden
from parparchik.model import Action, Answer, Request, Upload
from tests.mounts import Blocks


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
