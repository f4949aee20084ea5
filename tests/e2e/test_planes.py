"""Both planes give the same answers: one table of requests over HTTP/1.1 (the edge), and over TLS
by HTTP/1.1 and HTTP/2 (the web plane)."""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import h2.config
import h2.connection
import h2.events
import httpx
import pytest
import trustme

from tests.cli.processes import program
from tests.e2e.rclone import ENVIRON, free_port, rclone
from tests.plain_http import NO_TLS

API_KEY = "an-operators-key"
KEYS = ("plain.txt", "a b+c%d/é.txt")
PRIVATE_KEYS = ("secret.txt", "папка/файл")


class Ask(NamedTuple):
    """A request, and the status that every plane must answer it with."""

    status: int
    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()


KEY = (("Authorization", f"Bearer {API_KEY}"),)
BASIC = ("Authorization", "Basic Zm9vOmJhcg==")

TABLE = (
    *(Ask(302, method, f"/open/{quote(key)}") for key in KEYS for method in ("GET", "HEAD")),
    *(
        Ask(302, method, f"/vault/{quote(key)}", KEY)
        for key in PRIVATE_KEYS
        for method in ("GET", "HEAD")
    ),
    Ask(302, "GET", "/vault/secret.txt", (("X-API-Key", API_KEY),)),
    Ask(302, "GET", "/vault/secret.txt", (("authorization", f"bEaReR   {API_KEY} "),)),
    Ask(302, "GET", "/vault/secret.txt", (BASIC, *KEY)),
    Ask(
        302,
        "GET",
        "/vault/secret.txt",
        (BASIC, ("X-API-Key", API_KEY)),
    ),
    Ask(401, "GET", "/vault/secret.txt"),
    Ask(401, "HEAD", "/vault/secret.txt"),
    Ask(401, "GET", "/vault/secret.txt", (("X-API-Key", "wrong"),)),
    Ask(401, "GET", "/vault/secret.txt", (("Authorization", "Bearer"),)),
    Ask(401, "GET", "/vault/nothing"),
    Ask(404, "GET", "/vault/nothing", KEY),
    Ask(302, "GET", "/public/plain.txt"),
    Ask(302, "GET", "/private/secret.txt", KEY),
    Ask(302, "GET", "/open/plain.txt?"),
    Ask(302, "GET", "/open/plain.txt?a=b&X-Amz-Signature=x"),
    Ask(302, "GET", "/open/plain.txt", (("X-Request-Id", "from-the-client"),)),
    Ask(302, "GET", "/open/plain.txt", (("X-Request-Id", "x" * 128),)),
    Ask(302, "GET", "/open/plain.txt", (("X-Request-Id", "x" * 129),)),
    Ask(302, "GET", "/open/plain.txt", (("X-Request-Id", "not sane"),)),
    Ask(302, "GET", "/open/plain.txt", (("X-Request-Id", "first"), ("X-Request-Id", "second"))),
    Ask(302, "GET", "/open/plain.txt", (("Range", "bytes=0-"), ("Accept", "*/*"))),
    Ask(302, "GET", "/open/plain.txt", tuple((f"X-Header-{n}", "v" * 60) for n in range(60))),
    Ask(404, "GET", "/open/nothing"),
    Ask(404, "HEAD", "/open/nothing"),
    Ask(404, "GET", "/open/nothing", (("Accept", "text/html"),)),
    Ask(404, "GET", "/"),
    Ask(404, "GET", "/open"),
    Ask(404, "GET", "/open/"),
    Ask(404, "GET", "/nowhere/plain.txt"),
    Ask(404, "GET", "//open/plain.txt"),
    Ask(404, "GET", "/status/x"),
    Ask(404, "GET", "/open/%2E%2Ehidden"),
    Ask(400, "GET", "/open/%zz"),
    Ask(400, "GET", "/open/%FF"),
    Ask(400, "GET", "/open/%00"),
    Ask(400, "GET", "/open/a/%2e%2e/b"),
    Ask(400, "HEAD", "/open/../plain.txt"),
    Ask(400, "GET", "/open/" + "k" * 1025),
    Ask(405, "POST", "/open/plain.txt"),
    Ask(405, "DELETE", "/vault/secret.txt", KEY),
    Ask(405, "OPTIONS", "/open/plain.txt"),
    Ask(405, "PUT", "/status"),
    Ask(200, "GET", "/status", KEY),
    Ask(200, "HEAD", "/status", KEY),
    Ask(200, "GET", "/status"),
    Ask(200, "GET", "/readiness"),
    Ask(200, "GET", "/helthcheck"),
    Ask(200, "GET", "/list", KEY),
    Ask(401, "GET", "/list"),
    Ask(200, "GET", "/update?filename=plain.txt", KEY),
    Ask(400, "GET", "/update", KEY),
)


