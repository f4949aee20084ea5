"""A front before S3 that fails on demand and remembers what passed it.

It forwards requests byte for byte as far as signatures are concerned: method, target, Host and
headers stay as they were.
"""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

Mode = Literal["pass", "hang", "refuse", "403", "500"]

_HOP_BY_HOP = frozenset({"connection", "transfer-encoding", "content-length"})


@dataclass
class FaultyFront:
    """`mode` may be changed at any time. `hold_puts` keeps PUTs waiting, their bodies read."""

    upstream: str
    mode: Mode = "pass"
    seen: list[tuple[str, str]] = field(default_factory=list)
    hold_puts: bool = False
    held: threading.Event = field(default_factory=threading.Event)
    _release: threading.Event = field(default_factory=threading.Event)
    endpoint: str = ""

    def count(self, method: str) -> int:
        return sum(seen == method for seen, _ in self.seen)

    def wait_for_release(self) -> None:
        self._release.wait(60)

    def release(self) -> None:
        self._release.set()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    front: FaultyFront

    def _handle(self) -> None:
        front = self.front
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        front.seen.append((self.command, self.path))
        if front.mode == "refuse":
            self.close_connection = True
            return
        if front.mode == "hang" or (front.hold_puts and self.command == "PUT"):
            front.held.set()
            front.wait_for_release()
            self.close_connection = True
            return
        if front.mode in {"403", "500"}:
            self._answer(int(front.mode), [], b"")
            return
        host = urlsplit(front.upstream).netloc
        upstream = http.client.HTTPConnection(host, timeout=30)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                upstream.putheader(name, value)
            upstream.endheaders(body)
            response = upstream.getresponse()
            self._answer(response.status, response.getheaders(), response.read())
        finally:
            upstream.close()

    # The names that http.server asks for.
    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle  # noqa: N815

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        length = str(len(body))
        for name, value in headers:
            if name.lower() == "content-length":
                length = value  # a HEAD's is not that of its empty body
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its signature
        """Nothing: `FaultyFront.seen` is the log."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that left while it was kept waiting is what some tests are about."""


@contextlib.contextmanager
def faulty_front(upstream: str) -> Iterator[FaultyFront]:
    front = FaultyFront(upstream)
    handler = type("Handler", (_Handler,), {"front": front})
    server = _Server(("127.0.0.1", 0), handler)
    front.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    # It looks for the end that often, in seconds.
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield front
    finally:
        front.release()
        server.shutdown()
        server.server_close()
        thread.join()
