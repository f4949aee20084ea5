"""The server of the stand-in: one task, one epoll, connections as plain objects."""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

import trio

from bench.stand_in.answers import (
    BUCKET_MADE,
    HEAD_GENERATED,
    NO_BUCKET,
    UNKNOWN_METHOD,
    error,
    get_object,
    list_objects,
    put_object,
)
from bench.stand_in.buckets import BucketContent, BucketSpec
from bench.stand_in.bulk import Reply, get_large, write_large

_RECV_BYTES = 1 << 18
_BATCH = 256
_HEAD_END = b"\r\n\r\n"
_BAD = error(400, "InvalidRequest")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class StandIn:
    """An S3 endpoint with these buckets, addressed by path. `heads` counts HEADs answered."""

    def __init__(self, specs: Sequence[BucketSpec]) -> None:
        self.heads = 0
        self._buckets = {spec.name: BucketContent(spec) for spec in specs}
        self._known: set[bytes] = set()  # targets whose HEAD finds a generated object
        self._sink = memoryview(bytearray(1 << 20))  # what nobody keeps is read into

    async def serve(self, listener: socket.socket) -> None:
        """Answer until cancelled. `listener` is listening and does not block."""
        connections: dict[int, _Connection] = {}
        with select.epoll() as epoll:
            epoll.register(listener.fileno(), select.EPOLLIN)
            try:
                while True:
                    await trio.lowlevel.wait_readable(epoll.fileno())
                    for fd, event in epoll.poll(0, _BATCH):
                        if fd == listener.fileno():
                            self._accept(listener, epoll, connections)
                        elif not self._serve_one(connections[fd], event):
                            connections.pop(fd).sock.close()
            finally:
                for connection in connections.values():
                    connection.sock.close()

    def _accept(
        self, listener: socket.socket, epoll: select.epoll, connections: dict[int, _Connection]
    ) -> None:
        try:
            sock, _ = listener.accept()
        except OSError:
            return  # it has gone again
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connections[sock.fileno()] = _Connection(sock, epoll)
        epoll.register(sock.fileno(), select.EPOLLIN)

    def _serve_one(self, connection: _Connection, event: int) -> bool:
        """Read, answer, write; False when the connection is over."""
        try:
            if event & select.EPOLLOUT:
                connection.flush()
                return True
            if connection.sinking is not None:
                return self._sink_more(connection, connection.sinking)
            data = connection.sock.recv(_RECV_BYTES)
            if not data:
                return False
            if data.startswith(b"HEAD ") and not connection.held and data.endswith(_HEAD_END):
                target = data[5 : data.index(b" ", 5)]
                if target in self._known and data.count(_HEAD_END) == 1:
                    self.heads += 1
                    connection.send(HEAD_GENERATED)
                    return True
            connection.held += data
            while connection.wants <= len(connection.held) and self._answer_next(connection):
                pass
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True

    def _answer_next(self, connection: _Connection) -> bool:
        """Answer one request of what has come; False when that is no whole one."""
        held = connection.held
        end = held.find(_HEAD_END)
        if end < 0:
            return False
        line, *lines = bytes(held[:end]).split(b"\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (one.partition(b":") for one in lines)
        }
        start = end + len(_HEAD_END)
        length = headers.get(b"content-length", b"0")
        parts = line.split(b" ")
        if len(parts) != 3 or not length.isdigit():
            connection.send(_BAD)
            raise ConnectionAbortedError
        stop = start + int(length)
        if len(held) < stop:
            sinking = self._sinks(parts[0], parts[1], int(length))
            if sinking is not None:
                sinking.left_bytes -= len(held) - start
                connection.sinking = sinking
                held.clear()
                if headers.get(b"expect", b"").lower() == b"100-continue":
                    connection.send(_CONTINUE)
                return False
            connection.wants = stop
            return False
        body = bytes(held[start:stop])
        del held[:stop]
        connection.wants = 0
        answer = self._answer(parts[0], parts[1], headers, body)
        if isinstance(answer, Reply):
            connection.send(answer.head)
            connection.send(answer.body)
        else:
            connection.send(answer)
        return bool(held)

    def _sinks(self, method: bytes, target: bytes, body_bytes: int) -> _Sinking | None:
        """Where a body goes of which only a part has come, and which need not be held."""
        bucket, key, query = self._find(target)
        if method != b"PUT" or bucket is None or not bucket.spec.sink:
            return None
        return _Sinking(bucket, key, query, body_bytes, body_bytes)

    def _sink_more(self, connection: _Connection, sinking: _Sinking) -> bool:
        count = connection.sock.recv_into(self._sink[: sinking.left_bytes])
        sinking.left_bytes -= count
        if count and not sinking.left_bytes:
            connection.sinking = None
            connection.send(
                write_large(
                    *(sinking.bucket, b"PUT", sinking.key, sinking.query, sinking.body_bytes)
                )
            )
        return bool(count)

    def _find(self, target: bytes) -> tuple[BucketContent | None, str, str]:
        """(bucket, key, query)."""
        path, _, query = target.decode("latin-1").partition("?")
        name, _, key = path.removeprefix("/").partition("/")
        return self._buckets.get(name), unquote(key), query

    def _answer(
        self, method: bytes, target: bytes, headers: dict[bytes, bytes], body: bytes
    ) -> bytes | Reply:
        bucket, key, query = self._find(target)
        if bucket is None:
            return NO_BUCKET
        if key and bucket.spec.is_bulk:
            if method in (b"GET", b"HEAD"):
                self.heads += method == b"HEAD"
                return get_large(bucket, key, headers, to_head=method == b"HEAD")
            if bucket.spec.sink:
                return write_large(bucket, method, key, query, len(body))
        match method:
            case b"HEAD" if key:
                self.heads += 1
                answer = get_object(bucket, key, to_head=True)
                if answer is HEAD_GENERATED and len(self._known) < _KNOWN_MAX:
                    self._known.add(target)
                return answer
            case b"GET" if key:
                return get_object(bucket, key, to_head=False)
            case b"GET":
                return list_objects(bucket, query)
            case b"PUT" if key:
                return put_object(bucket, key, body, headers)
            case b"PUT":
                return BUCKET_MADE  # it was there before: who makes one wants to have it
        return UNKNOWN_METHOD


