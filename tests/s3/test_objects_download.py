"""Bodies of objects: whole, late, torn, too long, left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import trio

from parparchik.content import Download, Span
from parparchik.errors import Truncated
from parparchik.s3 import S3Client
from tests.s3.downloads import content, opened
from tests.s3.fake_s3 import OBJECT, QUICK, answer, open_objects
from tests.s3.scripted import Peer, ScriptedServer, replying, serve

DATA = bytes(range(256)) * 8_000
HEAD = answer(200, OBJECT, DATA, to_head=True)
CHUNKED = (
    b"HTTP/1.1 206 P\r\nLast-Modified: Tue, 05 May 2026 10:00:00 GMT\r\n"
    b"Content-Range: bytes 0-4/9\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def connections(s3: S3Client) -> tuple[int, int]:
    """Open, and idle of these."""
    [(_, pool)] = s3.statistics().pools
    return pool.open, pool.idle


async def read_all(download: Download, pieces: list[bytes]) -> None:
    while piece := await download.read():
        pieces.append(piece)


async def test_a_large_body(nursery: trio.Nursery, s3: S3Client) -> None:
    server: ScriptedServer = await nursery.start(
        serve, replying(lambda _: answer(200, OBJECT, DATA))
    )
    objects = open_objects(s3, server)
    for _ in range(2):
        assert await content(await objects.open("k")) == DATA
    assert connections(s3) == (1, 1)
    assert server.connections == 1


@pytest.mark.parametrize(
    "reply",
    [answer(200, OBJECT, b"hello"), CHUNKED + b"1\r\nh\r\n4\r\nello\r\n0\r\n\r\n"],
    ids=["length", "chunks"],
)
async def test_byte_by_byte(nursery: trio.Nursery, s3: S3Client, reply: bytes) -> None:
    async def script(peer: Peer) -> None:
        while await peer.request():
            await peer.send(reply, step=1)

    server: ScriptedServer = await nursery.start(serve, script)
    assert await content(await open_objects(s3, server).open("k", span=Span(0, 4))) == b"hello"


@pytest.mark.parametrize("sent", [0, 1, 100_000, len(DATA) - 1])
@pytest.mark.parametrize("end", [Peer.close, Peer.hang_up, Peer.end_sending])
async def test_broken_off(
    nursery: trio.Nursery, s3: S3Client, sent: int, end: Callable[[Peer], object]
) -> None:
    """Never a body that looks whole; and no second try, which nobody could join to the first."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(HEAD + DATA[:sent])
        await end(peer)  # type: ignore[misc]

    server: ScriptedServer = await nursery.start(serve, script)
    download = opened(await open_objects(s3, server).open("k"))
    got: list[bytes] = []
    with pytest.raises(Truncated):
        await read_all(download, got)
    assert b"".join(got) == DATA[: sum(map(len, got))]
    with pytest.raises(Truncated):
        await download.read()
    await download.aclose()
    assert connections(s3) == (0, 0)
    assert len(server.requests) == 1


@pytest.mark.parametrize("rest", [b"", b"3\r\nhel\r\n0\r\n\r\n", b"3\r\nhel\r\nx"])
async def test_chunks_that_end_early(nursery: trio.Nursery, s3: S3Client, rest: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + rest, step=1)

    server: ScriptedServer = await nursery.start(serve, script)
    with pytest.raises(Truncated):
        await content(await open_objects(s3, server).open("k", span=Span(0, 4)))


async def test_chunks_beyond_the_span(nursery: trio.Nursery, s3: S3Client) -> None:
    """Not one of the bytes is passed on of which nobody knows whose they are."""
    reply = CHUNKED + b"2\r\nhe\r\n7\r\nllo you\r\n0\r\n\r\n"

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(reply, step=1)

    server: ScriptedServer = await nursery.start(serve, script)
    download = opened(await open_objects(s3, server).open("k", span=Span(0, 4)))
    got: list[bytes] = []
    with pytest.raises(Truncated):
        await read_all(download, got)
    assert b"hello".startswith(b"".join(got))
    await download.aclose()
    assert connections(s3)[1] == connections(s3)[0]


