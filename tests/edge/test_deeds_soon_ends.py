"""How a small upload that is begun without a task ends: in a task, with the connection, or with
nobody there."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import structlog
import trio
import trio.testing

from parparchik.errors import Forbidden
from parparchik.model import Answer, Unfinished
from tests.edge.conftest import read_all, read_until, until
from tests.edge.deeds import put
from tests.edge.soon_scene import CLOSES, Scene, created, finish, kept_deeds, streamed
from tests.edge.test_edge import get, locations
from tests.edge.test_limits_and_traces import statuses
from tests.mounts import Blocks


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with kept_deeds() as scene:
        yield scene


async def forbidden() -> Answer:
    raise Forbidden("not here")


async def bug() -> Answer:
    raise RuntimeError("boom")


@pytest.mark.parametrize(("rest", "status"), [(forbidden, 403), (bug, 500)], ids=["error", "bug"])
async def test_what_is_unfinished_ends_in_a_task(
    scene: Scene, rest: Callable[[], Awaitable[Answer]], status: int
) -> None:
    with structlog.testing.capture_logs() as logs:
        async with await scene.up.connect() as stream:
            await stream.send_all(put(b"hello") + get(b"/a"))
            (await scene.kept()).then(Unfinished(rest))
            await stream.send_eof()
            answers = await read_all(stream)
    assert statuses(answers) == [status, 302]
    assert scene.deeds.done == []
    assert [entry["event"] for entry in logs].count("request failed") == (rest is bug)
    assert [record[1] for record in await scene.records(2)] == [status, 302]


async def test_a_task_that_finishes_is_known_by_its_request(scene: Scene) -> None:
    seen: list[object] = []

    async def look() -> Answer:
        seen.append(structlog.contextvars.get_contextvars().get("request_id"))
        return created()

    async with await scene.up.connect() as stream:
        await stream.send_all(put(b"hello", b"/m/k", b"X-Request-Id: mine"))
        (await scene.kept()).then(Unfinished(look))
        assert b"\r\nx-request-id: mine\r\n" in await read_until(stream, b"\r\n\r\n")
    assert seen == ["mine"]


@pytest.mark.parametrize("in_task", [False, True])
async def test_a_client_that_is_gone_is_on_record(scene: Scene, *, in_task: bool) -> None:
    content = Blocks([b"one"])

    async with await scene.up.connect() as stream:
        await stream.send_all(put(b"hello"))
        kept = await scene.kept()
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    await until(lambda: not scene.up.edge.count)
    kept.then(streamed(content) if in_task else content.answer())
    assert await scene.records(1) == [("/m/k", 499, "other")]
    assert content.closed.is_set()
    assert content.reads == 0


@pytest.mark.parametrize("in_task", [False, True])
async def test_a_drain_waits_for_it(scene: Scene, *, in_task: bool) -> None:
    drained = trio.Event()

    async def drain() -> None:
        await scene.up.edge.drain()
        drained.set()

    async with trio.open_nursery() as nursery:
        async with await scene.up.connect() as stream:
            await stream.send_all(put(b"hello") + get(b"/a"))
            kept = await scene.kept()
            nursery.start_soon(drain)
            await trio.testing.wait_all_tasks_blocked(0.002)
            assert not drained.is_set()
            kept.then(finish() if in_task else created())
            answers = await read_all(stream)
        await drained.wait()
    assert locations(answers) == [b"/m/k"]
    assert answers.endswith(CLOSES)


@pytest.mark.parametrize("in_task", [False, True])
async def test_an_edge_that_has_ended_is_told_for_nothing(*, in_task: bool) -> None:
    content = Blocks([b"one"])

    async def never() -> Answer:
        raise AssertionError("nobody is there to wait for it")

    with structlog.testing.capture_logs() as logs:
        async with kept_deeds() as scene:
            stream = await scene.up.connect()
            await stream.send_all(put(b"hello"))
            kept = await scene.kept()
        kept.then(Unfinished(never) if in_task else content.answer())
        async with stream:
            assert await read_all(stream) == b""
        assert await scene.records(1) == [("/m/k", 499, "other")]
    assert content.closed.is_set() is not in_task
    assert [entry for entry in logs if entry["log_level"] == "error"] == []


@pytest.mark.parametrize(
    "last", [put(b"hello", version=b"HTTP/1.0"), put(b"hello", b"/m/k", b"Connection: close")]
)
@pytest.mark.parametrize("in_task", [False, True])
async def test_the_last_answer_says_so(scene: Scene, last: bytes, *, in_task: bool) -> None:
    async with await scene.up.connect() as stream:
        await stream.send_all(last + put(b"more"))
        (await scene.kept()).then(finish() if in_task else created())
        answer = await read_all(stream)
    assert statuses(answer) == [201]
    assert answer.endswith(CLOSES)
    assert len(scene.deeds.kept) == 1
