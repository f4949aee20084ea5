"""Small requests, which are one row of bytes: what S3 gets, what its answers come to, and what is
left behind. With the reactor that most of them wait on, and without."""

from __future__ import annotations

import hashlib
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

import httpx
import pytest
import trio
import trio.testing
import trustme

from parparchik.config import S3Config
from parparchik.content import Storing
from parparchik.errors import Denied, NoCredentials, Unavailable, UpstreamError
from parparchik.s3 import Credentials, S3Client, S3Objects, pass_on_traceparent
from parparchik.s3.request import SMALL_BYTES, serialise_head
from tests.s3 import sigv4_oracle as oracle
from tests.s3.fake_s3 import KEYS, OBJECT, QUICK, answer, config_of, error, open_objects
from tests.s3.scripted import Peer, Script, ScriptedServer, Seen, replying, serve
from tests.s3.uploads import Sent

DATA = bytes(range(256)) * 16
NOW_S = 1_777_975_200.5
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
BLOB = Storing(
    "application/octet-stream",
    (
        ("content-encoding", "gzip"),
        ("x-amz-meta-logical-size", "9000"),
        ("x-amz-meta-sha256", "0" * 64),
    ),
)


class Running:
    """Objects on a client, and with a connection that lies ready."""

    def __init__(self, client: S3Client, objects: S3Objects) -> None:
        self.client = client
        self.objects = objects

    async def store(self, key: str = "k", data: bytes = DATA) -> str:
        with trio.fail_after(5):
            return await self.objects.store(key, Sent(data), BLOB)

    @property
    def open(self) -> int:
        [(_, pool)] = self.client.statistics().pools
        return pool.open

    @property
    def retries(self) -> int:
        [put] = [each for each in self.client.statistics().operations if each.operation == "put"]
        return put.retries

    @property
    def outcomes(self) -> dict[str, int]:
        [put] = [each for each in self.client.statistics().operations if each.operation == "put"]
        assert sum(put.latency_counts) == sum(count for _, count in put.outcomes)
        return {outcome: count for outcome, count in put.outcomes if count}


class Start:
    """Makes clients: with their reactor, where it `runs`."""

    def __init__(self, nursery: trio.Nursery, *, runs: bool) -> None:
        self._nursery = nursery
        self._runs = runs
        self._clients: list[S3Client] = []

    async def client(
        self, config: S3Config = QUICK, now: Callable[[], float] = time.time
    ) -> S3Client:
        client = S3Client(config, now=now)
        self._clients.append(client)
        if self._runs:
            await self._nursery.start(client.run)
        return client

    async def __call__(self, server: ScriptedServer, config: S3Config = QUICK) -> Running:
        client = await self.client(config)
        running = Running(client, open_objects(client, server))
        assert await running.store("first") == '"1"'  # opens a connection
        return running

    def close(self) -> None:
        for client in self._clients:
            client.close()


@pytest.fixture(params=[True, False], ids=["reactor", "task"])
async def start(request: pytest.FixtureRequest, nursery: trio.Nursery) -> AsyncIterator[Start]:
    start = Start(nursery, runs=request.param)
    yield start
    start.close()


def stored(more: Mapping[str, str] = MappingProxyType({}), body: bytes = b"") -> bytes:
    return answer(200, {"ETag": '"1"', **more}, body)


def scripted(*replies: bytes, step: int = 0) -> Script:
    """The first request of all is answered plainly; those after it by `replies`, the last again and
    again. An empty reply closes the connection."""
    left = [stored(), *replies]

    async def script(peer: Peer) -> None:
        while await peer.request():
            reply = left.pop(0) if len(left) > 1 else left[0]
            if not reply:
                return
            await peer.send(reply, step=step)

    return script


def signed_names(seen: Seen) -> set[str]:
    return set(
        seen.headers["authorization"].partition("SignedHeaders=")[2].split(",")[0].split(";")
    )


def assert_signed(server: ScriptedServer, seen: Seen, keys: Credentials, names: set[str]) -> None:
    """As botocore signs it, given what reached the server."""
    added = {"x-amz-date", "x-amz-content-sha256"}
    added |= {"x-amz-security-token"} if keys.session_token else set()
    assert signed_names(seen) == {"host", *names, *added}
    expected = oracle.signed_headers(
        seen.method,
        f"{server.url}{seen.target}",
        [(name, seen.headers[name]) for name in names],
        payload_hash=hashlib.sha256(seen.body).hexdigest(),
        credentials=keys,
        region="eu-west-1",
        now_s=NOW_S,
    )
    assert {name: seen.headers[name] for name in expected} == expected