class Given(NamedTuple):
    """An answer: headers in their order with lower-case names, what differs each time blanked.
    `line` is its status line, which HTTP/2 has not."""

    line: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @classmethod
    def of(cls, line: str, headers: list[tuple[str, str]], body: bytes) -> Given:
        blanked = tuple((name, _blanked(name, value)) for name, value in headers)
        return cls(line, int(line.split()[1]), blanked, body)


_BLANKS: Mapping[str, tuple[str, str]] = {
    "date": (r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", "a date"),
    "x-request-id": (r"[0-9a-f]{32}", "an id of ours"),
}


def _blanked(name: str, value: str) -> str:
    pattern, blank = _BLANKS.get(name, ("", ""))
    return blank if pattern and re.fullmatch(pattern, value) else value


@dataclass
class Planes:
    plain: int
    tls: int
    trust: ssl.SSLContext

    def edge(self, ask: Ask) -> Given:
        with socket.create_connection(("127.0.0.1", self.plain), timeout=20) as connection:
            return over_http1(connection, ask)

    def tls_http1(self, ask: Ask) -> Given:
        with self.by_tls("http/1.1") as connection:
            return over_http1(connection, ask)

    def tls_http2(self, ask: Ask) -> Given:
        with self.by_tls("h2") as connection:
            return over_http2(connection, ask)

    @contextmanager
    def by_tls(self, protocol: str) -> Iterator[ssl.SSLSocket]:
        self.trust.set_alpn_protocols([protocol])
        with (
            socket.create_connection(("127.0.0.1", self.tls), timeout=20) as plain,
            self.trust.wrap_socket(plain, server_hostname="front.test") as connection,
        ):
            assert connection.selected_alpn_protocol() == protocol
            yield connection


def over_http1(connection: socket.socket, ask: Ask) -> Given:
    lines = [f"{ask.method} {ask.target} HTTP/1.1", "Host: front.test"]
    lines += [f"{name}: {value}" for name, value in ask.headers]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    reader = connection.makefile("rb")
    status = reader.readline().decode().removesuffix("\r\n")
    headers = []
    while line := reader.readline().strip():
        name, _, value = line.decode().partition(": ")
        headers.append((name.lower(), value))
    fields = dict(headers)
    if ask.method == "HEAD":
        body = b""
    elif "content-length" in fields:
        body = reader.read(int(fields["content-length"]))
    else:
        assert fields.pop("transfer-encoding") == "chunked"
        headers = list(fields.items())
        body = b""
        while size := int(reader.readline(), 16):
            body += reader.read(size)
            reader.readline()
    return Given.of(status, headers, body)


def over_http2(connection: ssl.SSLSocket, ask: Ask) -> Given:
    client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    client.initiate_connection()
    pseudo = [
        (":method", ask.method),
        (":authority", "front.test"),
        (":scheme", "https"),
        (":path", ask.target),
    ]
    fields = [(name.lower(), value.strip()) for name, value in ask.headers]
    client.send_headers(1, [*pseudo, *fields], end_stream=True)
    connection.sendall(client.data_to_send())
    status, headers, body = "", list[tuple[str, str]](), b""
    while True:
        data = connection.recv(65536)
        assert data, "the connection ended before the answer"
        for event in client.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                (_, code), *rest = event.headers
                status = f"HTTP/2 {int(code)}"
                headers = [(str(name), str(value)) for name, value in rest]
            elif isinstance(event, h2.events.DataReceived):
                body += event.data or b""
            elif isinstance(event, h2.events.StreamEnded):
                return Given.of(status, headers, body)


@pytest.fixture(scope="module")
def planes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planes]:
    folder: Path = tmp_path_factory.mktemp("planes")
    authority = trustme.CA()
    authority.issue_cert("front.test").private_key_and_cert_chain_pem.write_to_path(folder / "pem")
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    plain, tls = free_port(), free_port()
    environ = ENVIRON | {
        "PARPARCHIK_BUCKETS": "open::public,vault",
        "PARPARCHIK_HOST": "127.0.0.1",
        "PARPARCHIK_PORT": str(plain),
        "PARPARCHIK_TLS_PORT": str(tls),
        "PARPARCHIK_TLS_CERTIFICATE": str(folder / "pem"),
        "PARPARCHIK_TLS_KEY": str(folder / "pem"),
        "PARPARCHIK_API_KEYS": API_KEY,
        "PARPARCHIK_VERIFY_TTL": "1h",
    }
    with (
        rclone({"open": KEYS, "vault": PRIVATE_KEYS}) as endpoint,
        program("serve", environ=environ | {"S3_ENDPOINT": endpoint}) as server,
    ):
        server.wait_for("listening")
        while httpx.get(f"http://127.0.0.1:{plain}/readiness", verify=NO_TLS).status_code != 200:
            time.sleep(0.05)
        yield Planes(plain, tls, trust)


