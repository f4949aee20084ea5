"""Answers whose bodies come as they are sent: what the client gets of them, and who waits."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
import trio

from parparchik.errors import Truncated
from parparchik.model import Answer, FileBlock
from tests.edge import streams as streams_module
from tests.edge.conftest import Known, Running, read_all, read_until, until
from tests.edge.streams import get, reply, streams, until_reset
from tests.mounts import Blocks, ReadyBlocks

END = b"GET /end HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
MANY = 64 << 20
"""More than all buffers of a loopback connection hold."""


@pytest.fixture(params=[Blocks, ReadyBlocks], autouse=True)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a task, and by the reactor."""
    monkeypatch.setattr(streams_module, "of_kind", request.param)


@pytest.fixture
def big(tmp_path: Path) -> Path:
    path = tmp_path / "big"
    block = os.urandom(1 << 20)
    with path.open("wb") as file:
        for number in range(MANY >> 20):
            file.write(number.to_bytes(8, "big") + block[8:])
    return path


async def test_blocks_of_every_kind_make_one_body(up: Running, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"..from a file..")
    with path.open("rb") as file:
        content = streams(
            up,
            *(b"first,", memoryview(b"...viewed,...")[3:-3], b""),
            *(FileBlock(file.fileno(), 2, 11), trio.Event(), b"!"),
        )
        async with await up.connect() as stream:
            await stream.send_all(get())
            await read_until(stream, b"from a file")
            assert not content.closed.is_set()
            last = content.blocks[4]
            assert isinstance(last, trio.Event)
            last.set()
            assert await stream.receive_some() == b"!"
            await content.closed.wait()
            assert up.edge.count == 1


async def test_a_streamed_answer_is_written_like_any_other(up: Running) -> None:
    content = streams(up, b"abc", b"def")
    plain = Known(Answer(200, ((b"x", b"y"),), b"abcdef", "site"))
    up.routes.questions[b"/plain"] = plain
    async with await up.connect() as stream:
        await stream.send_all(get(b"/plain"))
        head, body = await reply(stream)
        await stream.send_all(get())
        other_head, other_body = await reply(stream)
    assert body == other_body == b"abcdef"
    names = [line.split(b": ")[0] for line in head.split(b"\r\n")]
    assert [line.split(b": ")[0] for line in other_head.split(b"\r\n")] == names
    assert content.closed.is_set()
    assert up.traffic.requests() == (("site", 200, 2),)
    assert up.traffic.sent().total == 12


async def test_requests_byte_by_byte(up: Running) -> None:
    streams(up, b"abc")
    async with await up.connect() as stream:
        for byte in get():
            await stream.send_all(bytes([byte]))
            await trio.testing.wait_all_tasks_blocked()
        assert (await reply(stream))[1] == b"abc"


async def test_pipelined_requests_around_a_stream_are_answered_in_order(up: Running) -> None:
    gate = trio.Event()
    streams(up, b"abc", gate, b"def")
    async with await up.connect() as stream:
        await stream.send_all(get(b"/1") + get() + get(b"/2") + END)
        data = await read_until(stream, b"abc")
        assert b"http://s3/1" in data
        assert b"http://s3/2" not in data
        gate.set()
        rest = await read_all(stream)
    assert rest.startswith(b"def")
    assert rest.index(b"http://s3/2") < rest.index(b"http://s3/end")


async def test_what_is_sent_meanwhile_is_answered_behind_it(up: Running) -> None:
    gate = trio.Event()
    streams(up, b"abc", gate, b"def")
    async with await up.connect() as stream:
        await stream.send_all(get())
        await read_until(stream, b"abc")
        await stream.send_all(get(b"/2"))
        await trio.testing.wait_all_tasks_blocked(0.01)
        gate.set()
        await read_until(stream, b"\r\n\r\n")
    assert up.routes.questions[b"/2"]


async def test_a_large_file_arrives_whole_and_others_are_answered_meanwhile(
    up: Running, big: Path
) -> None:
    with big.open("rb") as file:
        blocks = [FileBlock(file.fileno(), n << 23, 1 << 23) for n in range(MANY >> 23)]
        content = streams(up, *blocks)
        async with await up.connect() as stream, await up.connect() as other:
            await stream.send_all(get())
            await until(lambda: content.reads == 1)
            await trio.testing.wait_all_tasks_blocked(0.01)
            await other.send_all(get(b"/o"))  # the first's client reads nothing
            await read_until(other, b"\r\n\r\n")
            _, body = await reply(stream)
            file.seek(0)
            assert hashlib.sha256(body).digest() == hashlib.file_digest(file, "sha256").digest()
            await stream.send_all(get(b"/o"))
            await read_until(stream, b"\r\n\r\n")


