"""An S3 of one bucket whose HEADs go wrong in one way at a time, byte by byte as told.

Threads and blocking sockets: every connection has a script that it follows to its end. Objects
differ in size, so that an answer taken for another key's shows.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

BUCKET = "files"
SIZES = {f"file-{n}": 100 + n for n in range(6)}
MODIFIED = "Tue, 05 May 2026 10:00:00 GMT"
SHORT_S = 0.005  # so that what comes before and after does not arrive together


def answer(status: int, body: bytes = b"", *, more: str = "", length: int | None = None) -> bytes:
    length = len(body) if length is None else length
    head = f"HTTP/1.1 {status} Reason\r\nContent-Length: {length}\r\n{more}\r\n"
    return head.encode() + body


def code(status: int, name: str) -> bytes:
    return answer(status, f"<Error><Code>{name}</Code></Error>".encode())


def present(key: str, more: str = "") -> bytes:
    more = f'Last-Modified: {MODIFIED}\r\nETag: "{key}"\r\n{more}'
    return answer(200, more=more, length=SIZES[key])


ABSENT = answer(404)


class HangUp(Exception):
    """The connection ends here."""


@dataclass
class FaultyS3:
    """`fault` is done instead of an answer to the HEAD of a key that is there; None: nothing."""

    fault: Callable[[FaultyS3, socket.socket, str], None] | None = None
    error: tuple[int, str] | None = None  # status and code of all answers, if set
    resumed: threading.Event = field(default_factory=threading.Event)
    unasked: threading.Event = field(default_factory=threading.Event)
    endpoint: str = ""
    heads: int = 0
    under_way: int = 0
    most_under_way: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def converse(self, connection: socket.socket) -> None:
        received = b""
        while True:
            while b"\r\n\r\n" not in received:
                piece = connection.recv(65_536)
                if not piece:
                    return
                received += piece
            head, _, received = received.partition(b"\r\n\r\n")
            method, target, _ = head.decode().split("\r\n")[0].split(" ")
            length = [line for line in head.lower().split(b"\r\n") if b"content-length:" in line]
            missing = int(length[0].partition(b":")[2]) - len(received) if length else 0
            while missing > 0:
                piece = connection.recv(missing)
                missing -= len(piece) or missing
            received = b"" if length else received
            self._reply(connection, method, target)

    def _reply(self, connection: socket.socket, method: str, target: str) -> None:
        path, _, query = target.partition("?")
        key = path.removeprefix(f"/{BUCKET}").removeprefix("/")
        if method == "HEAD":
            self._count(+1)
            try:
                self._head(connection, key)
            finally:
                self._count(-1)
        elif "list-type=2" in query:
            connection.sendall(answer(200, listing()))
        elif method == "PUT":
            connection.sendall(answer(200, more='ETag: "x"\r\n'))
        elif self.error:
            connection.sendall(code(*self.error))
        else:
            connection.sendall(code(404, "NoSuchKey"))

    def _head(self, connection: socket.socket, key: str) -> None:
        if self.error:
            connection.sendall(answer(self.error[0]))
        elif key not in SIZES:
            connection.sendall(ABSENT)
        elif self.fault is not None:
            self.fault(self, connection, key)
        else:
            connection.sendall(present(key))

    def _count(self, change: int) -> None:
        with self._lock:
            self.heads += change > 0
            self.under_way += change
            self.most_under_way = max(self.most_under_way, self.under_way)

    def heal(self) -> None:
        self.fault = self.error = None
        self.resumed.set()

    def break_down(self, fault: Callable[[FaultyS3, socket.socket, str], None]) -> None:
        self.resumed.clear()
        self.fault = fault


def listing() -> bytes:
    contents = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2026-05-05T10:00:00.000Z</LastModified>"
        f'<ETag>"{key}"</ETag><Size>{size}</Size></Contents>'
        for key, size in SIZES.items()
    )
    return (
        f"<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>".encode()
    )


# -- what may go wrong with the answer to one HEAD ------------------------------------------------


def hang(s3: FaultyS3, connection: socket.socket, key: str) -> None:
    """And say at last that there is no such key, when nobody asks any more."""
    s3.resumed.wait(30)
    connection.sendall(ABSENT)


def reset(_s3: FaultyS3, connection: socket.socket, _key: str) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise HangUp


def close(_s3: FaultyS3, _connection: socket.socket, _key: str) -> None:
    raise HangUp


def half_a_head(_s3: FaultyS3, connection: socket.socket, key: str) -> None:
    connection.sendall(present(key)[:50])
    raise HangUp


def half_a_head_then_nothing(s3: FaultyS3, connection: socket.socket, key: str) -> None:
    data = present(key)
    connection.sendall(data[:50])
    s3.resumed.wait(30)
    connection.sendall(data[50:])


def garbage(_s3: FaultyS3, connection: socket.socket, _key: str) -> None:
    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


def single_bytes(_s3: FaultyS3, connection: socket.socket, key: str) -> None:
    for byte in present(key):
        connection.sendall(bytes([byte]))


def twice(_s3: FaultyS3, connection: socket.socket, key: str) -> None:
    connection.sendall(present(key) + ABSENT)


def before_it_is_asked(s3: FaultyS3, connection: socket.socket, key: str) -> None:
    connection.sendall(present(key))
    time.sleep(SHORT_S)
    connection.sendall(ABSENT)
    s3.unasked.set()


def closing(_s3: FaultyS3, connection: socket.socket, key: str) -> None:
    connection.sendall(present(key, "Connection: close\r\n"))
    raise HangUp


def with_a_body(_s3: FaultyS3, connection: socket.socket, key: str) -> None:
    connection.sendall(present(key) + b"x" * SIZES[key])


def chunked(_s3: FaultyS3, connection: socket.socket, key: str) -> None:
    head = present(key).replace(
        f"Content-Length: {SIZES[key]}".encode(), b"Transfer-Encoding: chunked"
    )
    connection.sendall(head + b"0\r\n\r\n")


def interim(_s3: FaultyS3, connection: socket.socket, key: str) -> None:
    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n")
    connection.sendall(present(key))


def slow(_s3: FaultyS3, connection: socket.socket, key: str) -> None:
    time.sleep(SHORT_S)
    connection.sendall(present(key))


@contextlib.contextmanager
def faulty_s3() -> Iterator[FaultyS3]:
    s3 = FaultyS3()
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    s3.endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"

    def talk(connection: socket.socket) -> None:
        with connection, contextlib.suppress(HangUp, OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s3.converse(connection)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield s3
    finally:
        s3.heal()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
