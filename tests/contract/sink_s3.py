"""An S3 that takes uploads of any size and keeps nothing of them but their digests."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

_EMPTY_LIST = (
    b"<ListBucketResult><IsTruncated>false</IsTruncated><KeyCount>0</KeyCount></ListBucketResult>"
)
_NO_KEY = b"<Error><Code>NoSuchKey</Code><Message>none</Message></Error>"
_STARTED = (
    b"<InitiateMultipartUploadResult><UploadId>one</UploadId></InitiateMultipartUploadResult>"
)
_COMPLETED = (
    b"<CompleteMultipartUploadResult><ETag>&quot;whole-9&quot;</ETag>"
    b"</CompleteMultipartUploadResult>"
)


@dataclass
class SinkS3:
    """`taken` has (key, part number, size in bytes) of every body in the order in which they ended;
    of objects stored whole the number is 0. `asked` are the requests other than for bodies."""

    taken: list[tuple[str, int, int]] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    endpoint: str = ""

    def received_bytes(self, key: str) -> int:
        return sum(size for of, _, size in self.taken if of == key)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    s3: SinkS3

    def log_message(self, *args: object) -> None:
        pass

    def do_PUT(self) -> None:
        left = size = int(self.headers["content-length"])
        digest = hashlib.md5()
        while left:
            piece = self.rfile.read(min(left, 65_536))
            if not piece:
                self.close_connection = True
                return
            digest.update(piece)
            left -= len(piece)
        url = urlsplit(self.path)
        key = unquote(url.path).split("/", 2)[2]
        part = int(parse_qs(url.query).get("partNumber", ["0"])[0])
        self.s3.taken.append((key, part, size))
        self._answer(200, b"", etag=f'"{digest.hexdigest()}"')

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        query = urlsplit(self.path).query
        self.s3.asked.append(("POST", query))
        self._answer(200, _STARTED if query.startswith("uploads") else _COMPLETED)

    def do_DELETE(self) -> None:
        self.s3.asked.append(("DELETE", urlsplit(self.path).query))
        self._answer(204, b"")

    def do_HEAD(self) -> None:
        self._answer(404, b"")

    def do_GET(self) -> None:
        listing = "list-type" in self.path
        self._answer(200 if listing else 404, _EMPTY_LIST if listing else _NO_KEY)

    def _answer(self, status: int, body: bytes, *, etag: str = "") -> None:
        self.send_response_only(status)
        if etag:
            self.send_header("ETag", etag)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Connections that are cut are what some tests are about."""


@contextmanager
def sink_s3() -> Iterator[SinkS3]:
    s3 = SinkS3()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"s3": s3}))
    s3.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield s3
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
