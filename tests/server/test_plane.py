"""What answers on sockets, when something in it breaks or is changed for another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from parparchik.access import AccessLog, RequestIds
from parparchik.config.model import ServerConfig
from parparchik.metrics import Traffic
from parparchik.model import Answer, Question, Request
from parparchik.server.listen import listen
from parparchik.server.plane import Answering, Plane
from parparchik.server.supervise import Supervisor
from tests.server.web_plane import respond, until

if TYPE_CHECKING:
    from tests.server.conftest import Logged

FILE = b"GET /photos/a HTTP/1.1\r\nHost: t\r\n\r\n"
STATUS = b"GET /status HTTP/1.1\r\nHost: t\r\n\r\n"


@dataclass
class Always:
    """A question whose answer is known."""

    body: bytes

    def answer_nowait(self) -> Answer:
        return Answer(200, (), self.body)

    def answer_soon(self, *arguments: Any) -> Any:
        raise AssertionError

    async def answer(self) -> Answer:
        raise AssertionError


def answering(body: bytes) -> Answering:
    def ask(request: Request) -> Question | None:
        return None if request.target == b"/status" else Always(body)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, body)

    return Answering(ask, app, AccessLog(Traffic()))


@dataclass
class Application:
    answering: Answering


@asynccontextmanager
async def serving(supervisor: Supervisor, body: bytes) -> AsyncIterator[tuple[Plane, int]]:
    settings = ServerConfig(host="127.0.0.1", port=0)
    plane = Plane(settings, answering(body), supervisor, RequestIds())
    (listening,) = await listen(settings, {})
    with listening:
        async with trio.open_nursery() as nursery:
            await nursery.start(plane.serve, [listening])
            yield plane, listening.getsockname()[1]
            plane.abort()
            nursery.cancel_scope.cancel()


async def test_another_answers_on_the_connections_that_there_are() -> None:
    async with serving(Supervisor(), b"one") as (plane, port):
        connect = partial(trio.open_tcp_stream, "127.0.0.1", port)
        async with await connect() as edge, await connect() as web:
            for stream, request in ((edge, FILE), (web, STATUS)) * 2:
                await stream.send_all(request)
                assert (await until(stream, b"one")).endswith(b"one")
            await plane.install(Application(answering(b"other")))
            for stream, request in ((edge, FILE), (web, STATUS)) * 2:
                await stream.send_all(request)
                assert (await until(stream, b"other")).endswith(b"other")
            numbers = plane.connections()
            assert dict(numbers.open) == {"edge": 1, "web": 1}
            assert (numbers.accepted, numbers.handed_over) == (2, 1)


class BreaksOnce(AccessLog):
    """What no client can bring about."""

    broken = False

    def flush(self) -> None:
        if not self.broken:
            self.broken = True
            raise RuntimeError("broken")


async def test_an_edge_that_breaks_is_seen_and_begins_again(logged: Logged) -> None:
    supervisor = Supervisor()
    async with serving(supervisor, b"one") as (plane, port):
        await trio.sleep(0.01)
        broken = replace(answering(b"one"), access=BreaksOnce(Traffic()))
        await plane.install(Application(broken))
        with trio.fail_after(5):
            while supervisor.down is None:
                await trio.sleep(0.01)
                async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                    with trio.move_on_after(0.1):
                        await stream.send_all(FILE)
        assert supervisor.down.startswith("edge is down")
        with trio.fail_after(5):
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(FILE)
                assert (await until(stream, b"one")).endswith(b"one")
        assert ("edge", 1) in supervisor.restarts()
        assert supervisor.down is None
