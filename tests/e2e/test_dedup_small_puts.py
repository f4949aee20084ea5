"""Many small PUTs at once on raw sockets, however their bytes come, and a server that has to go
amid them."""

from __future__ import annotations

import re
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from tests.e2e.byte_groups import DEADLINE_S, until
from tests.e2e.dedup_group import DedupGroup, dedup_group
from tests.e2e.dedup_s3 import DedupS3, dedup_s3

CONNECTIONS = 64
PATHS = 20
NO_CLEANING = {"PARPARCHIK_DEDUP_CLEAN_EVERY": "0"}

Parts = Sequence[tuple[bytes, bytes]]
Send = Callable[[Sequence[socket.socket], Parts], None]


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[DedupS3]:
    with dedup_s3(tmp_path / "s3") as s3:
        yield s3


@contextmanager
def connections(group: DedupGroup) -> Iterator[list[socket.socket]]:
    url = urlsplit(group.url)
    at = (url.hostname or "", url.port or 0)
    with ExitStack() as stack:
        opened = [
            stack.enter_context(socket.create_connection(at, DEADLINE_S))
            for _ in range(CONNECTIONS)
        ]
        for one in opened:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield opened


def head(path: str, version_s: int, body: bytes) -> bytes:
    return (
        f"PUT /ft/files/{path}?last_modified={quote(formatdate(version_s))} HTTP/1.1\r\n"
        f"Host: t\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()


def status(connection: socket.socket) -> int | None:
    """None where there is no whole answer."""
    try:
        with HTTPResponse(connection, method="PUT") as response:
            response.begin()
            response.read()
            return response.status
    except (HTTPException, ConnectionError):
        return None


def handed_over(group: DedupGroup) -> int:
    text = group.ask("GET", "/metrics").body.decode()
    (found,) = re.findall(r"^parparchik_connections_handed_over_total (\S+)$", text, re.MULTILINE)
    return int(float(found))


def in_one(connections: Sequence[socket.socket], puts: Parts) -> None:
    for connection, (start, body) in zip(connections, puts, strict=True):
        connection.sendall(start + body)


def in_two(connections: Sequence[socket.socket], puts: Parts) -> None:
    for part in (0, 1):
        for connection, put in zip(connections, puts, strict=True):
            connection.sendall(put[part])


def byte_by_byte(connections: Sequence[socket.socket], puts: Parts) -> None:
    whole = [start + body for start, body in puts]
    for at in range(max(map(len, whole))):
        for connection, data in zip(connections, whole, strict=True):
            connection.sendall(data[at : at + 1])


@pytest.mark.parametrize("workers", [1, 2])
def test_however_they_come_the_newest_stay(s3: DedupS3, tmp_path: Path, workers: int) -> None:
    with dedup_group(s3, f"sqlite:///{tmp_path}/files.db", workers, more=NO_CLEANING) as group:
        expected: dict[str, bytes] = {}
        version_s = 1000
        with connections(group) as opened:
            for send in (in_one, in_two, byte_by_byte, in_one):  # each on the same connections
                puts = []
                for number in range(CONNECTIONS):
                    version_s += 1
                    # Some contents are of several paths, and some of one path over and over.
                    path, data = f"d/{number % PATHS:02}", b"content %d" % (version_s % 13)
                    puts.append((head(path, version_s, data), data))
                    expected[path] = data
                before = handed_over(group)
                send(opened, puts)
                assert [status(one) for one in opened] == [200] * CONNECTIONS
                if send is in_one and workers == 1:  # the edge took them; it gave away who asked
                    assert handed_over(group) == before + 1
                assert {path: group.content(path) for path in expected} == expected
        assert group.paths() == sorted(expected)
        if workers == 1:  # several may store the same at once, each on its own
            assert len(s3.objects) == 13


@dataclass
class Gate:
    """Before an S3: `arrived` counts the objects that it has been sent, and each waits to be let
    through."""

    arrived: int = 0
    may: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def __call__(self, method: str, key: str) -> None:
        if method == "PUT":
            self.arrived += 1
            self.may.acquire()


@pytest.mark.parametrize(("grace", "taken"), [("30s", CONNECTIONS), ("1ms", CONNECTIONS // 2)])
def test_what_was_answered_is_there_when_the_server_is_back(
    s3: DedupS3, tmp_path: Path, grace: str, taken: int
) -> None:
    """Told to end amid all of them, of which S3 takes so many by then."""
    metadata, gate = f"sqlite:///{tmp_path}/files.db", Gate()
    bodies = {f"d/{number:02}": b"content %d" % number for number in range(CONNECTIONS)}
    puts = [(head(path, 1000, body), body) for path, body in bodies.items()]
    more = NO_CLEANING | {"PARPARCHIK_SHUTDOWN_GRACE": grace}
    with dedup_group(s3, metadata, more=more) as group, connections(group) as opened:
        # From now on there are connections to S3: what is put needs no task any more.
        in_one(opened, [(head(path, 1, path.encode()), path.encode()) for path in bodies])
        assert [status(one) for one in opened] == [200] * CONNECTIONS
        s3.fault = gate
        try:
            in_one(opened, puts)
            until(lambda: gate.arrived == CONNECTIONS, lambda: f"{gate.arrived}")
            gate.may.release()
            assert select.select(opened, [], [], DEADLINE_S)[0]
            group.program.process.send_signal(signal.SIGTERM)
            group.program.wait_for('"stopping"')
            gate.may.release(taken - 1)
            statuses = [status(one) for one in opened]
            assert group.program.wait() == 0, group.program.output
        finally:
            s3.fault = None
            gate.may.release(CONNECTIONS)
    assert '"error"' not in group.program.output
    answered = {path for path, told in zip(bodies, statuses, strict=True) if told == 200}
    assert answered
    assert len(answered) == CONNECTIONS or taken < CONNECTIONS, statuses
    with dedup_group(s3, metadata, more=more) as group, connections(group) as opened:
        assert group.paths() == sorted(bodies)
        for path, body in bodies.items():
            assert group.content(path) in ((body,) if path in answered else (body, path.encode()))
        in_one(opened, puts)
        assert [status(one) for one in opened] == [200] * CONNECTIONS
        assert {path: group.content(path) for path in bodies} == bodies
