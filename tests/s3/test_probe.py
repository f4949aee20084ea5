"""The raw HEAD: what is sent, what is reused, and what becomes of the connection."""

from __future__ import annotations

import httpx
import pytest
import trio

from parparchik.s3.addressing import Address
from parparchik.s3.prepared import SIGNATURE_LIFE_S
from parparchik.s3.probe import Prober
from parparchik.s3.sigv4 import Credentials, sign_headers
from parparchik.s3.transport import Transport
from tests.s3.scripted import Peer, ScriptedServer, answering, pool_of, serve

HEAD_OK = (
    b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nETag: "e"\r\n'
    b"Last-Modified: Tue, 05 May 2026 10:00:00 GMT\r\n\r\n"
)
KEYS = Credentials("AKID", "secret")


class Clock:
    """Wall-clock time as the test wants it."""

    def __init__(self) -> None:
        self.now_s = 1_770_000_000.0

    def __call__(self) -> float:
        return self.now_s


class Holder:
    def __init__(self) -> None:
        self.credentials = KEYS

    def __call__(self) -> Credentials:
        return self.credentials


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def holder() -> Holder:
    return Holder()


def prober(transport: Transport, server: ScriptedServer, holder: Holder, clock: Clock) -> Prober:
    return Prober(
        transport.pool(server.origin),
        Address(server.origin, "/bucket"),
        region="eu-west-1",
        credentials=holder,
        connect_timeout_s=5,
        now=clock,
    )


@pytest.mark.parametrize("step", [0, 1])
async def test_answer(
    nursery: trio.Nursery, transport: Transport, holder: Holder, clock: Clock, step: int
) -> None:
    async def script(peer: Peer) -> None:
        while await peer.request():
            await peer.send(HEAD_OK, step=step)

    server: ScriptedServer = await nursery.start(serve, script)
    probing = prober(transport, server, holder, clock)
    for _ in range(3):
        reply = await probing.probe("a key/ü")
        assert reply.status == 200
        assert reply.headers[b"content-length"] == b"1000"
        assert reply.headers[b"etag"] == b'"e"'
    assert server.connections == 1


async def test_is_a_signed_head(
    nursery: trio.Nursery, transport: Transport, holder: Holder, clock: Clock
) -> None:
    server: ScriptedServer = await nursery.start(serve, answering(HEAD_OK))
    await prober(transport, server, holder, clock).probe("a key/ü")
    [seen] = server.requests
    assert (seen.method, seen.target) == ("HEAD", "/bucket/a%20key/%C3%BC")
    expected = sign_headers(
        "HEAD",
        seen.target,
        (),
        [("host", server.origin.authority)],
        payload_hash=seen.headers["x-amz-content-sha256"],
        credentials=KEYS,
        region="eu-west-1",
        now_s=clock.now_s,
    )
    assert dict(expected).items() <= seen.headers.items()
    assert seen.headers["host"] == server.origin.authority


@pytest.mark.parametrize(
    ("later_s", "same"),
    [(0, True), (SIGNATURE_LIFE_S - 1, True), (SIGNATURE_LIFE_S, False), (-1, False)],
)
async def test_a_signature_serves_for_minutes(
    nursery: trio.Nursery, transport: Transport, holder: Holder, clock: Clock,
    later_s: float, same: bool,
) -> None:  # fmt: skip
    server: ScriptedServer = await nursery.start(serve, answering(HEAD_OK))
    probing = prober(transport, server, holder, clock)
    await probing.probe("k")
    clock.now_s += later_s
    await probing.probe("k")
    first, second = server.requests
    assert (first.headers["x-amz-date"] == second.headers["x-amz-date"]) is same
    assert (first.headers["authorization"] == second.headers["authorization"]) is same


async def test_no_signature_outlives_its_credentials(
    nursery: trio.Nursery, transport: Transport, holder: Holder, clock: Clock
) -> None:
    server: ScriptedServer = await nursery.start(serve, answering(HEAD_OK))
    probing = prober(transport, server, holder, clock)
    await probing.probe("k")
    holder.credentials = Credentials("OTHER", "secret", "token")
    await probing.probe("k")
    assert "Credential=OTHER/" in server.requests[1].headers["authorization"]
    assert server.requests[1].headers["x-amz-security-token"] == "token"


