"""An S3 of one bucket with its objects in files, however large, that can be told to fail.

Threads and blocking sockets. Bodies never lie in memory, so a server of 2 GiB fits into a test's
process beside what is measured.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "kept"
PIECE_BYTES = 1 << 18
_STORED = ("content-type", "content-encoding")

Fault = Callable[[str, str], float | None]
"""Given method and key: None for nothing, 0.0 for a 500 at once, else seconds to hang before it."""


@dataclass
class Object:
    file: Path
    headers: dict[str, str]
    etag: str
    modified_s: float

    @property
    def size_bytes(self) -> int:
        return self.file.stat().st_size


@dataclass
class DedupS3:
    """`objects` by key. `fault` is asked before anything is done. `over` ends what hangs."""

    directory: Path
    objects: dict[str, Object] = field(default_factory=dict)
    uploads: dict[str, dict[str, str]] = field(default_factory=dict)
    fault: Fault | None = None
    faults: int = 0
    lists: int = 0
    endpoint: str = ""
    over: threading.Event = field(default_factory=threading.Event)

    def keep(self, key: str, file: Path, headers: dict[str, str], etag: str) -> str:
        self.objects[key] = Object(file, headers, f'"{etag}"', time.time())
        return f'"{etag}"'

    def new_file(self) -> Path:
        return self.directory / secrets.token_hex(8)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    s3: DedupS3

    def log_message(self, *args: object) -> None:
        pass

    def _one(self) -> None:
        parts = urlsplit(self.path)
        self.query = parse_qs(parts.query, keep_blank_values=True)
        key = unquote(parts.path).removeprefix(f"/{BUCKET}").removeprefix("/")
        hang_s = None if self.s3.fault is None else self.s3.fault(self.command, key)
        if hang_s is not None:
            self.s3.faults += 1
            self.s3.over.wait(hang_s)
            self.close_connection = True
            self._reply(500, b"<Error><Code>InternalError</Code></Error>")
            return
        work = {"PUT": self._put, "POST": self._post, "DELETE": self._delete}
        work.get(self.command, self._get)(key)

    def do_GET(self) -> None:
        self._one()

    def do_HEAD(self) -> None:
        self._one()

    def do_PUT(self) -> None:
        self._one()

    def do_POST(self) -> None:
        self._one()

    def do_DELETE(self) -> None:
        self._one()

    def _get(self, key: str) -> None:
        if not key:
            self._list()
            return
        found = self.s3.objects.get(key)
        if found is None:
            self._reply(404, b"<Error><Code>NoSuchKey</Code><Message>none</Message></Error>")
            return
        headers = {
            **found.headers,
            "ETag": found.etag,
            "Last-Modified": formatdate(found.modified_s, usegmt=True),
        }
        with found.file.open("rb") as file:
            first, last, status = 0, found.size_bytes - 1, 200
            if ranged := re.match(r"bytes=(\d+)-(\d*)$", self.headers.get("range", "")):
                first, last = int(ranged[1]), min(int(ranged[2] or last), last)
                headers["Content-Range"] = f"bytes {first}-{last}/{found.size_bytes}"
                status = 206
            self._head(status, last + 1 - first, headers)
            if self.command == "GET":
                self.wfile.flush()
                self.connection.sendfile(file, first, last + 1 - first)

    def _put(self, key: str) -> None:
        file, etag = self._receive()
        upload = self.query.get("uploadId", [""])[0]
        if upload:
            part = int(self.query["partNumber"][0])
            file.rename(self.s3.directory / f"{upload}.{part:05}")
        else:
            self.s3.keep(key, file, self._stored(), etag)
        self._reply(200, b"", {"ETag": f'"{etag}"'})

    def _post(self, key: str) -> None:
        body = self._body()
        if "delete" in self.query:
            for name in re.findall(rb"<Key>([^<]*)</Key>", body):
                self.s3.objects.pop(name.decode(), None)
            self._reply(200, b"<DeleteResult/>")
        elif "uploads" in self.query:
            upload = secrets.token_hex(8)
            self.s3.uploads[upload] = self._stored()
            self._answer("InitiateMultipartUploadResult", f"<UploadId>{upload}</UploadId>")
        else:
            upload = self.query["uploadId"][0]
            parts = sorted(self.s3.directory.glob(f"{upload}.*"))
            whole = parts[0]
            with whole.open("ab") as file:
                for part in parts[1:]:
                    with part.open("rb") as more:
                        shutil.copyfileobj(more, file, PIECE_BYTES)
                    part.unlink()
            file_of = whole.rename(self.s3.new_file())
            etag = self.s3.keep(key, file_of, self.s3.uploads.pop(upload), f"{upload}-{len(parts)}")
            self._answer("CompleteMultipartUploadResult", f"<ETag>{escape(etag)}</ETag>")

    def _delete(self, key: str) -> None:
        upload = self.query.get("uploadId", [""])[0]
        if upload:
            self.s3.uploads.pop(upload, None)
            for part in self.s3.directory.glob(f"{upload}.*"):
                part.unlink()
        else:
            self.s3.objects.pop(key, None)
        self._reply(204, b"")

    def _list(self) -> None:
        """Without folders: whoever asks for them here only wants to know that it works."""
        self.s3.lists += 1
        prefix = self.query.get("prefix", [""])[0]
        after = self.query.get("continuation-token", self.query.get("start-after", [""]))[0]
        most = int(self.query.get("max-keys", ["1000"])[0])
        keys = sorted(k for k in list(self.s3.objects) if k.startswith(prefix) and k > after)
        rows = []
        for key in keys[:most]:
            if (found := self.s3.objects.get(key)) is not None:
                modified = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(found.modified_s))
                rows.append(
                    f"<Contents><Key>{escape(key)}</Key><LastModified>{modified}</LastModified>"
                    f"<ETag>{escape(found.etag)}</ETag><Size>{found.size_bytes}</Size></Contents>"
                )
        more = len(keys) > most
        if more:
            token = escape(keys[most - 1])
            rows.append(f"<NextContinuationToken>{token}</NextContinuationToken>")
        rows.append(f"<IsTruncated>{str(more).lower()}</IsTruncated>")
        self._answer("ListBucketResult", "".join(rows))

    def _stored(self) -> dict[str, str]:
        return {
            name.lower(): value
            for name, value in self.headers.items()
            if name.lower() in _STORED or name.lower().startswith("x-amz-meta-")
        }

    def _receive(self) -> tuple[Path, str]:
        """The body's file and MD5."""
        digest = hashlib.md5(usedforsecurity=False)
        path = self.s3.new_file()
        left = int(self.headers.get("content-length", "0"))
        with path.open("wb") as file:
            while left:
                piece = self.rfile.read(min(left, PIECE_BYTES))
                if not piece:
                    path.unlink()
                    raise ConnectionError("the body ended early")
                digest.update(piece)
                file.write(piece)
                left -= len(piece)
        return path, digest.hexdigest()

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length", "0")))

    def _answer(self, name: str, content: str) -> None:
        namespace = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
        self._reply(200, f"<{name} {namespace}>{content}</{name}>".encode())

    def _head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self._head(status, len(body), headers or {})
        if self.command != "HEAD":
            self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@contextmanager
def dedup_s3(directory: Path) -> Iterator[DedupS3]:
    directory.mkdir()
    s3 = DedupS3(directory)
    handler = type("Handler", (_Handler,), {"s3": s3})
    server = _Server(("127.0.0.1", 0), handler)
    s3.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield s3
    finally:
        s3.fault = None
        s3.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