@pytest.mark.parametrize("ask", TABLE, ids=lambda ask: f"{ask.method} {ask.target[:60]}")
def test_both_planes_give_the_same_answer(planes: Planes, ask: Ask) -> None:
    edge = planes.edge(ask)
    assert edge.line == f"HTTP/1.1 {ask.status} {HTTPStatus(ask.status).phrase}"
    assert edge == planes.tls_http1(ask)
    assert edge._replace(line=f"HTTP/2 {ask.status}") == planes.tls_http2(ask)
    names = [name for name, _ in edge.headers]
    assert len(names) == len(set(names))
    assert {"date", "x-request-id"} <= set(names)


UNSOUND = {
    "repeated Content-Length": b"GET / HTTP/1.1\r\nHost: a\r\n"
    b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "listed Content-Length": b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 0\r\n\r\n",
    "conflicting Content-Length": b"POST / HTTP/1.1\r\nHost: a\r\n"
    b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "signed Content-Length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na",
    "both framings": b"POST / HTTP/1.1\r\nHost: a\r\n"
    b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "unknown coding": b"POST / HTTP/1.1\r\nHost: a\r\n"
    b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "coding in disguise": b"POST / HTTP/1.1\r\nHost: a\r\n"
    b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked in 1.0": b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bad chunk size": b"GET / HTTP/1.1\r\nHost: a\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
    "chunk without its end": b"GET / HTTP/1.1\r\nHost: a\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
    "obs-fold": b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n",
    "NUL": b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\x00c\r\n\r\n",
    "bare LF": b"GET / HTTP/1.1\nHost: a\n\n",
    "bare CR": b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\rc\r\n\r\n",
    "space before the colon": b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\nX-A: b\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "no name": b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
    "HTTP/2.0 in words": b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "space in the target": b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    "raw letters in the target": "GET /ü HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
}
SMUGGLED = b"GET /open/plain.txt HTTP/1.1\r\nHost: a\r\n\r\n"
HEALTHY = Ask(200, "GET", "/healthcheck")


def refused(connection: socket.socket, request: bytes) -> Given:
    """The one answer to `request`, behind which the connection is closed."""
    connection.sendall(request + SMUGGLED)
    received = b""
    while data := connection.recv(65536):
        received += data
    assert received.count(b"HTTP/1.1 ") == 1, received
    first, _, body = received.partition(b"\r\n\r\n")
    status, *lines = first.decode().split("\r\n")
    fields = [line.split(": ", 1) for line in lines]
    return Given.of(status, [(name.lower(), value) for name, value in fields], body)


@pytest.mark.parametrize("request_bytes", UNSOUND.values(), ids=UNSOUND)
def test_both_planes_refuse_what_is_unsound(planes: Planes, request_bytes: bytes) -> None:
    with socket.create_connection(("127.0.0.1", planes.plain), timeout=20) as connection:
        edge = refused(connection, request_bytes)
    assert edge.line == "HTTP/1.1 400 Bad Request"
    assert ("connection", "close") in edge.headers
    with socket.create_connection(("127.0.0.1", planes.plain), timeout=20) as connection:
        assert over_http1(connection, HEALTHY).status == 200  # from now on the web plane's
        assert refused(connection, request_bytes) == edge
    with planes.by_tls("http/1.1") as connection:
        assert refused(connection, request_bytes) == edge


@pytest.mark.parametrize(
    "ask",
    [Ask(400, "GET", "/ü"), Ask(400, "GET", "*"), Ask(431, "GET", "/", (("X", "y" * 20_000),))],
)
def test_http2_is_refused_the_same(planes: Planes, ask: Ask) -> None:
    lines = [f"{ask.method} {ask.target} HTTP/1.1", "Host: a"]
    lines += [f"{name}: {value}" for name, value in ask.headers]
    with planes.by_tls("http/1.1") as connection:
        one = refused(connection, "\r\n".join([*lines, "", ""]).encode())
    assert one.status == ask.status
    two = planes.tls_http2(ask)
    assert two.body == one.body
    assert two.headers == tuple(field for field in one.headers if field[0] != "connection")
