"""One HEAD on the reactor, with the other end of its connection in the test's hand."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import trio
import trio.testing

from parparchik.model import ObjectHead
from parparchik.s3.connection import Connection, PlainConnection
from parparchik.s3.pool import Pool
from parparchik.s3.prepared import Prepared, Shelf
from parparchik.s3.probing import Outcome, Probe
from parparchik.s3.reactor import Reactor
from parparchik.s3.response import Reply

PRESENT = (
    b'HTTP/1.1 200 OK\r\nContent-Length: 4\r\nETag: "0123"\r\n'
    b"Last-Modified: Tue, 05 May 2026 10:00:00 GMT\r\nDate: Tue, 05 May 2026 10:00:00 GMT\r\n\r\n"
)
HEAD = ObjectHead(4, 1777975200, '"0123"')
LATE_S = 5.0


class Line:
    """A pool of one connection; `peer` is its other end."""

    def __init__(self, reactor: Reactor) -> None:
        self.reactor = reactor
        self.pool = Pool(self._connect, max_connections=1, idle_timeout_s=60)
        self.prepared = Prepared("k", Shelf(), {})
        self.prepared.request = b"HEAD /k HTTP/1.1\r\n\r\n"
        self.told: list[Outcome] = []
        self.peer: Any = None

    async def _connect(self, _timeout_s: float) -> Connection:
        if self.peer is not None:
            self.peer.close()
        ours, self.peer = socket.socketpair()
        return PlainConnection(ours)

    async def connection(self) -> Connection:
        return await self.pool.acquire()

    async def probe(self) -> Probe:
        probe = self.probe_on(await self.connection())
        assert probe.send(now_s=trio.current_time(), timeout_s=LATE_S)
        assert self.peer.recv(1000) == self.prepared.request
        return probe

    def probe_on(self, connection: Connection) -> Probe:
        return Probe(self.pool, connection, self.reactor, self.prepared, self.told.append)

    async def says(self, *pieces: bytes) -> Outcome | str:
        """What a HEAD comes to, if these pieces are the answer, an empty one its end; 'nothing' if
        it goes on waiting."""
        self.told.clear()
        await self.probe()
        for piece in pieces:
            if piece:
                self.peer.sendall(piece)
            else:
                self.peer.close()
            await trio.testing.wait_all_tasks_blocked(0.01)
        return self.told[0] if self.told else "nothing"

    @property
    def kept(self) -> int:
        return self.pool.statistics().idle


@pytest.fixture
async def line(nursery: trio.Nursery) -> AsyncIterator[Line]:
    reactor = Reactor()
    await nursery.start(reactor.run)
    line = Line(reactor)
    yield line
    line.pool.close()
    line.peer.close()


async def test_one_that_cannot_be_sent_leaves_nothing(line: Line) -> None:
    connection = await line.connection()
    line.peer.close()
    probe = line.probe_on(connection)
    assert not probe.send(now_s=trio.current_time(), timeout_s=LATE_S)
    assert line.pool.statistics().open == 0
    assert not line.told


async def test_pieces_teach_nothing(line: Line) -> None:
    for _ in range(2):
        assert await line.says(PRESENT[:40], PRESENT[40:]) == HEAD
    assert line.kept == 1
    assert await line.says(PRESENT[40:]) != HEAD
    assert await line.says(b"") is None, "an end is no answer"
    assert line.kept == 0


async def test_what_is_learnt_may_come_in_pieces(line: Line) -> None:
    assert await line.says(PRESENT) == HEAD
    assert await line.says(*(bytes([byte]) for byte in PRESENT)) == HEAD
    assert line.kept == 1


async def test_a_connection_that_is_to_be_closed_is_so_each_time(line: Line) -> None:
    closing = PRESENT.replace(b"\r\nDate", b"\r\nConnection: close\r\nDate")
    for _ in range(3):
        assert await line.says(closing) == HEAD
        assert line.kept == 0


async def test_a_known_answer_behind_something_else_is_not_known(line: Line) -> None:
    assert await line.says(PRESENT) == HEAD
    outcome = await line.says(b"HTTP/1.1 404 Not Found\r\nX: ", PRESENT)
    assert isinstance(outcome, Reply)
    assert outcome.status == 404


@pytest.mark.parametrize("value", [b"\r\nConnection: close\r\nX: 0123456789", b"\x00" * 29])
async def test_what_may_differ_may_not_be_more_than_text(line: Line, value: bytes) -> None:
    known = b"Tue, 05 May 2026 10:00:00 GMT"
    date = b"Date: " + known
    assert await line.says(PRESENT) == HEAD
    other = PRESENT.replace(date, b"Date: " + (value + known)[: len(known)])
    assert len(other) == len(PRESENT)
    await line.says(other)
    assert line.kept == 0


async def test_an_answer_that_got_longer_is_known_from_then_on(line: Line) -> None:
    def numbered(number: int) -> bytes:
        return PRESENT.replace(b"\r\nDate", b"\r\nX-Request-Id: %d\r\nDate" % number)

    told = [await line.says(numbered(number)) for number in (9, 10, 11, 8)]
    assert told[0] == HEAD
    assert all(each is told[0] for each in told)
    assert await line.says(numbered(9).replace(b"0123", b"01234")) == ObjectHead(
        4, 1777975200, '"01234"'
    )


async def test_an_answer_that_is_there_when_time_is_up_counts(line: Line) -> None:
    """This process was held up, not S3."""
    probe = await line.probe()
    line.peer.sendall(PRESENT)
    probe.on_timeout()
    assert line.told == [HEAD]
    assert line.kept == 1


@pytest.mark.parametrize("so_far", [b"", PRESENT[:40]])
async def test_a_late_answer_is_nobodys(line: Line, so_far: bytes) -> None:
    probe = await line.probe()
    if so_far:
        line.peer.sendall(so_far)
    probe.on_timeout()
    [outcome] = line.told
    assert isinstance(outcome, httpx.ReadTimeout)
    assert line.pool.statistics().open == 0
    with pytest.raises(BrokenPipeError):
        line.peer.sendall(PRESENT)


async def test_all_that_is_there_is_read_at_once(line: Line) -> None:
    """More than one receive can take; there is no second call for it."""
    interim = b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n"
    assert await line.says(interim * 20 + PRESENT[:-2], b"\r\n") == HEAD
