"""Small uploads that are done without a task: answered when it is told what came of them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest
import structlog
import trio
import trio.testing

from parparchik.access import AccessLog
from parparchik.edge import Limits
from tests.edge.conftest import read_all, read_until, until
from tests.edge.deeds import Deeds, put
from tests.edge.soon_scene import CLOSES, Scene, created, finish, kept_deeds, streamed
from tests.edge.test_edge import get, locations
from tests.edge.test_limits_and_traces import SPAN, TRACE, TRACEPARENT, Clock, limiter, statuses
from tests.mounts import Blocks

LARGEST = Limits().max_body_bytes


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with kept_deeds() as scene:
        yield scene


def tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living


@pytest.mark.parametrize("size", [0, 1, LARGEST])
async def test_it_is_answered_when_it_is_told_and_no_task_waits(scene: Scene, size: int) -> None:
    body = b"x" * size
    async with await scene.up.connect() as stream:
        await stream.send_all(get(b"/a"))
        await read_until(stream, b"\r\n\r\n")
        before = tasks()
        for count in (1, 2):  # the connection goes on behind it
            await stream.send_all(put(body, b"/m/k", b"X-Request-Id: mine"))
            kept = await scene.kept(count)
            assert (kept.upload.data, kept.upload.size_bytes) == (body, size)
            await until(lambda: tasks() == before)  # who waits for bodies has one for a moment
            assert len(await scene.records(count)) == count  # it is not answered yet
            kept.then(created())
            answer = await read_until(stream, b"\r\n\r\n")
            assert (statuses(answer), locations(answer)) == ([201], [b"/m/k"])
            assert b"\r\nx-request-id: mine\r\n" in answer
            assert CLOSES not in answer
            assert len(await scene.records(count + 1)) == count + 1  # though nothing else happens
    assert scene.deeds.done == []
    assert await scene.records(3) == [("/a", 302, "public"), *[("/m/k", 201, "mount")] * 2]
    assert scene.up.traffic.requests() == (("mount", 201, 2), ("public", 302, 1))


@pytest.mark.usefixtures("patient")
async def test_a_body_behind_its_head_is_whole_when_it_begins(scene: Scene) -> None:
    data = put(b"hello")
    async with await scene.up.connect() as stream:
        for count, cut in enumerate((len(data) - 5, len(data) - 1, 7), 1):
            await stream.send_all(data[:cut])
            await trio.testing.wait_all_tasks_blocked(0.002)
            assert len(scene.deeds.kept) == count - 1
            await stream.send_all(data[cut:])
            kept = await scene.kept(count)
            assert kept.upload.data == b"hello"
            kept.then(created())
            assert statuses(await read_until(stream, b"\r\n\r\n")) == [201]
    assert (scene.up.handed_over, scene.deeds.done) == (0, [])


@pytest.mark.parametrize("target", [b"/m/declines", b"/m/fails"])
async def test_what_is_not_begun_is_done_in_a_task(scene: Scene, target: bytes) -> None:
    with structlog.testing.capture_logs() as logs:
        answers = await scene.up.talk(put(b"hello", target) + get(b"/a"))
    assert locations(answers) == [target, b"/a"]
    assert scene.deeds.done == [("PUT", target, b"hello")]
    failed = [entry for entry in logs if entry["event"] == "request failed"]
    assert len(failed) == (target == b"/m/fails")
    assert await scene.records(2) == [(target.decode(), 201, "mount"), ("/a", 302, "public")]


async def test_requests_before_and_behind_keep_their_order(scene: Scene) -> None:
    targets = [b"/m/%d" % number for number in range(3)]
    async with await scene.up.connect() as stream:
        data = b"".join(get(b"/a") + put(b"hello", target) + get(b"/b") for target in targets)
        await stream.send_all(data)
        await stream.send_eof()
        answers = b""
        for count, target in enumerate(targets, 1):
            kept = await scene.kept(count)
            assert kept.target == target
            answers += await read_some(stream, 1 if count == 1 else 2)
            kept.then(finish(target) if count == 2 else created(target))
        answers += await read_all(stream)
    expected = [part for target in targets for part in (b"/a", target, b"/b")]
    assert locations(answers) == expected


async def test_a_trace_goes_with_a_task(scene: Scene) -> None:
    answers = await scene.up.talk(put(b"hello", b"/m/k", TRACEPARENT))
    assert statuses(answers) == [201]
    assert scene.deeds.kept == []
    assert scene.deeds.done == [("PUT", b"/m/k", b"hello")]
    await scene.records(1)
    line = msgspec.json.decode(scene.lines.getvalue())
    assert (line["trace_id"], line["span_id"]) == (TRACE, SPAN)


async def test_who_asks_too_often_begins_nothing(scene: Scene) -> None:
    access = AccessLog(scene.up.traffic)
    once = limiter(Clock(), 3)
    scene.up.edge.renew(ask=scene.up.routes.ask, act=scene.deeds.act, access=access, limiter=once)
    async with await scene.up.connect() as stream:
        # The first waits behind an answer and is asked twice: it counts once.
        await stream.send_all(get(b"/a") + put(b"one") + put(b"two") + put(b"three") + get(b"/b"))
        (await scene.kept()).then(created())
        (await scene.kept(2)).then(finish())
        await stream.send_eof()
        answers = await read_all(stream)
    assert statuses(answers) == [302, 201, 201, 429, 429]
    assert [kept.upload.data for kept in scene.deeds.kept] == [b"one", b"two"]


@pytest.mark.parametrize("in_task", [False, True])
async def test_content_is_streamed(scene: Scene, *, in_task: bool) -> None:
    content = Blocks([b"one", b"two"])

    async with await scene.up.connect() as stream:
        await stream.send_all(put(b"hello") + get(b"/a"))
        (await scene.kept()).then(streamed(content) if in_task else content.answer())
        await stream.send_eof()
        answers = await read_all(stream)
    assert statuses(answers) == [200, 302]
    assert b"\r\n\r\nonetwoHTTP/1.1 302 " in answers
    assert content.closed.is_set()


async def test_it_is_of_the_application_that_began_it(scene: Scene) -> None:
    other = Deeds()
    async with await scene.up.connect() as stream:
        await stream.send_all(put(b"one") + put(b"two"))
        kept = await scene.kept()
        access = AccessLog(scene.up.traffic)
        scene.up.edge.renew(ask=scene.up.routes.ask, act=other.act, access=access)
        kept.then(created(b"/m/old"))
        await stream.send_eof()
        answers = await read_all(stream)
    assert locations(answers) == [b"/m/old", b"/m/k"]
    assert other.done == [("PUT", b"/m/k", b"two")]


async def read_some(stream: trio.SocketStream, count: int) -> bytes:
    """So many answers without a body."""
    data = b""
    while data.count(b"\r\n\r\n") < count:
        more = await stream.receive_some()
        assert more, data
        data += more
    return data
