"""HEADs without a task: what they come to, when they are not for it, and what is left behind."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
import trio
import trio.testing
import trustme
from hypothesis import given
from hypothesis import strategies as st

from parparchik.config import S3Config
from parparchik.errors import Unavailable, UpstreamError
from parparchik.model import ObjectHead, Unfinished
from parparchik.s3 import S3Bucket, S3Client
from parparchik.s3.prepared import Prepared, Shelf
from tests.s3.fake_s3 import KEYS, OBJECT, QUICK, answer, config_of, error
from tests.s3.scripted import Peer, Script, ScriptedServer, Seen, in_turn, replying, serve

PRESENT = ObjectHead(4, 1777975200, '"0123"')
Told = ObjectHead | Unfinished[ObjectHead | None]


class Running:
    """A bucket on a client whose reactor runs, and with a connection that lies ready."""

    def __init__(self, client: S3Client, bucket: S3Bucket) -> None:
        self.client = client
        self.bucket = bucket

    async def soon(self, key: str = "k") -> Told:
        told: list[Told] = []
        done = trio.Event()

        def then(outcome: Told) -> None:
            told.append(outcome)
            done.set()

        assert self.bucket.head_soon(key, then)
        assert not told, "not before the event loop has turned"
        with trio.fail_after(5):
            await done.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert len(told) == 1
        return told[0]

    @property
    def open(self) -> int:
        [(_, pool)] = self.client.statistics().pools
        return pool.open

    @property
    def outcomes(self) -> dict[str, int]:
        head = self.client.statistics().operations[0]
        return {outcome: count for outcome, count in head.outcomes if count}


async def running(
    nursery: trio.Nursery, server: ScriptedServer, config: S3Config = QUICK
) -> Running:
    client = S3Client(config)
    await nursery.start(client.run)
    bucket = client.bucket(config_of(server), lambda: KEYS)
    assert await bucket.head("first") == PRESENT  # opens a connection
    return Running(client, bucket)


def present(more: Mapping[str, str] = MappingProxyType({})) -> bytes:
    return answer(200, OBJECT | dict(more), b"body", to_head=True)


def scripted(*replies: bytes, step: int = 0) -> Script:
    """The first HEAD is answered in the plain way; those after it by `replies`, as `in_turn`."""
    return in_turn(present(), *replies, step=step)


@pytest.mark.parametrize("step", [0, 1, 7])
async def test_present(nursery: trio.Nursery, step: int) -> None:
    server: ScriptedServer = await nursery.start(serve, scripted(present(), step=step))
    s3 = await running(nursery, server)
    assert [await s3.soon() for _ in range(3)] == [PRESENT] * 3
    assert server.connections == s3.open == 1
    assert s3.outcomes == {"ok": 4}


async def test_the_same_answer_is_the_same_object(nursery: trio.Nursery) -> None:
    def numbered(number: int) -> bytes:
        date = f"Tue, 05 May 2026 10:00:0{number} GMT"
        return present({"Date": date, "X-Amz-Id-2": f"{number}="})

    changed = numbered(4).replace(b"0123", b"4567")
    server: ScriptedServer = await nursery.start(
        serve, scripted(numbered(1), numbered(2), numbered(3), changed, numbered(5))
    )
    s3 = await running(nursery, server)
    told = [await s3.soon() for _ in range(5)]
    assert told[0] == PRESENT
    assert told[0] is told[1] is told[2]
    assert told[3] == replace(PRESENT, etag='"4567"')
    assert told[4] == PRESENT


async def test_objects_are_not_mistaken_for_each_other(nursery: trio.Nursery) -> None:
    def reply(seen: Seen) -> bytes:
        size = len(seen.target.rpartition("/")[2]) if seen.target.endswith("x") else 4
        return answer(200, OBJECT, b"-" * size, to_head=True)

    server: ScriptedServer = await nursery.start(serve, replying(reply))
    s3 = await running(nursery, server)
    for _ in range(2):
        for key in ("x", "xx", "xxx"):
            head = await s3.soon(key)
            assert isinstance(head, ObjectHead)
            assert head.size_bytes == len(key)


@pytest.mark.parametrize("excess", [b"x" * 10, b"\r\nDate: Tue", present(), b"\r\n"])
async def test_bytes_beyond_the_answer_end_the_connection(
    nursery: trio.Nursery, excess: bytes
) -> None:
    server: ScriptedServer = await nursery.start(
        serve, scripted(present(), present() + excess, present())
    )
    s3 = await running(nursery, server)
    assert await s3.soon() == PRESENT
    assert await s3.soon() == PRESENT
    assert s3.open == 0
    assert await s3.bucket.head("k") == PRESENT
    assert server.connections == 2


async def test_a_server_that_closes_is_taken_at_its_word(nursery: trio.Nursery) -> None:
    server: ScriptedServer = await nursery.start(serve, scripted(present({"Connection": "close"})))
    s3 = await running(nursery, server)
    assert await s3.soon() == PRESENT
    assert s3.open == 0


async def finished(told: Told) -> ObjectHead | None:
    assert isinstance(told, Unfinished)
    return await told.finish()


async def test_absent_costs_no_second_head(nursery: trio.Nursery) -> None:
    def reply(seen: Seen) -> bytes:
        return present() if seen.target.endswith("first") else error(seen, 404, "NoSuchKey")

    server: ScriptedServer = await nursery.start(serve, replying(reply))
    s3 = await running(nursery, server)
    assert await finished(await s3.soon()) is None
    assert [seen.method for seen in server.requests] == ["HEAD", "HEAD", "GET"]
    assert s3.outcomes == {"ok": 1, "absent": 1}


@pytest.mark.parametrize("call", ["head", "head_soon"])
async def test_what_passes_is_tried_again(nursery: trio.Nursery, call: str) -> None:
    server: ScriptedServer = await nursery.start(
        serve, scripted(answer(503, to_head=True), present())
    )
    s3 = await running(nursery, server)
    head = await (s3.bucket.head("k") if call == "head" else finished(await s3.soon()))
    assert head == PRESENT
    assert len(server.requests) == 3
    assert s3.client.statistics().operations[0].retries == 1
    assert s3.outcomes == {"ok": 2}


@pytest.mark.parametrize("call", ["head", "head_soon"])
async def test_a_kept_connection_that_was_closed_is_replaced(
    nursery: trio.Nursery, call: str
) -> None:
    server: ScriptedServer = await nursery.start(serve, scripted(b"", present()))
    s3 = await running(nursery, server)
    head = await (s3.bucket.head("k") if call == "head" else finished(await s3.soon()))
    assert head == PRESENT
    assert server.connections == 2
    assert s3.client.statistics().operations[0].retries == 0


@pytest.mark.parametrize(
    "reply",
    [b"HTTP/1.1 200 OK\r\n" * 2 + b"\r\n", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", answer(200, {}, b"x")],
)
async def test_what_is_no_answer_of_s3_is_an_error(nursery: trio.Nursery, reply: bytes) -> None:
    server: ScriptedServer = await nursery.start(serve, scripted(reply))
    s3 = await running(nursery, server)
    with pytest.raises(UpstreamError):
        await finished(await s3.soon())


async def test_an_answer_that_breaks_off_is_tried_again(nursery: trio.Nursery) -> None:
    async def script(peer: Peer) -> None:
        while await peer.request():
            if len(server.requests) == 2:
                await peer.send(present()[:40])
                return
            await peer.send(present())

    server: ScriptedServer = await nursery.start(serve, script)
    s3 = await running(nursery, server)
    assert await finished(await s3.soon()) == PRESENT
    assert s3.client.statistics().operations[0].retries == 1


async def hang_from_the_second(peer: Peer) -> None:
    """On each connection."""
    await peer.request()
    await peer.send(present())
    await peer.request()
    await peer.closed_by_client()


@pytest.mark.parametrize("call", ["head", "head_soon"])
async def test_a_hung_server_is_unavailable_in_time(nursery: trio.Nursery, call: str) -> None:
    server: ScriptedServer = await nursery.start(serve, hang_from_the_second)
    s3 = await running(nursery, server, replace(QUICK, probe_timeout_s=0.2))
    with pytest.raises(Unavailable, match=r"0\.2 s"):
        await (s3.bucket.head("k") if call == "head" else finished(await s3.soon()))
    assert len(server.requests) == 2
    assert s3.open == 0
    assert s3.outcomes == {"ok": 1, "unavailable": 1}


async def test_a_hung_connection_is_given_up_for_another(nursery: trio.Nursery) -> None:
    server: ScriptedServer = await nursery.start(serve, hang_from_the_second)
    s3 = await running(nursery, server, replace(QUICK, read_timeout_s=0.1))
    assert await finished(await s3.soon()) == PRESENT
    assert server.connections == 2


async def test_cancelled_while_waiting(nursery: trio.Nursery) -> None:
    server: ScriptedServer = await nursery.start(serve, hang_from_the_second)
    s3 = await running(nursery, server)
    async with trio.open_nursery() as asking:
        asking.start_soon(s3.bucket.head, "k")
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert len(server.requests) == 2
        asking.cancel_scope.cancel()
    assert s3.open == 0
    assert s3.outcomes == {"ok": 1, "cancelled": 1}
    assert await s3.bucket.head("k") == PRESENT


async def test_nothing_begins_without_a_connection_that_lies_ready(nursery: trio.Nursery) -> None:
    server: ScriptedServer = await nursery.start(serve, hang_from_the_second)
    s3 = await running(nursery, server)
    told: list[Told] = []
    assert s3.bucket.head_soon("k", told.append)
    assert not s3.bucket.head_soon("k", told.append)
    s3.client.close()
    assert not told


async def test_nothing_begins_while_the_client_does_not_run(nursery: trio.Nursery) -> None:
    server: ScriptedServer = await nursery.start(serve, replying(lambda _: present()))
    client = S3Client(QUICK)
    bucket = client.bucket(config_of(server), lambda: KEYS)
    assert await bucket.head("k") == PRESENT
    assert not bucket.head_soon("k", lambda _: None)
    client.close()


async def test_who_still_waits_when_the_client_stops_is_told(nursery: trio.Nursery) -> None:
    server: ScriptedServer = await nursery.start(serve, hang_from_the_second)
    client = S3Client(QUICK)
    told: list[Told] = []
    heads: list[ObjectHead | None] = []
    async with trio.open_nursery() as inner:
        await inner.start(client.run)
        bucket = client.bucket(config_of(server), lambda: KEYS)
        await bucket.head("k")
        assert bucket.head_soon("k", told.append)
        inner.cancel_scope.cancel()
    [unfinished] = told
    heads.append(await finished(unfinished))
    assert heads == [PRESENT]
    client.close()


async def test_many_at_once_each_get_their_own(nursery: trio.Nursery) -> None:
    def reply(seen: Seen) -> bytes:
        key = seen.target.rpartition("/")[2]
        return present() if key == "first" else present().replace(b"0123", key.encode())

    server: ScriptedServer = await nursery.start(serve, replying(reply))
    s3 = await running(nursery, server)
    got: dict[str, str] = {}

    async def ask(key: str) -> None:
        head = await s3.bucket.head(key)
        assert head is not None
        got[key] = head.etag

    for _ in range(3):
        async with trio.open_nursery() as asking:
            for number in range(60):
                asking.start_soon(ask, str(number))
    assert got == {str(number): f'"{number}"' for number in range(60)}


async def test_over_tls(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    async def task(task_status: trio.TaskStatus[ScriptedServer]) -> None:
        await serve(
            scripted(present(), present(), b"", present()), tls=context, task_status=task_status
        )

    server: ScriptedServer = await nursery.start(task)
    with authority.cert_pem.tempfile() as bundle:
        s3 = await running(nursery, server, replace(QUICK, ca_bundle=Path(bundle)))
    assert [await s3.soon(), await s3.soon()] == [PRESENT] * 2
    assert server.connections == 1
    assert await finished(await s3.soon()) == PRESENT


LEARNT = present({"Date": "Tue, 05 May 2026 10:00:00 GMT"})


@given(st.integers(0, len(LEARNT)), st.binary(max_size=6), st.integers(0, 6))
def test_nothing_but_the_learnt_answer_is_recognised(at: int, new: bytes, instead: int) -> None:
    """Of all the changes to an answer, none that says something else is overlooked."""
    prepared = Prepared("k", Shelf(), {})
    assert prepared.recognise(LEARNT) is None
    prepared.learn(LEARNT, PRESENT)
    data = LEARNT[:at] + new + LEARNT[at + instead :]
    if prepared.recognise(data) is None:
        return

    def telling(answer: bytes) -> list[bytes]:
        return [line for line in answer.split(b"\r\n") if not line.lower().startswith(b"date: ")]

    assert telling(data) == telling(LEARNT)


def test_every_piece_of_the_learnt_answer_is_too_little() -> None:
    prepared = Prepared("k", Shelf(), {})
    prepared.learn(LEARNT, PRESENT)
    assert prepared.recognise(LEARNT) is PRESENT
    assert not any(prepared.recognise(LEARNT[:length]) for length in range(len(LEARNT)))
