"""Streamed answers at /s of an edge, and what clients get of them."""

from __future__ import annotations

import pytest
import trio

from tests.edge.conftest import Known, Running, read_all
from tests.mounts import Blocks, Reads

of_kind: type[Blocks] = Blocks
"""Bodies that are waited for or, for other tests, at hand."""


def get(target: bytes = b"/s", *, method: bytes = b"GET") -> bytes:
    return b"%b %b HTTP/1.1\r\nHost: t\r\n\r\n" % (method, target)


def streams(up: Running, *blocks: Reads, length: int | None = None) -> Blocks:
    """What is at /s from now on."""
    content = of_kind(blocks)
    up.routes.questions[b"/s"] = Known(content.answer(length))
    return content


async def reply(stream: trio.SocketStream) -> tuple[bytes, bytes]:
    """(head, body) of the next answer."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += await stream.receive_some(1)
    length = next(
        (int(x.split(b": ")[1]) for x in head.split(b"\r\n") if x.startswith(b"content-length")), 0
    )
    body = bytearray()
    while len(body) < length:
        piece = await stream.receive_some(min(65_536, length - len(body)))
        assert piece, "the body ended early"
        body += piece
    return head, bytes(body)


async def until_reset(stream: trio.SocketStream) -> None:
    with pytest.raises(trio.BrokenResourceError):
        await read_all(stream)
