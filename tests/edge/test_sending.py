"""Bodies that are at hand and larger than a socket takes: the reactor writes them by turns."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import trio

from parparchik.edge import Limits
from parparchik.model import Answer, FileBlock
from tests.edge.conftest import Known, Running, read_all, read_until, running, until
from tests.edge.streams import get, reply
from tests.mounts import ReadyBlocks

FILE_BYTES = 24 << 20
"""More than the buffers of a loopback connection hold."""


class AtHand(ReadyBlocks):
    """Whoever waits for a block of it fails."""

    async def read(self) -> FileBlock | None:
        raise AssertionError("it is at hand")


@dataclass
class Endless:
    """The same block again and again, until `stop`."""

    block: FileBlock
    stop: bool = False
    given: int = 0
    closed: trio.Event = field(default_factory=trio.Event)

    def read_nowait(self) -> FileBlock | None:
        self.given += 1
        return None if self.stop else self.block

    async def read(self) -> FileBlock | None:
        raise AssertionError("it is at hand")

    def close(self) -> None:
        self.closed.set()


@pytest.fixture
def data() -> bytes:
    return os.urandom(FILE_BYTES)


@pytest.fixture
def fd(tmp_path: Path, data: bytes) -> Iterator[int]:
    path = tmp_path / "file"
    path.write_bytes(data)
    with path.open("rb") as file:
        yield file.fileno()


def at(up: Running, *blocks: FileBlock | bytes | trio.Event, length: int | None = None) -> AtHand:
    """What is at /s from now on."""
    content = AtHand(blocks)
    up.routes.questions[b"/s"] = Known(content.answer(length))
    return content


async def test_nobody_waits_for_what_is_at_hand(up: Running, fd: int, data: bytes) -> None:
    half = FILE_BYTES // 2
    content = at(up, b"<", FileBlock(fd, 0, half), b"", FileBlock(fd, half, half), b">")
    async with await up.connect() as stream:
        await stream.send_all(get())
        _, body = await reply(stream)
        assert body == b"<" + data + b">"
        assert content.closed.is_set()
        await stream.send_all(get(b"/2"))
        assert b"http://s3/2" in (await reply(stream))[0]
    assert up.traffic.sent().total == len(body)


async def test_requests_behind_a_large_file_are_answered_in_their_turn(
    up: Running, fd: int, data: bytes
) -> None:
    content = at(up, FileBlock(fd, 0, FILE_BYTES))
    async with await up.connect() as stream:
        await stream.send_all(get(b"/1") + get() + get(b"/2") + get(b"/3"))
        assert b"http://s3/1" in (await reply(stream))[0]
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert not content.closed.is_set()
        assert (await reply(stream))[1] == data
        assert b"http://s3/2" in (await reply(stream))[0]
        assert b"http://s3/3" in (await reply(stream))[0]


async def test_what_is_sent_amid_a_large_file_waits(up: Running, fd: int, data: bytes) -> None:
    content = at(up, FileBlock(fd, 0, FILE_BYTES))
    async with await up.connect() as stream:
        await stream.send_all(get())
        await until(lambda: content.reads)
        await stream.send_all(get(b"/2"))
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert b"/2" not in up.routes.questions
        assert (await reply(stream))[1] == data
        assert b"http://s3/2" in (await reply(stream))[0]


async def test_a_fast_client_of_very_much_leaves_the_others_their_turns(
    up: Running, fd: int
) -> None:
    content = Endless(FileBlock(fd, 0, FILE_BYTES))
    answer = Answer(200, kind="site", content=content, open_ended=True)
    up.routes.questions[b"/s"] = Known(answer)

    def take_all() -> None:
        """In a thread: as fast as it comes, whatever the edge's own loop is at."""
        with socket.create_connection(up.listener.getsockname()) as fast:
            fast.sendall(b"GET /s HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
            while fast.recv(1 << 20):
                pass

    async with await up.connect() as other, trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, take_all)
        await until(lambda: content.given > 3)
        for number in range(20):
            await other.send_all(get(b"/%d" % number))
            assert b"http://s3/%d" % number in await read_until(other, b"\r\n\r\n")
        assert not content.closed.is_set()
        content.stop = True
        await content.closed.wait()


async def test_many_large_files_at_once_arrive_whole(up: Running, fd: int, data: bytes) -> None:
    up.routes.questions[b"/s"] = question = Known(None)
    contents: list[AtHand] = []

    def make() -> Answer:
        contents.append(AtHand((FileBlock(fd, 0, FILE_BYTES),)))
        return contents[-1].answer()

    question.answer_nowait = make  # type: ignore[method-assign]

    async def fetch() -> None:
        async with await up.connect() as stream:
            await stream.send_all(get())
            assert (await reply(stream))[1] == data

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(fetch)
    assert len(contents) == 8
    assert all(content.closed.is_set() for content in contents)


async def test_a_client_that_leaves_amid_a_file(up: Running, fd: int) -> None:
    content = at(up, FileBlock(fd, 0, FILE_BYTES))
    async with await up.connect() as stream:
        await stream.send_all(get())
        await stream.receive_some(1000)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with trio.fail_after(10):
        await content.closed.wait()
        await until(lambda: not up.edge.count)
    assert up.traffic.requests() == (("site", 200, 1),)
    assert 0 < up.traffic.sent().total < FILE_BYTES