async def test_bytes_beyond_the_length_are_not_passed_on(
    nursery: trio.Nursery, s3: S3Client
) -> None:
    """Nor is the connection, on which they would be the next answer."""
    reply = answer(200, OBJECT, b"hello")
    server: ScriptedServer = await nursery.start(serve, replying(lambda _: reply + b"HTTP/1.1 2"))
    objects = open_objects(s3, server)
    for _ in range(2):
        assert await content(await objects.open("k")) == b"hello"
    assert server.connections == 2


async def test_silence(nursery: trio.Nursery) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(HEAD + DATA[:1000])
        await peer.closed_by_client()

    server: ScriptedServer = await nursery.start(serve, script)
    s3 = S3Client(replace(QUICK, read_timeout_s=0.1))
    download = opened(await open_objects(s3, server).open("k"))
    with pytest.raises(Truncated, match=r"0\.1 s"), trio.fail_after(5):
        await read_all(download, [])
    assert connections(s3) == (0, 0)
    s3.close()


class TestClosing:
    async def test_in_the_middle(self, nursery: trio.Nursery, s3: S3Client) -> None:
        left = trio.Event()

        async def script(peer: Peer) -> None:
            if not await peer.request():
                return
            await peer.send(HEAD + DATA[:1000])
            assert await peer.closed_by_client()
            left.set()

        server: ScriptedServer = await nursery.start(serve, script)
        download = opened(await open_objects(s3, server).open("k"))
        await download.read()
        with trio.CancelScope() as scope:  # closing needs no permission to wait
            scope.cancel()
            await download.aclose()
        await download.aclose()
        assert connections(s3) == (0, 0)
        with trio.fail_after(5):
            await left.wait()
        with pytest.raises(Truncated):
            await download.read()

    async def test_at_the_end(self, nursery: trio.Nursery, s3: S3Client) -> None:
        server: ScriptedServer = await nursery.start(
            serve, replying(lambda _: answer(200, OBJECT, b"hello"))
        )
        download = opened(await open_objects(s3, server).open("k"))
        assert await download.read() == b"hello"
        await download.aclose()
        assert connections(s3) == (1, 1)

    async def test_what_came_whole_but_was_not_read(
        self, nursery: trio.Nursery, s3: S3Client
    ) -> None:
        server: ScriptedServer = await nursery.start(
            serve, replying(lambda _: answer(200, OBJECT, b"hello"))
        )
        objects = open_objects(s3, server)
        await opened(await objects.open("k")).aclose()
        assert connections(s3)[0] == connections(s3)[1]
        assert await content(await objects.open("k")) == b"hello"


async def test_cancelled_while_reading(nursery: trio.Nursery, s3: S3Client) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(HEAD)
        await peer.closed_by_client()

    server: ScriptedServer = await nursery.start(serve, script)
    download = opened(await open_objects(s3, server).open("k"))
    with trio.move_on_after(0.05) as scope:
        await download.read()
    assert scope.cancelled_caught
    assert connections(s3) == (0, 0)
    with pytest.raises(Truncated):
        await download.read()
    await download.aclose()


async def test_who_stops_reading_stops_the_server(nursery: trio.Nursery, s3: S3Client) -> None:
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.send(
            answer(200, {**OBJECT}, b"", to_head=True).replace(b"h: 0", b"h: 999999999")
        )
        while True:
            await peer.send(DATA)
            sent += len(DATA)

    server: ScriptedServer = await nursery.start(serve, script)
    download = opened(await open_objects(s3, server).open("k"))
    await download.read()
    await trio.testing.wait_all_tasks_blocked(0.05)
    assert sent < 32 << 20
    await download.aclose()
