"""An S3 with large objects, that counts what it is asked and breaks off when told to."""

from __future__ import annotations

import hashlib
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

BUCKET = "bulk"
PIECE_BYTES = 64 * 1024
_RANGE = re.compile(r"bytes=(\d+)-(\d*)$")
_NO_KEY = b"<Error><Code>NoSuchKey</Code><Message>none</Message></Error>"


@dataclass(frozen=True)
class Asked:
    method: str
    key: str
    range: str = ""
    traceparent: str = ""


@dataclass
class BytesS3:
    """`objects` by key; `asked` in order. `gone_after_bytes`: the connection is reset behind so
    many bytes of any body, or of the next `times_gone` that have as many. `status`: the answer to
    everything. `rate` bounds bytes a second."""

    objects: dict[str, bytes] = field(default_factory=dict)
    modified_s: dict[str, float] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    gone_after_bytes: int | None = None
    times_gone: int | None = None
    status: int = 0
    rate: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)
    sent_bytes: int = 0
    endpoint: str = ""

    def put(self, key: str, data: bytes) -> None:
        self.objects[key] = data
        self.modified_s[key] = time.time()

    def gets(self, key: str) -> list[Asked]:
        return [each for each in self.asked if each.method == "GET" and each.key == key]

    def mend(self) -> None:
        self.asked.clear()
        self.gone_after_bytes, self.times_gone, self.status, self.rate = None, None, 0, 0.0
        self.headers.clear()


@lru_cache(maxsize=32)  # of 50 MiB it takes a while, and whoever asks waits only so long
def etag_of(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    s3: BytesS3

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        data = self._body()
        if data is None:
            return
        key = unquote(urlsplit(self.path).path).removeprefix(f"/{BUCKET}/")
        self.s3.asked.append(Asked(self.command, key))
        self.s3.put(key, data)
        self._reply(200, b"", {"ETag": etag_of(data)})

    def do_DELETE(self) -> None:
        key = unquote(urlsplit(self.path).path).removeprefix(f"/{BUCKET}/")
        self.s3.asked.append(Asked(self.command, key))
        self.s3.objects.pop(key, None)
        self._reply(204, b"")

    def do_POST(self) -> None:
        """DeleteObjects, of however many."""
        for key in re.findall(rb"<Key>([^<]*)</Key>", self._body() or b""):
            self.s3.objects.pop(key.decode(), None)
        self._reply(200, b"<DeleteResult/>")

    def _body(self) -> bytes | None:
        """None where the client went before it had sent all of it: S3 stores nothing then."""
        size_bytes = int(self.headers.get("content-length", "0"))
        body = self.rfile.read(size_bytes)
        if len(body) == size_bytes:
            return body
        self.close_connection = True
        return None

    def _answer(self) -> None:
        key = unquote(urlsplit(self.path).path).removeprefix(f"/{BUCKET}/")
        wanted = self.headers.get("range", "")
        traceparent = self.headers.get("traceparent", "")
        self.s3.asked.append(Asked(self.command, key, wanted, traceparent))
        data = self.s3.objects.get(key)
        if self.s3.status:
            self._reply(self.s3.status, b"<Error><Code>SlowDown</Code></Error>")
        elif data is None:
            self._reply(404, _NO_KEY)
        elif self.headers.get("if-match", etag_of(data)) != etag_of(data):
            self._reply(412, b"<Error><Code>PreconditionFailed</Code></Error>")
        elif self.headers.get("if-none-match") == etag_of(data):
            self._reply(304, b"", {"ETag": etag_of(data)})
        else:
            self._send_object(key, data, wanted)

    def _send_object(self, key: str, data: bytes, wanted: str) -> None:
        headers = {
            "ETag": etag_of(data),
            "Last-Modified": formatdate(self.s3.modified_s[key], usegmt=True),
            "Content-Type": "application/octet-stream",
            **self.s3.headers,
        }
        status = 200
        if found := _RANGE.match(wanted):
            first, last = int(found[1]), min(int(found[2] or len(data)), len(data) - 1)
            if first > last:
                self._reply(416, b"<Error><Code>InvalidRange</Code></Error>")
                return
            headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
            data, status = data[first : last + 1], 206
        self._reply(status, data, headers)

    def _reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self._send(memoryview(body))

    def _send(self, body: memoryview) -> None:
        sent = 0
        limit = self.s3.gone_after_bytes
        while sent < len(body):
            if limit is not None and sent >= limit and self.s3.times_gone != 0:
                if self.s3.times_gone is not None:
                    self.s3.times_gone -= 1
                # A reset, not an orderly end.
                self.connection.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
                self.close_connection = True
                return
            size = PIECE_BYTES
            if limit is not None and sent < limit:
                size = min(size, limit - sent)
            piece = body[sent : sent + size]
            try:
                self.wfile.write(piece)
            except OSError:
                self.close_connection = True
                return
            sent += len(piece)
            self.s3.sent_bytes += len(piece)
            if self.s3.rate:
                time.sleep(len(piece) / self.s3.rate)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@contextmanager
def bytes_s3() -> Iterator[BytesS3]:
    s3 = BytesS3()
    handler = type("Handler", (_Handler,), {"s3": s3})
    server = _Server(("127.0.0.1", 0), handler)
    s3.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield s3
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
