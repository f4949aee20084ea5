"""Small requests where the connection, the server or the caller gives up."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
import trio.testing

from parparchik.errors import Denied, Unavailable, UpstreamError
from parparchik.s3.request import SMALL_BYTES
from tests.s3.fake_s3 import QUICK, answer, error
from tests.s3.scripted import Peer, ScriptedServer, Seen, replying, serve
from tests.s3.small_scene import (
    BLOB,
    DATA,
    Start,
    scripted,
    stored,
)
from tests.s3.uploads import Sent


@pytest.mark.parametrize(
    "reply",
    [
        stored({"Connection": "close"}),
        stored() + b"x",
        stored() + stored(),
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nETag: 1\r\n\r\n",
    ],
)
async def test_a_connection_that_is_of_no_more_use(
    nursery: trio.Nursery, start: Start, reply: bytes
) -> None:
    server: ScriptedServer = await nursery.start(serve, scripted(reply, stored()))
    s3 = await start(server)
    assert await s3.store() == '"1"'
    assert s3.open == 0
    assert await s3.store() == '"1"'
    assert server.connections == 2


async def test_a_kept_connection_that_was_closed_is_replaced(
    nursery: trio.Nursery, start: Start
) -> None:
    server: ScriptedServer = await nursery.start(serve, scripted(b"", stored()))
    s3 = await start(server)
    assert await s3.store() == '"1"'
    assert [seen.body for seen in server.requests] == [DATA] * 3
    assert server.requests[1].headers == server.requests[2].headers
    assert server.connections == 2
    assert s3.retries == 0
    assert s3.outcomes == {"ok": 2}


async def test_what_replaces_it_is_new(nursery: trio.Nursery, start: Start) -> None:
    """Another one that was kept will have been closed, too."""
    both = trio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.number == 2:
            both.set()
        if peer.number:
            await both.wait()
        await peer.send(stored())
        await peer.request()  # and leaves

    server: ScriptedServer = await nursery.start(serve, script)
    s3 = await start(server)
    async with trio.open_nursery() as asking:
        for key in "ab":
            asking.start_soon(s3.store, key)
    assert s3.open == 2
    assert await s3.store() == '"1"'
    assert (server.connections, s3.retries) == (4, 0)


async def test_a_server_that_closes_always_is_asked_once_more_per_attempt(
    nursery: trio.Nursery, start: Start
) -> None:
    server: ScriptedServer = await nursery.start(serve, scripted(b""))
    s3 = await start(server)
    with pytest.raises(Unavailable):
        await s3.store()
    assert s3.retries == QUICK.retries == 2
    assert len(server.requests) == 1 + 1 + 1 + 2  # only the first attempt was on a kept connection
    assert s3.open == 0
    assert s3.outcomes == {"ok": 1, "unavailable": 1}


@pytest.mark.parametrize("cut", [1, 20, -1])
async def test_an_answer_that_breaks_off_is_tried_again(
    nursery: trio.Nursery, start: Start, cut: int
) -> None:
    async def script(peer: Peer) -> None:
        while await peer.request():
            if len(server.requests) == 2:
                await peer.send(stored(body=b"body")[:cut])
                return
            await peer.send(stored())

    server: ScriptedServer = await nursery.start(serve, script)
    s3 = await start(server)
    assert await s3.store() == '"1"'
    assert (len(server.requests), server.connections, s3.retries) == (3, 2, 1)


async def test_what_passes_is_tried_again(nursery: trio.Nursery, start: Start) -> None:
    failed = answer(500, {"Retry-After": "0"}, b"<Error><Code>InternalError</Code></Error>")
    server: ScriptedServer = await nursery.start(serve, scripted(failed, stored()))
    s3 = await start(server)
    assert await s3.store() == '"1"'
    assert (len(server.requests), server.connections, s3.retries) == (3, 1, 1)
    assert s3.outcomes == {"ok": 2}


async def test_what_does_not_pass_is_not_tried_again(nursery: trio.Nursery, start: Start) -> None:
    def reply(seen: Seen) -> bytes:
        first = seen.target.endswith("first")
        return stored() if first else error(seen, 403, "AccessDenied")

    server: ScriptedServer = await nursery.start(serve, replying(reply))
    s3 = await start(server)
    with pytest.raises(Denied):
        await s3.store()
    assert (len(server.requests), server.connections, s3.open) == (2, 1, 1)
    assert s3.outcomes == {"ok": 1, "denied": 1}


@pytest.mark.parametrize("reply", [b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"HTTP/1.1 200 OK\r\nx\r\n\r\n"])
async def test_what_is_no_answer_of_s3_is_an_error(
    nursery: trio.Nursery, start: Start, reply: bytes
) -> None:
    server: ScriptedServer = await nursery.start(serve, scripted(reply))
    s3 = await start(server)
    with pytest.raises(UpstreamError):
        await s3.store()
    assert s3.open == 0


async def hang_from_the_second(peer: Peer) -> None:
    """On each connection."""
    await peer.request()
    await peer.send(stored())
    await peer.request()
    await peer.closed_by_client()


async def test_a_hung_connection_is_given_up_for_another(
    nursery: trio.Nursery, start: Start
) -> None:
    server: ScriptedServer = await nursery.start(serve, hang_from_the_second)
    s3 = await start(server, replace(QUICK, read_timeout_s=0.4))
    assert await s3.store() == '"1"'
    assert (server.connections, s3.open, s3.retries) == (2, 1, 1)


@pytest.mark.parametrize(
    ("sent", "size"),
    [
        (b"", 4096),
        (stored(body=b"body")[:20], 4096),
        (stored(body=b"body")[:-1], 4096),
        (b"", SMALL_BYTES + 1),  # gets a second more
    ],
)
async def test_an_answer_that_does_not_end_in_time(
    nursery: trio.Nursery, start: Start, sent: bytes, size: int
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(stored())
        await peer.request()
        await peer.send(sent)
        await peer.closed_by_client()

    server: ScriptedServer = await nursery.start(serve, script)
    s3 = await start(server, replace(QUICK, total_timeout_s=0.3, read_timeout_s=60))
    with pytest.raises(Unavailable, match=r"no answer within [01]\.3"):
        await s3.store(data=bytes(size))
    assert (len(server.requests), s3.open, s3.retries) == (2, 0, 0)
    assert s3.outcomes == {"ok": 1, "unavailable": 1}


async def test_waiting_for_a_connection_takes_of_the_time(
    nursery: trio.Nursery, start: Start
) -> None:
    async def script(peer: Peer) -> None:
        """Who is last in time gets the connection of the first, a moment long: no answer on it."""
        if not peer.number:
            await peer.request()
            await peer.send(stored())
        await peer.request()
        await peer.closed_by_client()

    server: ScriptedServer = await nursery.start(serve, script)
    config = replace(QUICK, max_connections=1, total_timeout_s=0.3, read_timeout_s=60)
    s3 = await start(server, config)

    async def store() -> None:
        with pytest.raises(Unavailable, match=r"no answer within 0\.3"):
            await s3.store()

    async with trio.open_nursery() as asking:
        for _ in range(3):
            asking.start_soon(store)
    assert s3.open == 0
    assert s3.outcomes == {"ok": 1, "unavailable": 3}


async def test_a_body_that_falls_silent(nursery: trio.Nursery, start: Start) -> None:
    async def script(peer: Peer) -> None:
        while await peer.request():
            if len(server.requests) == 2:
                await peer.send(stored(body=b"body")[:-1])
                await peer.closed_by_client()
                return
            await peer.send(stored())

    server: ScriptedServer = await nursery.start(serve, script)
    s3 = await start(server, replace(QUICK, read_timeout_s=0.4))
    assert await s3.store() == '"1"'
    assert (server.connections, s3.open, s3.retries) == (2, 1, 1)


@pytest.mark.parametrize("sent", [b"", stored(body=b"body")[:20], stored(body=b"body")[:-1]])
async def test_cancelled_while_waiting(
    nursery: trio.Nursery, start_waiting: Start, sent: bytes
) -> None:
    async def script(peer: Peer) -> None:
        while await peer.request():
            if len(server.requests) == 2:
                await peer.send(sent)
                assert await peer.closed_by_client()
                return
            await peer.send(stored())

    server: ScriptedServer = await nursery.start(serve, script)
    s3 = await start_waiting(server)
    async with trio.open_nursery() as asking:
        asking.start_soon(s3.store)
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert len(server.requests) == 2
        asking.cancel_scope.cancel()
    assert s3.open == 0
    assert s3.outcomes == {"ok": 1, "cancelled": 1}
    assert await s3.store() == '"1"'
    assert server.connections == 2


async def test_who_was_cancelled_is_left_alone(nursery: trio.Nursery, start_waiting: Start) -> None:
    scope = trio.CancelScope()

    async def script(peer: Peer) -> None:
        while await peer.request():
            if len(server.requests) == 2:
                scope.cancel()
                await peer.closed_by_client()
                return
            await peer.send(stored())

    server: ScriptedServer = await nursery.start(serve, script)
    s3 = await start_waiting(server, replace(QUICK, read_timeout_s=0.5))
    with scope:
        await s3.objects.store("k", Sent(DATA), BLOB)
    assert scope.cancelled_caught
    await trio.sleep(0.8)  # when nobody would have waited for S3 any longer
    assert await s3.store() == '"1"'
    assert s3.outcomes == {"ok": 2, "cancelled": 1}


async def test_what_is_cancelled_already_is_not_sent(nursery: trio.Nursery, start: Start) -> None:
    server: ScriptedServer = await nursery.start(serve, scripted(stored()))
    s3 = await start(server)
    with trio.CancelScope() as scope:
        scope.cancel()
        await s3.objects.delete("k")
    assert scope.cancelled_caught
    await s3.store("last")
    assert [seen.target for seen in server.requests] == ["/files/first", "/files/last"]


async def test_an_endless_answer_has_a_bound(nursery: trio.Nursery, start: Start) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(stored())
        await peer.request()
        await peer.send(b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await peer.send(b"100000\r\n" + bytes(1 << 20) + b"\r\n")

    server: ScriptedServer = await nursery.start(serve, script)
    s3 = await start(server)
    with pytest.raises(UpstreamError, match="larger than"):
        await s3.store()
    assert (len(server.requests), s3.open) == (2, 0)