@pytest.mark.parametrize("size", [0, 4096, SMALL_BYTES, SMALL_BYTES + 1])
@pytest.mark.parametrize(
    "key",
    [
        "blobs/ab/cd",
        "/leading",
        "a//b",
        "a+b",
        "a%2Fb",
        "a:b",
        "a+b %2F // ü",
        "%",
        "'(1)*!~",
        "ž\u2028&=?#",
    ],
)
async def test_what_reaches_s3(nursery: trio.Nursery, start: Start, key: str, size: int) -> None:
    """The same of what is larger, which goes another way."""
    server: ScriptedServer = await nursery.start(serve, replying(lambda _: stored()))
    keys = Credentials("AKID", "secret", "token+/=")
    client = await start.client(now=lambda: NOW_S)
    objects = client.objects(config_of(server), lambda: keys)
    meta = ("x-amz-meta-who", " ü  and\tme ".encode().decode("latin-1"))
    controlled = ("cache-control", "max-age=60,  private")
    storing = replace(BLOB, headers=(*BLOB.headers, meta, controlled))
    data = bytes(size)
    for _ in range(2):  # the second over a connection that lies ready
        assert await objects.store(key, Sent(data), storing) == '"1"'
    names = {name for name, _ in storing.headers} | {"content-type"}
    for seen in server.requests:
        assert (seen.method, seen.body) == ("PUT", data)
        assert seen.target == f"/files/{quote(key)}"
        assert_signed(server, seen, keys, names)
        assert set(seen.headers) == signed_names(seen) | {
            *("accept-encoding", "authorization", "content-length", "user-agent")
        }
        assert seen.headers["content-length"] == str(size)
        assert seen.headers["host"] == server.origin.authority
        assert seen.headers["x-amz-meta-who"] == "ü  and\tme"  # what h11 leaves of it
    assert server.connections == 1


async def test_others_that_are_small(nursery: trio.Nursery, start: Start) -> None:
    def reply(seen: Seen) -> bytes:
        if seen.method == "HEAD":
            return answer(200, OBJECT, b"body", to_head=True)
        return stored() if seen.method == "PUT" else b"HTTP/1.1 204 No Content\r\n\r\n"

    server: ScriptedServer = await nursery.start(serve, replying(reply))
    client = await start.client(now=lambda: NOW_S)
    objects = client.objects(config_of(server), lambda: KEYS)
    for _ in range(2):
        found = await objects.stat("ü")
        assert found is not None
        assert found.size_bytes == 4
        await objects.delete("ü")
    assert [seen.method for seen in server.requests] == ["HEAD", "DELETE"] * 2
    for seen in server.requests:
        assert_signed(server, seen, KEYS, set())
        assert "content-length" not in seen.headers
    assert server.connections == 1


