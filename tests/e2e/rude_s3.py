"""An S3 that says, byte for byte, what a test has it say."""

from __future__ import annotations

import hashlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

BUCKET = "bulk"
MODIFIED = "Last-Modified: Tue, 05 May 2026 10:00:00 GMT"
NO_KEY = b"<Error><Code>NoSuchKey</Code><Message>none</Message></Error>"


class Asked(NamedTuple):
    """`headers` have lower-case names."""

    method: str
    key: str
    headers: dict[str, str]
    body: bytes


class Said(NamedTuple):
    """`then`: "next" request, or the connection is "close"d, "reset", or left to "hang"."""

    data: bytes
    then: str = "next"


def said(status: int, *lines: str, body: bytes = b"", then: str = "next") -> Said:
    head = "\r\n".join((f"HTTP/1.1 {status} x", *lines, "", ""))
    return Said(head.encode("latin-1") + body, then)


def object_of(body: bytes, *lines: str, method: str = "GET") -> Said:
    """As S3 sends an object."""
    etag = f'ETag: "{hashlib.md5(body).hexdigest()}"'
    length = f"Content-Length: {len(body)}"
    return said(200, MODIFIED, etag, length, *lines, body=b"" if method == "HEAD" else body)


def absent(asked: Asked) -> Said:
    body = b"" if asked.method == "HEAD" else NO_KEY
    return said(404, f"Content-Length: {len(NO_KEY)}", body=body)


Answers = Callable[[Asked], Said]


@dataclass
class RudeS3:
    """`answers` by key; any other key does not exist."""

    answers: dict[str, Answers] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    endpoint: str = ""
    release: threading.Event = field(default_factory=threading.Event)

    def gets(self, key: str) -> int:
        return sum(each.method == "GET" and each.key == key for each in self.asked)

    def attend(self, sock: socket.socket) -> None:
        with sock, sock.makefile("rb") as lines, suppress(OSError):
            while line := lines.readline():
                method, target, _ = line.decode("latin-1").split(" ", 2)
                headers = {}
                while (line := lines.readline()).strip():
                    name, _, value = line.decode("latin-1").partition(":")
                    headers[name.lower()] = value.strip()
                size_bytes = int(headers.get("content-length", "0"))
                body = lines.read(size_bytes)
                if len(body) < size_bytes:
                    return
                key = unquote(urlsplit(target).path).removeprefix(f"/{BUCKET}/")
                asked = Asked(method, key, headers, body)
                self.asked.append(asked)
                answer = self.answers.get(key, absent)(asked)
                sock.sendall(answer.data)
                if answer.then == "hang":
                    self.release.wait()
                if answer.then == "reset":
                    linger = struct.pack("ii", 1, 0)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                if answer.then != "next":
                    return


@contextmanager
def rude_s3() -> Iterator[RudeS3]:
    s3 = RudeS3()
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        s3.endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def accept() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=s3.attend, args=(sock,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield s3
        finally:
            s3.release.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