async def test_each_key_has_its_own_signature_however_many(
    nursery: trio.Nursery, transport: Transport, holder: Holder, clock: Clock
) -> None:
    server: ScriptedServer = await nursery.start(serve, answering(HEAD_OK))
    probing = prober(transport, server, holder, clock)
    for number in range(1000):
        await probing.probe(str(number))
    signatures = {seen.headers["authorization"] for seen in server.requests}
    assert len(signatures) == 1000
    await probing.probe("0")
    assert server.requests[-1] == server.requests[0]


async def test_refused_credentials_send_nothing(
    nursery: trio.Nursery, transport: Transport, clock: Clock
) -> None:
    def none_at_hand() -> Credentials:
        raise ZeroDivisionError

    server: ScriptedServer = await nursery.start(serve, answering(HEAD_OK))
    probing = Prober(
        transport.pool(server.origin),
        Address(server.origin, ""),
        region="eu-west-1",
        credentials=none_at_hand,
        connect_timeout_s=5,
        now=clock,
    )
    with pytest.raises(ZeroDivisionError):
        await probing.probe("k")
    assert server.connections == 0


async def test_shares_the_connections_of_the_transport(
    nursery: trio.Nursery, transport: Transport, client: httpx.AsyncClient,
    holder: Holder, clock: Clock,
) -> None:  # fmt: skip
    server: ScriptedServer = await nursery.start(serve, answering(HEAD_OK))
    await client.head(server.url)
    await prober(transport, server, holder, clock).probe("k")
    assert server.connections == 1


@pytest.mark.parametrize("excess", [b"", b"x" * 10])
async def test_a_body_where_none_may_be_is_nobodys_answer(
    nursery: trio.Nursery, transport: Transport, holder: Holder, clock: Clock, excess: bytes
) -> None:
    server: ScriptedServer = await nursery.start(serve, answering(HEAD_OK + excess))
    probing = prober(transport, server, holder, clock)
    for _ in range(3):
        assert (await probing.probe("k")).status == 200
    assert server.connections == (3 if excess else 1)


async def test_a_kept_connection_that_turns_out_closed_is_replaced(
    nursery: trio.Nursery, transport: Transport, holder: Holder, clock: Clock
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(HEAD_OK)
        await peer.request_head()

    server: ScriptedServer = await nursery.start(serve, script)
    probing = prober(transport, server, holder, clock)
    for _ in range(3):
        assert (await probing.probe("k")).status == 200
    assert server.connections == 3


async def test_cancelled_while_waiting(
    nursery: trio.Nursery, transport: Transport, holder: Holder, clock: Clock
) -> None:
    """The answer that comes too late must not be the next one's."""

    async def script(peer: Peer) -> None:
        seen = await peer.request()
        while seen:
            if seen.target.endswith("slow"):
                await trio.sleep(0.1)
                await peer.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            else:
                await peer.send(HEAD_OK)
            seen = await peer.request()

    server: ScriptedServer = await nursery.start(serve, script)
    probing = prober(transport, server, holder, clock)
    assert (await probing.probe("fast")).status == 200
    with trio.move_on_after(0.02):
        await probing.probe("slow")
    assert pool_of(transport, server).open == 0
    assert (await probing.probe("fast")).status == 200


async def test_at_once_on_as_many_connections_as_allowed(
    nursery: trio.Nursery, transport: Transport, holder: Holder, clock: Clock
) -> None:
    async def script(peer: Peer) -> None:
        while seen := await peer.request():
            await trio.sleep(0.001)
            await peer.send(HEAD_OK.replace(b'"e"', seen.target.encode()))

    server: ScriptedServer = await nursery.start(serve, script)
    probing = prober(transport, server, holder, clock)
    answers: dict[str, bytes] = {}

    async def probe(key: str) -> None:
        answers[key] = (await probing.probe(key)).headers[b"etag"]

    async with trio.open_nursery() as probes:
        for number in range(100):
            probes.start_soon(probe, str(number))
    assert answers == {str(n): f"/bucket/{n}".encode() for n in range(100)}
    assert server.connections == 4