@pytest.mark.parametrize("step", [0, 1, 7])
@pytest.mark.parametrize("body", [b"", b"whatever"])
@pytest.mark.parametrize("interim", [b"", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_answers_in_pieces(
    nursery: trio.Nursery, start: Start, step: int, body: bytes, interim: bytes
) -> None:
    server: ScriptedServer = await nursery.start(
        serve, scripted(interim + stored(body=body), step=step)
    )
    s3 = await start(server)
    assert [await s3.store() for _ in range(3)] == ['"1"'] * 3
    assert server.connections == s3.open == 1
    assert s3.outcomes == {"ok": 4}
    assert s3.retries == 0


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
    server: ScriptedServer = await nursery.start(serve, hang_from_the_second)
    config = replace(QUICK, max_connections=1, total_timeout_s=0.3, read_timeout_s=60)
    s3 = await start(server, config)
    failed: list[Unavailable] = []

    async def store() -> None:
        with pytest.raises(Unavailable, match=r"no answer within 0\.3") as raised:
            await s3.store()
        failed.append(raised.value)

    async with trio.open_nursery() as asking:
        for _ in range(3):
            asking.start_soon(store)
    assert len(failed) == 3
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
async def test_cancelled_while_waiting(nursery: trio.Nursery, start: Start, sent: bytes) -> None:
    async def script(peer: Peer) -> None:
        while await peer.request():
            if len(server.requests) == 2:
                await peer.send(sent)
                assert await peer.closed_by_client()
                return
            await peer.send(stored())

    server: ScriptedServer = await nursery.start(serve, script)
    s3 = await start(server)
    async with trio.open_nursery() as asking:
        asking.start_soon(s3.store)
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert len(server.requests) == 2
        asking.cancel_scope.cancel()
    assert s3.open == 0
    assert s3.outcomes == {"ok": 1, "cancelled": 1}
    assert await s3.store() == '"1"'
    assert server.connections == 2


async def test_who_was_cancelled_is_left_alone(nursery: trio.Nursery, start: Start) -> None:
    scope = trio.CancelScope()

    async def script(peer: Peer) -> None:
        while await peer.request():
            if len(server.requests) == 2:
                scope.cancel()
                await peer.closed_by_client()
                return
            await peer.send(stored())

    server: ScriptedServer = await nursery.start(serve, script)
    s3 = await start(server, replace(QUICK, read_timeout_s=0.5))
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


async def test_under_way_when_the_client_stops(nursery: trio.Nursery) -> None:
    """The task goes on by itself."""
    go = trio.Event()

    async def script(peer: Peer) -> None:
        while await peer.request():
            if len(server.requests) > 1:
                await go.wait()
            await peer.send(stored())

    server: ScriptedServer = await nursery.start(serve, script)
    client = S3Client(QUICK)
    etags: list[str] = []

    async def store() -> None:
        etags.append(await objects.store("k", Sent(DATA), BLOB))

    objects = open_objects(client, server)
    async with trio.open_nursery() as asking:
        async with trio.open_nursery() as inner:
            await inner.start(client.run)
            await objects.store("first", Sent(DATA), BLOB)
            asking.start_soon(store)
            await trio.testing.wait_all_tasks_blocked(0.02)
            inner.cancel_scope.cancel()
        assert not etags
        go.set()
    assert etags == ['"1"']
    assert len(server.requests) == 2
    client.close()


async def test_many_at_once_each_get_their_own(nursery: trio.Nursery, start: Start) -> None:
    def reply(seen: Seen) -> bytes:
        if seen.target.endswith("first"):
            return stored()
        return answer(200, {"ETag": f'"{hashlib.md5(seen.body).hexdigest()}"'})

    server: ScriptedServer = await nursery.start(serve, replying(reply))
    s3 = await start(server, replace(QUICK, max_connections=7))
    got: dict[str, str] = {}

    async def store(key: str) -> None:
        got[key] = await s3.store(key, key.encode() * 100)

    for _ in range(2):
        async with trio.open_nursery() as asking:
            for number in range(60):
                asking.start_soon(store, str(number))
    assert got == {
        key: f'"{hashlib.md5(key.encode() * 100).hexdigest()}"' for key in map(str, range(60))
    }
    assert s3.open <= 7
    assert server.connections == s3.open


async def test_over_tls(nursery: trio.Nursery, start: Start) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    async def task(task_status: trio.TaskStatus[ScriptedServer]) -> None:
        script = scripted(stored(), stored(body=b"x"), b"", stored(), step=9)
        await serve(script, tls=context, task_status=task_status)

    server: ScriptedServer = await nursery.start(task)
    with authority.cert_pem.tempfile() as bundle:
        config = replace(QUICK, ca_bundle=Path(bundle))
        s3 = await start(server, config)
    assert [await s3.store(data=b"x" * SMALL_BYTES) for _ in range(2)] == ['"1"'] * 2
    assert server.connections == 1
    assert await s3.store() == '"1"'
    assert (server.connections, s3.retries) == (2, 0)


async def test_without_credentials_nothing_is_sent(nursery: trio.Nursery, start: Start) -> None:
    server: ScriptedServer = await nursery.start(serve, scripted(stored()))
    s3 = await start(server)

    def none_at_hand() -> Credentials:
        raise NoCredentials("no source yields credentials")

    objects = s3.client.objects(config_of(server), none_at_hand)
    with pytest.raises(NoCredentials):
        await objects.store("k", Sent(DATA), BLOB)
    assert (len(server.requests), s3.open) == (1, 1)


async def test_it_tells_of_its_trace(nursery: trio.Nursery, start: Start) -> None:
    server: ScriptedServer = await nursery.start(serve, scripted(stored()))
    s3 = await start(server)

    async def traced() -> None:
        pass_on_traceparent(TRACEPARENT)
        await s3.store()

    async with trio.open_nursery() as asking:
        asking.start_soon(traced)
    first, second = server.requests
    assert "traceparent" not in first.headers
    assert second.headers["traceparent"] == TRACEPARENT
    assert "traceparent" not in signed_names(second)


@pytest.mark.parametrize(
    ("method", "target", "name", "value"),
    [
        ("PUT", "/k", "x-amz-meta-a", "b\r\nHost: elsewhere"),
        ("PUT", "/k", "x-amz-meta-a", "b\nc"),
        ("PUT", "/k", "x-amz-meta-a", "b\rc"),
        ("PUT", "/k", "x-amz-meta-a", "b\0c"),
        ("PUT", "/k", "x-amz-meta-a\r\nb", "c"),
        ("PUT", "/k", "x-amz-meta-a b", "c"),
        ("PUT", "/k", "", "c"),
        ("PUT", "/k HTTP/1.1\r\nHost: elsewhere", "a", "b"),
        ("PUT", "", "a", "b"),
        ("PUT /x", "/k", "a", "b"),
    ],
)
def test_what_would_be_another_request_is_not_written(
    method: str, target: str, name: str, value: str
) -> None:
    with pytest.raises(httpx.LocalProtocolError, match="malformed"):
        serialise_head(method, target, ("host", name), ("s3.example", value))


def test_what_is_written() -> None:
    head = serialise_head("PUT", "/%25", ("host", "a%s", "b"), ("%d", "\xfc %s", ""))
    assert head == b"PUT /%25 HTTP/1.1\r\nhost: %d\r\na%s: \xfc %s\r\nb: \r\n\r\n"
    with pytest.raises(UnicodeEncodeError):
        serialise_head("PUT", "/", ("a",), ("\u20ac",))
