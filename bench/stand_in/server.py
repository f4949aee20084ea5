"""The server of the stand-in: one task, one epoll, connections as plain objects."""

from __future__ import annotations

import select
import socket
from collections.abc import Sequence
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

_RECV_BYTES = 1 << 18
_BATCH = 256
_HEAD_END = b"\r\n\r\n"
_BAD = error(400, "InvalidRequest")


class StandIn:
    """An S3 endpoint with these buckets, addressed by path. `heads` counts HEADs answered."""

    def __init__(self, specs: Sequence[BucketSpec]) -> None:
        self.heads = 0
        self._buckets = {spec.name: BucketContent(spec) for spec in specs}
        self._known: set[bytes] = set()  # targets whose HEAD finds a generated object

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
            connection.wants = stop
            return False
        body = bytes(held[start:stop])
        del held[:stop]
        connection.wants = 0
        connection.send(self._answer(parts[0], parts[1], headers, body))
        return bool(held)

    def _answer(
        self, method: bytes, target: bytes, headers: dict[bytes, bytes], body: bytes
    ) -> bytes:
        path, _, query = target.decode("latin-1").partition("?")
        name, _, key = path.removeprefix("/").partition("/")
        bucket = self._buckets.get(name)
        if bucket is None:
            return NO_BUCKET
        key = unquote(key)
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


class _Connection:
    """`held` is what has come and is not answered; a whole request may have `wants` bytes."""

    __slots__ = ("_epoll", "_unsent", "held", "sock", "wants")

    def __init__(self, sock: socket.socket, epoll: select.epoll) -> None:
        self.sock = sock
        self.held = bytearray()
        self.wants = 0
        self._epoll = epoll
        self._unsent = memoryview(b"")

    def send(self, data: bytes) -> None:
        if self._unsent:
            self._unsent = memoryview(bytes(self._unsent) + data)
            return
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._unsent = memoryview(data)[sent:]
            # Nothing is read meanwhile: what waits to be sent has a bound.
            self._epoll.modify(self.sock.fileno(), select.EPOLLOUT)

    def flush(self) -> None:
        self._unsent = self._unsent[self.sock.send(self._unsent) :]
        if not self._unsent:
            self._epoll.modify(self.sock.fileno(), select.EPOLLIN)