async def test_a_large_block_that_is_taken_slowly_arrives_whole(up: Running) -> None:
    block = os.urandom(1 << 20)
    streams(up, *[block] * 20)
    async with await up.connect() as stream:
        await stream.send_all(get())
        _, body = await reply(stream)
    assert body == block * 20


@pytest.mark.parametrize("size", [4_096, 4_097, 70_000, 12 << 20])
async def test_large_ready_bodies_arrive_whole(up: Running, size: int) -> None:
    body = os.urandom(size)
    up.routes.questions[b"/l"] = Known(Answer(200, (), body))
    async with await up.connect() as stream:
        for _ in range(3):  # the third time from memory, if at all
            await stream.send_all(get(b"/l"))
            assert (await reply(stream))[1] == body
        await stream.send_all(get(b"/l") + get(b"/2") + get(b"/l"))
        assert (await reply(stream))[1] == body
        assert b"http://s3/2" in (await reply(stream))[0]
        assert (await reply(stream))[1] == body
    assert not [known for known in up.edge._answering.memo.young.values() if len(known.body) > 4096]


@pytest.mark.parametrize("content", [True, False])
async def test_head_has_the_length_and_no_body(up: Running, content: bool) -> None:
    if content:
        blocks = streams(up, b"abc" * 100)
    else:
        up.routes.questions[b"/s"] = Known(Answer(200, (), length=300))
    async with await up.connect() as stream:
        await stream.send_all(get(method=b"HEAD") * 3 + END)
        data = await read_all(stream)
    assert data.count(b"content-length: 300\r\n") == 3
    assert b"abcabc" not in data
    if content:
        assert blocks.closed.is_set()
        assert blocks.reads == 0


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_without_a_body_have_no_length(up: Running, status: int) -> None:
    blocks = streams_module.of_kind([b"<abc>"])
    up.routes.questions[b"/s"] = Known(Answer(status, (), b"", content=blocks, length=5))
    up.routes.questions[b"/t"] = Known(Answer(status, (), b"<abc>"))
    async with await up.connect() as stream:
        await stream.send_all(get() + get(b"/t") + END)
        data = await read_all(stream)
    assert data.count(b"HTTP/1.1 %d " % status) == 2
    assert data.count(b"content-length") == 1  # the last redirect's
    assert b"<abc>" not in data
    assert blocks.closed.is_set()


async def test_a_body_of_unknown_length_comes_in_chunks_and_the_connection_goes_on(
    up: Running, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"from a file")
    with path.open("rb") as file:
        content = streams_module.of_kind(
            (b"", b"first,", FileBlock(file.fileno(), 0, 11), b"", b"!")
        )
        answer = Answer(200, kind="site", content=content, open_ended=True)
        up.routes.questions[b"/s"] = Known(answer)
        async with await up.connect() as stream:
            await stream.send_all(get())
            received = await read_until(stream, b"0\r\n\r\n")
            head, _, body = received.partition(b"\r\n\r\n")
            assert b"transfer-encoding: chunked" in head.split(b"\r\n")
            assert b"content-length" not in head
            assert body == b"6\r\nfirst,\r\nb\r\nfrom a file\r\n1\r\n!\r\n0\r\n\r\n"
            await stream.send_all(get(b"/next"))
            assert b"http://s3/next" in await stream.receive_some()
    assert content.closed.is_set()


async def test_a_body_of_unknown_length_ends_with_the_connection_in_http_1_0(up: Running) -> None:
    answer = Answer(
        200, kind="site", content=streams_module.of_kind((b"a", b"bc")), open_ended=True
    )
    up.routes.questions[b"/s"] = Known(answer)
    async with await up.connect() as stream:
        await stream.send_all(b"GET /s HTTP/1.0\r\n\r\n")
        head, _, body = (await read_all(stream)).partition(b"\r\n\r\n")
    assert body == b"abc"
    assert b"transfer-encoding" not in head
    assert b"content-length" not in head


async def test_a_body_of_unknown_length_that_breaks_off_does_not_look_whole(up: Running) -> None:
    content = streams_module.of_kind((b"abc", Truncated("S3 broke off")))
    up.routes.questions[b"/s"] = Known(Answer(200, kind="site", content=content, open_ended=True))
    async with await up.connect() as stream:
        await stream.send_all(get())
        await until_reset(stream)
