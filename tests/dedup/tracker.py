"""A filetracker server, as far as reading from it goes, which fails in every way when told to."""

from __future__ import annotations

import gzip
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


@dataclass
class Tracker:
    """`files` has content and version by path. `asked` is (method, path). `fails` is what becomes
    of requests for a path, `all_fail` of all: a status, `hang`, `reset`, `cut` (in the body),
    `plain` (no gzip), `junk` (no gzip, whatever it says), `undated`. `once`: the first of a path
    alone."""

    files: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    fails: dict[str, str] = field(default_factory=dict)
    all_fail: str = ""
    once: bool = False
    more_listed: tuple[str, ...] = ()
    hold: threading.Event = field(default_factory=threading.Event)
    held: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def count(self, method: str, path: str) -> int:
        return self.asked.count((method, path))

    def failure(self, path: str) -> str:
        if self.once and path in self.fails:
            return self.fails.pop(path)
        return self.fails.get(path, self.all_fail)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    tracker: Tracker

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        target = unquote(urlsplit(self.path).path)
        if target.startswith("/list"):
            self._list()
        else:
            self._file(target.removeprefix("/files/"))

    do_HEAD = do_GET  # noqa: N815  http.server's name

    def _list(self) -> None:
        self.tracker.asked.append(("GET", "list"))
        if self.tracker.all_fail.isdigit():
            self._answer(int(self.tracker.all_fail), b"")
            return
        listed = [*self.tracker.files, *self.tracker.more_listed]
        body = "".join(f"{path}\n" for path in listed).encode()
        if self.tracker.all_fail == "cut":
            body = body[:-3]
        self._answer(200, body)

    def _file(self, path: str) -> None:
        tracker = self.tracker
        tracker.asked.append((self.command, path))
        fails = tracker.failure(path)
        if fails == "hang":
            tracker.held.set()
            tracker.hold.wait(30)
        if fails == "reset":
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True
            return
        if fails.isdigit():
            self._answer(int(fails), b"no")
            return
        if path not in tracker.files:
            self._answer(404, b"none")
            return
        data, version_s = tracker.files[path]
        headers = {"Last-Modified": formatdate(version_s)}
        body = data
        if fails != "plain":
            body = data if fails == "junk" else gzip.compress(data)
            headers |= {"Content-Encoding": "gzip", "Logical-Size": str(len(data))}
        if fails == "undated":
            del headers["Last-Modified"]
        self._answer(200, body, headers, cut=fails == "cut")

    def _answer(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, *, cut: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.close_connection = True


@contextmanager
def tracking_server() -> Iterator[Tracker]:
    tracker = Tracker()
    handler = type("Handler", (_Handler,), {"tracker": tracker})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    tracker.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield tracker
    finally:
        tracker.hold.set()
        server.shutdown()
        thread.join()
        server.server_close()
