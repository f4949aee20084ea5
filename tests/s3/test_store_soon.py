"""Storing without a task: when it begins, what it comes to where not all is well, which is what
`store` comes to, and how it goes on from there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import pytest
import trio
import trio.testing

from parparchik.content import Storing
from parparchik.errors import BadTarget, ClientError, NoCredentials, Unavailable, UpstreamError
from parparchik.model import Unfinished
from parparchik.s3 import Credentials, S3Client
from parparchik.s3.request import SMALL_BYTES
from tests.s3.errand_scene import never
from tests.s3.fake_s3 import QUICK, answer, config_of, open_objects
from tests.s3.scripted import Peer, ScriptedServer, serve
from tests.s3.small_scene import BLOB, DATA, Running, Start, Told, Way, scripted, stored
from tests.s3.uploads import Sent


def refusal(status: int, code: str, headers: Mapping[str, str] = MappingProxyType({})) -> bytes:
    return answer(status, headers, f"<Error><Code>{code}</Code></Error>".encode())


@pytest.fixture
def start(nursery: trio.Nursery) -> Start:
    return Start(nursery, "soon")


async def opened(start: Start, nursery: trio.Nursery, *replies: bytes) -> Running:
    server: ScriptedServer = await nursery.start(serve, scripted(*replies))
    return await start(server)


class TestNothingBegins:
    @pytest.mark.parametrize(
        "storing",
        [
            replace(BLOB, if_match='"1"'),
            replace(BLOB, if_match="\r\n"),
            replace(BLOB, if_none_match="*"),
            replace(BLOB, md5=bytes(16)),
            replace(BLOB, sha256=bytes(32)),
        ],
    )
    async def test_with_conditions_or_digests(
        self, nursery: trio.Nursery, start: Start, storing: Storing
    ) -> None:
        s3 = await opened(start, nursery, stored())
        assert not s3.objects.store_soon("k", DATA, storing, never)
        assert s3.objects.store_soon("k", DATA, BLOB, lambda _: None)
        s3.client.close()

    async def test_with_what_is_not_small(self, nursery: trio.Nursery, start: Start) -> None:
        s3 = await opened(start, nursery, stored())
        assert not s3.objects.store_soon("k", bytes(SMALL_BYTES + 1), BLOB, never)
        assert await s3.soon(data=bytes(SMALL_BYTES)) == '"1"'
        s3.client.close()

    @pytest.mark.parametrize("value", ["b\r\nHost: elsewhere", "b\0c", "\u20ac"])
    async def test_with_what_cannot_be_said(
        self, nursery: trio.Nursery, start: Start, value: str
    ) -> None:
        """Who stores in earnest is told why."""
        s3 = await opened(start, nursery, stored())
        storing = replace(BLOB, headers=(("x-amz-meta-a", value),))
        assert not s3.objects.store_soon("k", DATA, storing, never)
        with pytest.raises(ClientError):
            await s3.objects.store("k", Sent(DATA), storing)
        assert s3.pool is not None
        assert s3.pool.idle == s3.pool.open == 1

    async def test_with_a_key_that_means_another(self, nursery: trio.Nursery, start: Start) -> None:
        s3 = await opened(start, nursery, stored())
        assert not s3.objects.store_soon("a/../b", DATA, BLOB, never)
        with pytest.raises(BadTarget):
            await s3.objects.store("a/../b", Sent(DATA), BLOB)

    async def test_without_credentials(self, nursery: trio.Nursery, start: Start) -> None:
        def none_at_hand() -> Credentials:
            raise NoCredentials("no source yields credentials")

        server: ScriptedServer = await nursery.start(serve, scripted(stored()))
        s3 = await start(server)
        objects = s3.client.objects(config_of(server), none_at_hand)
        assert not objects.store_soon("k", DATA, BLOB, never)
        with pytest.raises(NoCredentials):
            await objects.store("k", Sent(DATA), BLOB)
        assert len(server.requests) == 1

    async def test_before_the_client_runs_and_after(self, nursery: trio.Nursery) -> None:
        server: ScriptedServer = await nursery.start(serve, scripted(stored()))
        client = S3Client(QUICK)
        objects = open_objects(client, server)
        await objects.store("first", Sent(DATA), BLOB)
        assert not objects.store_soon("k", DATA, BLOB, never)
        async with trio.open_nursery() as inner:
            await inner.start(client.run)
            inner.cancel_scope.cancel()
        assert not objects.store_soon("k", DATA, BLOB, never)
        assert len(server.requests) == 1


# What S3 may say; the last answer of each is given again and again.
SAID = {
    "fine": [stored()],
    "no content": [b"HTTP/1.1 204 No Content\r\nETag: 1\r\n\r\n"],
    "once busy": [refusal(503, "SlowDown", {"Retry-After": "0"}), stored()],
    "once broken": [refusal(500, "InternalError"), stored()],
    "once late": [refusal(400, "RequestTimeout", {"Connection": "close"}), stored()],
    "always busy": [refusal(503, "SlowDown", {"Retry-After": "0"})],
    "asks for a long pause": [refusal(503, "SlowDown", {"Retry-After": "19"})],
    "not modified": [b"HTTP/1.1 304 Not Modified\r\n\r\n"],
    "another region": [refusal(301, "PermanentRedirect", {"x-amz-bucket-region": "eu-north-1"})],
    "redirects": [refusal(307, "TemporaryRedirect", {"Location": "http://elsewhere/k"})],
    "bad request": [refusal(400, "InvalidArgument")],
    "denied": [refusal(403, "AccessDenied")],
    "wrong secret": [refusal(403, "SignatureDoesNotMatch")],
    "wrong clock": [refusal(403, "RequestTimeTooSkewed")],
    "no bucket": [refusal(404, "NoSuchBucket")],
    "no key": [refusal(404, "NoSuchKey")],
    "conflict": [refusal(409, "OperationAborted")],
    "changed": [refusal(412, "PreconditionFailed")],
    "unknown": [refusal(501, "NotImplemented")],
    "no S3": [b"SSH-2.0-OpenSSH_9.2\r\n\r\n"],
    "too large": [answer(500, {}, bytes(20 << 20))],
    "closed once": [b"", stored()],
    "closed always": [b""],
    "closes": [stored({"Connection": "close"})],
    "twice": [stored() + stored()],
}


@pytest.mark.parametrize("replies", SAID.values(), ids=SAID)
async def test_it_comes_to_what_storing_comes_to(
    nursery: trio.Nursery, replies: list[bytes]
) -> None:
    """Result or error, retries, requests, counters, connections."""

    async def comes_to(way: Way) -> tuple[object, ...]:
        server: ScriptedServer = await nursery.start(serve, scripted(*replies))
        s3 = await Start(nursery, way)(server, replace(QUICK, retries=1))
        try:
            came: object = await s3.store()
        except UpstreamError as error:
            came = (type(error), _sizeless(str(error)), getattr(error, "retry_after_s", None))
        left = (s3.pool, s3.retries, s3.outcomes)
        s3.client.close()
        return came, len(server.requests), server.connections, *left

    assert await comes_to("soon") == await comes_to("task")


def _sizeless(text: str) -> str:
    return re.sub("[0-9]+ bytes", "bytes", text)


class TestUnfinished:
    async def told(self, s3: Running) -> Unfinished[str]:
        told = await s3.soon()
        assert isinstance(told, Unfinished)
        return told

    @pytest.mark.parametrize("reply", [b"", refusal(500, "InternalError")])
    async def test_its_time_runs_from_the_beginning(
        self, nursery: trio.Nursery, start: Start, reply: bytes
    ) -> None:
        server: ScriptedServer = await nursery.start(serve, scripted(reply, stored()))
        s3 = await start(server, replace(QUICK, total_timeout_s=0.5))
        unfinished = await self.told(s3)
        await trio.sleep(0.6)
        with pytest.raises(Unavailable):
            await unfinished.finish()
        assert len(server.requests) == 2
        assert (s3.outcomes, s3.retries) == ({"ok": 1, "unavailable": 1}, 0)

    @pytest.mark.parametrize(
        "reply",
        [b"", refusal(500, "InternalError"), refusal(403, "AccessDenied"), stored()[:9], b"no S3"],
    )
    async def test_who_does_not_go_on_leaves_nothing(
        self, nursery: trio.Nursery, start: Start, reply: bytes
    ) -> None:
        async def script(peer: Peer) -> None:
            while await peer.request():
                await peer.send(stored() if len(server.requests) == 1 else reply)
                if not reply.endswith(b"</Error>") and len(server.requests) > 1:
                    return

        server: ScriptedServer = await nursery.start(serve, script)
        s3 = await start(server)
        await self.told(s3)
        assert s3.pool is not None
        assert s3.pool.open == s3.pool.idle == reply.endswith(b"</Error>")
        assert s3.pool.waiting == 0
        assert s3.outcomes == {"ok": 1}

    async def test_who_gives_up_on_the_way_leaves_nothing(
        self, nursery: trio.Nursery, start: Start
    ) -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            if not peer.number:
                await peer.send(stored())
                await peer.request()
                return
            await peer.closed_by_client()

        server: ScriptedServer = await nursery.start(serve, script)
        s3 = await start(server)
        unfinished = await self.told(s3)
        async with trio.open_nursery() as going_on:
            going_on.start_soon(unfinished.finish)
            while len(server.requests) < 3:
                await trio.testing.wait_all_tasks_blocked(0.01)
            going_on.cancel_scope.cancel()
        assert s3.open == 0
        assert s3.outcomes == {"ok": 1, "cancelled": 1}

    async def test_it_goes_on_after_the_client_has_stopped(self, nursery: trio.Nursery) -> None:
        async def script(peer: Peer) -> None:
            while await peer.request():
                if len(server.requests) == 2:
                    await peer.closed_by_client()
                    return
                await peer.send(stored())

        server: ScriptedServer = await nursery.start(serve, script)
        async with trio.open_nursery() as inner:
            s3 = await Start(inner, "soon")(server)
            told: list[Told] = []
            assert s3.objects.store_soon("k", DATA, BLOB, told.append)
            await trio.testing.wait_all_tasks_blocked(0.02)
            assert not told
            inner.cancel_scope.cancel()
        [unfinished] = told
        assert isinstance(unfinished, Unfinished)
        assert await unfinished.finish() == '"1"'
        assert [seen.body for seen in server.requests] == [DATA] * 3
        assert (s3.open, s3.outcomes, s3.retries) == (0, {"ok": 2}, 0)
