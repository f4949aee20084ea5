"""Small requests, which are one row of bytes: what S3 gets, what its answers come to, and what is
left behind. With the reactor that most of them wait on, without it, and without a task."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
import trio
import trio.testing
import trustme

from parparchik.errors import NoCredentials
from parparchik.s3 import Credentials, S3Client, pass_on_traceparent
from parparchik.s3.request import SMALL_BYTES, serialise_head
from tests.s3.fake_s3 import KEYS, OBJECT, QUICK, answer, config_of, open_objects
from tests.s3.scripted import Peer, ScriptedServer, Seen, replying, serve
from tests.s3.small_scene import (
    BLOB,
    DATA,
    NOW_S,
    TRACEPARENT,
    Start,
    assert_signed,
    scripted,
    signed_names,
    stored,
)
from tests.s3.uploads import Sent


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
    s3 = start.on(client, client.objects(config_of(server), lambda: keys))
    meta = ("x-amz-meta-who", " ü  and\tme ".encode().decode("latin-1"))
    controlled = ("cache-control", "max-age=60,  private")
    storing = replace(BLOB, headers=(*BLOB.headers, meta, controlled))
    data = bytes(size)
    for _ in range(2):  # the second over a connection that lies ready
        assert await s3.store(key, data, storing) == '"1"'
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
    assert not objects.store_soon("k", DATA, BLOB, lambda _: None)
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