_KNOWN_MAX = 200_000


@dataclass(slots=True)
class _Sinking:
    """A PUT of `body_bytes` of which `left_bytes` are still to come."""

    bucket: BucketContent
    key: str
    query: str
    body_bytes: int
    left_bytes: int


class _Connection:
    """`held` is what has come and is not answered; a whole request may have `wants` bytes.
    `sinking` is the body that is under way and not held."""

    __slots__ = ("_epoll", "_unsent", "held", "sinking", "sock", "wants")

    def __init__(self, sock: socket.socket, epoll: select.epoll) -> None:
        self.sock = sock
        self.held = bytearray()
        self.wants = 0
        self.sinking: _Sinking | None = None
        self._epoll = epoll
        self._unsent: deque[memoryview] = deque()

    def send(self, data: bytes | memoryview) -> None:
        if self._unsent:
            self._unsent.append(memoryview(data))
            return
        try:
            sent = self.sock.send(data) if data else 0
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._unsent.append(memoryview(data)[sent:])
            # Nothing is read meanwhile: what waits to be sent has a bound.
            self._epoll.modify(self.sock.fileno(), select.EPOLLOUT)

    def flush(self) -> None:
        unsent = self._unsent
        while unsent:
            sent = self.sock.send(unsent[0])
            if sent < len(unsent[0]):
                unsent[0] = unsent[0][sent:]
                return
            unsent.popleft()
        self._epoll.modify(self.sock.fileno(), select.EPOLLIN)
