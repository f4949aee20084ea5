"""Streamed answers that do not come to a good end: for the body's sake, the client's or ours."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import trio

from parparchik.edge import Limits
from parparchik.errors import Truncated, Unavailable
from parparchik.model import Block, FileBlock
from tests.edge import streams as streams_module
from tests.edge.conftest import Known, Running, read_all, read_until, running, until
from tests.edge.streams import get, reply, streams, until_reset
from tests.mounts import Blocks, ReadyBlocks

BROKEN = {
    "raises": ([b"abc", Truncated("S3 broke off")], 6),
    "crashes": ([b"abc", RuntimeError("a bug")], 6),
    "short": ([b"abc"], 6),
    "long": ([b"abc", b"defg"], 6),
    "raises at the end": ([b"abcdef", Truncated("wrong hash")], 6),
}


@pytest.fixture(params=[Blocks, ReadyBlocks], autouse=True)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a task, and by the reactor."""
    monkeypatch.setattr(streams_module, "of_kind", request.param)


@pytest.mark.parametrize(("blocks", "length"), BROKEN.values(), ids=BROKEN)
async def test_a_body_that_does_not_end_well_never_looks_whole(
    up: Running, blocks: list[Block | Exception], length: int
) -> None:
    content = streams(up, *blocks, length=length)
    async with await up.connect() as stream:
        await stream.send_all(get() + get(b"/2"))
        await until_reset(stream)
    assert content.closed.is_set()
    assert up.edge.statistics().truncated == 1
    assert up.edge.count == 0
    assert b"/2" not in [request.target for request in up.routes.asked]


async def test_a_file_that_is_too_short_is_a_broken_body(up: Running, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"short")
    with path.open("rb") as file:
        content = streams(up, FileBlock(file.fileno(), 0, 6))
        async with await up.connect() as stream:
            await stream.send_all(get())
            await until_reset(stream)
    assert content.closed.is_set()
    assert up.edge.statistics().truncated == 1


async def test_a_file_that_cannot_be_read_is_a_broken_body(up: Running, tmp_path: Path) -> None:
    content = streams(up, FileBlock(os.open(tmp_path, os.O_RDONLY), 0, 6))
    async with await up.connect() as stream:
        await stream.send_all(get())
        await until_reset(stream)
    assert content.closed.is_set()
    assert up.edge.statistics().truncated == 1


async def test_what_fails_before_anything_was_said_is_answered(up: Running) -> None:
    content = streams(up, Unavailable("S3 is away", retry_after_s=7), length=6)
    async with await up.connect() as stream:
        await stream.send_all(get(b"/1") + get() + get(b"/2"))
        assert b"http://s3/1" in (await reply(stream))[0]
        head, body = await reply(stream)
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 7\r\n" in head
        assert body == b'{"error":"S3 is away"}'
        assert b"http://s3/2" in (await reply(stream))[0]
    assert content.closed.is_set()
    assert up.edge.statistics().truncated == 0
    assert ("site", 503, 1) in up.traffic.requests()


async def test_a_client_that_leaves_closes_the_content(up: Running) -> None:
    content = streams(up, b"abc", trio.Event())
    async with await up.connect() as stream:
        await stream.send_all(get())
        await read_until(stream, b"abc")
        # With bytes unread, or this, closing is a reset.
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with trio.fail_after(10):
        await content.closed.wait()
        await until(lambda: not up.edge.count)
    assert up.traffic.requests() == (("site", 200, 1),)


@pytest.mark.parametrize("sends", [b"", get(b"/2")])
async def test_a_client_that_closes_in_order_is_waited_for_a_moment(
    up: Running, sends: bytes
) -> None:
    content = streams(up, trio.Event(), length=3)
    async with await up.connect() as stream:
        await stream.send_all(get())
        await until(lambda: content.reads)
        await stream.send_all(sends)
    with trio.fail_after(10):
        await content.closed.wait()
        await until(lambda: not up.edge.count)
    assert (("other", 499, 1)) in up.traffic.requests()


async def test_a_client_that_only_ends_its_side_gets_all(up: Running) -> None:
    gate = trio.Event()
    block = os.urandom(1 << 20)
    streams(up, b"abc", gate, *[block] * 20)
    async with await up.connect() as stream:
        await stream.send_all(get())
        await read_until(stream, b"abc")
        await stream.send_eof()
        gate.set()
        data = await read_all(stream)
    assert data == block * 20


async def test_a_client_that_leaves_amid_a_large_block(up: Running) -> None:
    content = streams(up, *[bytes(1 << 20)] * 64)
    async with await up.connect() as stream:
        await stream.send_all(get())
        await until(lambda: content.reads > 1)
    with trio.fail_after(10):
        await content.closed.wait()
        await until(lambda: not up.edge.count)


async def test_a_client_that_stops_reading_is_given_up() -> None:
    async with running(Limits(write_timeout_s=1.5)) as up:
        content = streams(up, *[bytes(1 << 20)] * 64)
        async with await up.connect() as stream:
            await stream.send_all(get())
            with trio.fail_after(20):
                await content.closed.wait()
            assert dict(up.edge.statistics().timed_out) == {"write": 1}
            assert up.edge.count == 0


async def test_a_client_that_reads_slowly_is_not() -> None:
    """There is room in the kernel's buffer again only when a good part of it has been taken."""
    async with running(Limits(write_timeout_s=1.5)) as up:
        content = streams(up, *[bytes(1 << 20)] * 64)
        async with await up.connect() as stream:
            # A larger one that was full says for seconds that it has no room.
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
            await stream.send_all(get())
            await until(lambda: content.reads > 1)
            for _ in range(16):
                await trio.testing.wait_all_tasks_blocked()
                await stream.receive_some(65_536)
                await trio.sleep(0.25)
            assert not content.closed.is_set()
            assert up.edge.count == 1


async def test_draining_waits_for_a_stream(up: Running) -> None:
    gate = trio.Event()
    streams(up, b"abc", gate, b"def")
    async with await up.connect() as stream, trio.open_nursery() as nursery:
        await stream.send_all(get())
        await read_until(stream, b"abc")
        nursery.start_soon(up.edge.drain)
        await trio.sleep(1.2)
        gate.set()
        assert await stream.receive_some() == b"def"
        assert await stream.receive_some() == b""


async def test_aborting_ends_a_stream(up: Running) -> None:
    content = streams(up, b"abc", trio.Event(), length=6)
    async with await up.connect() as stream:
        await stream.send_all(get())
        await read_until(stream, b"abc")
        up.edge.abort()
        assert await stream.receive_some() == b""
        await content.closed.wait()


async def test_the_end_of_the_edge_closes_what_streams() -> None:
    async with running() as up:
        content = streams(up, b"abc", trio.Event(), length=6)
        stream = await up.connect()
        await stream.send_all(get())
        await read_until(stream, b"abc")
    await stream.aclose()
    assert content.closed.is_set()


async def test_an_answer_that_comes_when_its_client_has_left_is_closed(up: Running) -> None:
    content, question = streams_module.of_kind([b"abc"]), Known(None)
    up.routes.questions[b"/s"] = question
    async with await up.connect() as stream:
        await stream.send_all(get())
        await until(lambda: up.routes.asked)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    await until(lambda: not up.edge.count)
    question.tell(content.answer())
    await content.closed.wait()
    await until(lambda: ("other", 499, 1) in up.traffic.requests())
