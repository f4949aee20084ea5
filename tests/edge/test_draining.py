"""The end: every connection is let go, whatever it is at."""

from __future__ import annotations

import trio
import trio.testing

from parparchik.edge import Limits
from parparchik.model import Answer
from tests.edge.conftest import Known, read_all, read_until, redirect, running, until
from tests.edge.test_edge import SAFETY_S, get, locations
from tests.edge.test_writing import narrow, send_all_at_once

CLOSES = b"\r\nconnection: close\r\n\r\n"


async def test_drain_waits_for_every_state_and_may_be_called_twice() -> None:
    limits = Limits(header_timeout_s=3, write_timeout_s=60)
    async with running(limits) as up, trio.open_nursery() as nursery:
        slow = up.routes.questions[b"/slow"] = Known(None)
        up.routes.questions[b"/big"] = Known(Answer(200, (), b"z" * 3_000_000))
        drained = 0

        async def drain() -> None:
            nonlocal drained
            await up.edge.drain()
            drained += 1

        with trio.fail_after(SAFETY_S):
            idle, partial, never, waiting, handed = [await up.connect() for _ in range(5)]
            writing = await send_all_at_once(narrow(up), get(b"/big") + get(b"/a"))
            await idle.send_all(get(b"/a"))
            assert CLOSES not in await read_until(idle, b"\r\n\r\n")
            await partial.send_all(get(b"/a")[:-2])
            await never.send_all(get(b"/a")[:-2])
            await waiting.send_all(get(b"/slow") + get(b"/a"))
            await handed.send_all(get(b"/status"))
            await until(lambda: up.edge.statistics().handed_over == 1)
            assert up.edge.count == 5

            up.edge.stop_accepting()
            nursery.start_soon(drain)
            nursery.start_soon(drain)
            await trio.testing.wait_all_tasks_blocked()
            await partial.send_all(b"\r\n")
            assert (await read_all(partial)).endswith(CLOSES)
            assert await read_all(idle) == b""
            assert b" 408 " in await read_all(never)
            slow.tell(redirect(b"/slow"))
            answer = await read_all(waiting)
            assert locations(answer) == [b"/slow"]
            assert answer.endswith(CLOSES)
            answers = await read_all(writing)
            assert answers.count(b"z") == 3_000_000
            assert locations(answers) == [b"/a"]
            assert answers.endswith(CLOSES)
            assert drained == 0  # those that linger
            for stream in (idle, partial, never, waiting, writing):
                await stream.aclose()
            await until(lambda: drained == 2)
            await up.edge.drain()  # there is none left
            await handed.send_eof()
            assert await read_all(handed) == b"handed over"
            await handed.aclose()


async def test_a_remembered_request_is_the_last_one_too_when_draining() -> None:
    async with running() as up, trio.open_nursery() as nursery:
        with trio.fail_after(SAFETY_S):
            async with await up.connect() as stream:
                for _ in range(3):
                    await stream.send_all(get(b"/a"))
                    assert CLOSES not in await read_until(stream, b"\r\n\r\n")
                nursery.start_soon(up.edge.drain)
                await trio.testing.wait_all_tasks_blocked()
                await stream.send_all(get(b"/a") * 2)
                answers = await read_all(stream)
        assert locations(answers) == [b"/a"]
        assert answers.endswith(CLOSES)


async def test_abort_closes_all_and_serving_goes_on() -> None:
    async with running() as up:
        slow = up.routes.questions[b"/slow"] = Known(None)
        with trio.fail_after(SAFETY_S):
            streams = [await up.connect() for _ in range(3)]
            for stream, data in zip(streams, (get(b"/slow"), get(b"/a"), b"GET"), strict=True):
                await stream.send_all(data)
            await trio.testing.wait_all_tasks_blocked(0.01)
            up.edge.abort()
            assert up.edge.count == 0
            slow.tell(redirect(b"/slow"))
            assert locations(await up.talk(get(b"/b"))) == [b"/b"]
            for stream in streams:
                stream.socket.close()
        assert ("other", 499, 1) in up.traffic.requests()