async def test_a_client_that_only_ends_its_side_gets_the_file(
    up: Running, fd: int, data: bytes
) -> None:
    content = at(up, FileBlock(fd, 0, FILE_BYTES))
    async with await up.connect() as stream:
        await stream.send_all(get())
        await stream.send_eof()
        await until(lambda: content.reads)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert (await read_all(stream)).endswith(data)


async def test_a_client_that_takes_nothing_of_a_file_is_given_up(fd: int) -> None:
    async with running(Limits(write_timeout_s=1.5)) as up:
        content = at(up, FileBlock(fd, 0, FILE_BYTES))
        async with await up.connect() as stream:
            await stream.send_all(get())
            with trio.fail_after(20):
                await content.closed.wait()
            assert dict(up.edge.statistics().timed_out) == {"write": 1}
            assert up.edge.count == 0
            assert up.traffic.requests() == (("site", 200, 1),)


async def test_draining_amid_a_file_lets_it_end(up: Running, fd: int, data: bytes) -> None:
    at(up, FileBlock(fd, 0, FILE_BYTES))
    async with await up.connect() as stream, trio.open_nursery() as nursery:
        await stream.send_all(get() + get(b"/2"))
        await stream.receive_some(1)
        nursery.start_soon(up.edge.drain)
        await trio.testing.wait_all_tasks_blocked(0.01)
        rest = await read_all(stream)
    at_end = rest.index(data) + FILE_BYTES
    assert b"http://s3/2" in rest[at_end:]
    assert b"connection: close" in rest[at_end:]


async def test_a_file_while_draining_is_the_last_answer(up: Running, fd: int, data: bytes) -> None:
    at(up, FileBlock(fd, 0, FILE_BYTES))
    async with await up.connect() as stream, trio.open_nursery() as nursery:
        await stream.send_all(get(b"/1"))
        await read_until(stream, b"\r\n\r\n")
        nursery.start_soon(up.edge.drain)
        await trio.testing.wait_all_tasks_blocked(0.01)
        await stream.send_all(get())
        head, _, body = (await read_all(stream)).partition(b"\r\n\r\n")
    assert b"connection: close" in head
    assert body == data


async def test_aborting_amid_a_file_closes_it(up: Running, fd: int) -> None:
    content = at(up, FileBlock(fd, 0, FILE_BYTES))
    async with await up.connect() as stream:
        await stream.send_all(get())
        await stream.receive_some(1)
        up.edge.abort()
        assert len(await read_all(stream)) < FILE_BYTES
    assert content.closed.is_set()
    assert up.traffic.requests() == (("site", 200, 1),)


async def test_a_file_that_gets_shorter_as_it_is_sent_never_looks_whole(
    up: Running, tmp_path: Path
) -> None:
    path = tmp_path / "shrinks"
    path.write_bytes(bytes(FILE_BYTES))
    with path.open("rb") as file:
        content = at(up, FileBlock(file.fileno(), 0, FILE_BYTES))
        async with await up.connect() as stream:
            await stream.send_all(get())
            await stream.receive_some(1)
            os.truncate(path, 0)
            with pytest.raises(trio.BrokenResourceError):
                await read_all(stream)
    assert content.closed.is_set()
    assert up.edge.statistics().truncated == 1


async def test_the_rest_of_a_body_may_have_to_be_waited_for(
    up: Running, fd: int, data: bytes
) -> None:
    """The reactor begins, and a task goes on: also where the client has not taken all by then."""
    gate = trio.Event()
    content = ReadyBlocks((b"<", FileBlock(fd, 0, FILE_BYTES), gate, b">"))
    up.routes.questions[b"/s"] = Known(content.answer())
    async with await up.connect() as stream:
        await stream.send_all(get() + get(b"/2"))
        received = await read_until(stream, data[-100:])
        assert not content.closed.is_set()
        gate.set()
        received += await read_until(stream, b"\r\n\r\n")
    _, _, rest = received.partition(b"\r\n\r\n")
    assert rest.startswith(b"<" + data + b">HTTP/1.1 302")


async def test_each_answer_is_announced_as_what_it_is(up: Running) -> None:
    """Also where the request and the headers are the very same."""
    headers = ((b"x", b"y"),)
    answers = [
        Answer(200, headers, kind="site", length=3),
        Answer(206, headers, kind="site", length=3),
        Answer(200, headers, kind="site", length=6),
        Answer(200, headers, kind="other", length=6),
        Answer(200, ((b"x", b"z"),), kind="other", length=6),
        Answer(200, headers, kind="site", open_ended=True),
    ]
    up.routes.questions[b"/s"] = question = Known(answers[0])
    async with await up.connect() as stream:
        for answer in [*answers[:1] * 3, *answers]:
            body = b"abcdef" if answer.length == 6 else b"abc"
            question.known = replace(answer, content=AtHand([body]))
            await stream.send_all(get())
            if answer.open_ended:
                received = await read_until(stream, b"\r\n0\r\n\r\n")
                assert b"transfer-encoding: chunked" in received
            else:
                head, received = await reply(stream)
                assert head.startswith(b"HTTP/1.1 %d " % answer.status)
                assert b"\r\nx: %b\r\n" % answer.headers[0][1] in head
                assert received == body
    assert sorted(up.traffic.requests()) == [
        ("other", 200, 2),
        ("site", 200, 6),
        ("site", 206, 1),
    ]
    assert up.traffic.sent().total == 3 * 5 + 6 * 3 + 3
