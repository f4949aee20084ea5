"""Hostile clients, a bad S3 and odd objects, against the gateway and a site as one process.

Whatever S3 sends, a client gets the object's bytes, an error, or a transfer that visibly broke off,
and never what anybody else would take for the object. Whatever a client sends, S3 gets the body as
it was framed, or nothing.
"""

from __future__ import annotations

import random
import re
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.rude_s3 import (
    BUCKET,
    MODIFIED,
    Answers,
    Asked,
    RudeS3,
    Said,
    absent,
    object_of,
    rude_s3,
    said,
)
from tests.real_s3.serving import Server, serving

KEY = "a-long-key-of-the-operator"
DATA = b"0123456789" * 100
ETAG, LENGTH = 'ETag: "e"', f"Content-Length: {len(DATA)}"
PLACE = f"/objects/{BUCKET}"
QUIET_S = 1.0  # for what has no end that a client could see


def sends(*lines: str, status: int = 200, body: bytes = DATA, then: str = "next") -> Answers:
    def answer(asked: Asked) -> Said:
        return said(status, *lines, body=b"" if asked.method == "HEAD" else body, then=then)

    return answer


def to_range(*lines: str, status: int = 206, body: bytes = DATA) -> Answers:
    """A whole GET is answered as it should be."""

    def answer(asked: Asked) -> Said:
        if "range" not in asked.headers:
            return sends(MODIFIED, ETAG, LENGTH)(asked)
        return said(status, MODIFIED, ETAG, f"Content-Length: {len(body)}", *lines, body=body)

    return answer


def changing() -> Answers:
    """Another object at each GET."""
    count = [0]

    def answer(asked: Asked) -> Said:
        count[0] += 1
        return object_of(b"%04d" % count[0] * 250, method=asked.method)

    return answer


OF_S3: dict[str, Answers] = {
    "no-etag": sends(MODIFIED, LENGTH),
    "weak": sends(MODIFIED, 'ETag: W/"w"', LENGTH),
    "two-etags": sends(MODIFIED, ETAG, 'ETag: "f"', LENGTH),
    "bad-etag": sends(MODIFIED, 'ETag: "a"b"', LENGTH),
    "no-date": sends(ETAG, LENGTH),
    "bad-date": sends(ETAG, LENGTH, "Last-Modified: yesterday"),
    "old-date": sends(ETAG, LENGTH, "Last-Modified: Mon, 01 Jan 0001 00:00:00 GMT"),
    "no-length": sends(MODIFIED, ETAG, then="close"),
    "two-lengths": sends(MODIFIED, ETAG, LENGTH, "Content-Length: 5"),
    "chunks": sends(MODIFIED, ETAG, "Transfer-Encoding: chunked", body=b"1\r\nx\r\n0\r\n\r\n"),
    "both": sends(MODIFIED, ETAG, "Content-Length: 5", "Transfer-Encoding: chunked"),
    "negative": sends(MODIFIED, ETAG, "Content-Length: -5"),
    "beyond": sends(MODIFIED, ETAG, "Content-Length: 99999999999999999999"),
    "exabyte": sends(MODIFIED, ETAG, "Content-Length: 999999999999999999", then="close"),
    "short": sends(MODIFIED, ETAG, LENGTH, body=DATA[:500], then="close"),
    "reset": sends(MODIFIED, ETAG, LENGTH, body=DATA[:500], then="reset"),
    "long": sends(MODIFIED, ETAG, LENGTH, body=DATA * 2),
    "hangs": sends(MODIFIED, ETAG, LENGTH, body=DATA[:500], then="hang"),
    "garbage": lambda asked: Said(b"\0garbage\r\n\r\n", "close"),
    "interim": lambda asked: Said(
        b"HTTP/1.1 103 Early\r\n\r\n" * 20 + sends(MODIFIED, ETAG, LENGTH)(asked).data
    ),
    "cr": sends(MODIFIED, ETAG, LENGTH, "x-amz-meta-a: x\rSet-Cookie: a=b"),
    "lf": sends(MODIFIED, ETAG, LENGTH, "x-amz-meta-a: x\nSet-Cookie: a=b"),
    "fold": sends(MODIFIED, ETAG, LENGTH, "x-amz-meta-a: x\r\n Set-Cookie: a=b"),
    "nul": sends(MODIFIED, ETAG, LENGTH, "x-amz-meta-a: x\0y"),
    "not-stored": sends(
        *(MODIFIED, ETAG, LENGTH, "Set-Cookie: a=b", "Location: http://evil.example/"),
        *("Vary: *", "Access-Control-Allow-Origin: *", "Connection: x-amz-meta-a"),
    ),
    "bomb": sends(MODIFIED, ETAG, LENGTH, "Cache-Control: " + ", " * 15_000 + ";"),
    "no-store": sends(
        MODIFIED, ETAG, LENGTH, "Cache-Control: no-store", "Cache-Control: max-age=600"
    ),
    "206": sends(MODIFIED, ETAG, LENGTH, "Content-Range: bytes 0-999/1000", status=206),
    "204": sends(MODIFIED, ETAG, status=204, body=b""),
    "301": sends("Location: http://evil.example/", "Content-Length: 0", status=301, body=b""),
    "304": sends(ETAG, status=304, body=b""),
    "412": sends("Content-Length: 0", status=412, body=b""),
    "416": sends("Content-Length: 0", status=416, body=b""),
    "404-of-a-proxy": sends("Content-Length: 4", status=404, body=b"nope"),
    "range-none": to_range(),
    "range-elsewhere": to_range("Content-Range: bytes 5-1004/2000"),
    "range-unsatisfied": to_range("Content-Range: bytes */1000"),
    "range-of-unknown": to_range("Content-Range: bytes 0-999/*"),
    "range-backwards": to_range("Content-Range: bytes 999-0/1000"),
    "range-twice": to_range("Content-Range: bytes 0-999/1000", "Content-Range: bytes 0-4/1000"),
    "range-short": to_range("Content-Range: bytes 0-999/1000", body=DATA[:10]),
    "range-of-parts": to_range("Content-Type: multipart/byteranges; boundary=x"),
    "range-ignored": to_range(status=200),
    "range-kept": to_range("Content-Range: bytes 0-999/1000"),
    "changing": changing(),
}
WHOLE = {
    *("no-etag", "weak", "two-etags", "bad-etag", "old-date", "long", "interim", "not-stored"),
    *("bomb", "no-store"),
}
"""Of these a client gets the object, all or part of it."""
PARTS = {"range-ignored", "range-kept", *WHOLE}


class OfAnyKey(dict[str, Answers]):
    """Every key is an object that says its name; what is stored is in `stored`."""

    def __init__(self) -> None:
        super().__init__(OF_S3)
        self.stored: list[tuple[str, str, bytes]] = []

    def get(self, key: str, default: object = None) -> Answers:
        return super().get(key) or self._answer

    def _answer(self, asked: Asked) -> Said:
        if asked.method in ("GET", "HEAD"):
            if not asked.key.startswith("o"):
                return absent(asked)
            return object_of(f"I am {asked.key}".encode(), method=asked.method)
        self.stored.append((asked.method, asked.key, asked.body))
        return said(200 if asked.method == "PUT" else 204, ETAG, "Content-Length: 0")


@pytest.fixture(scope="module")
def s3() -> Iterator[RudeS3]:
    with rude_s3() as s3:
        s3.answers = OfAnyKey()
        yield s3


CONFIG = f"""
[[site]]
bucket = "{BUCKET}"
mount = "/site/"

[[site]]
bucket = "{BUCKET}"
mount = "/site/others/"
prefix = "others/"
needs_key = true
"""


@pytest.fixture(scope="module")
def server(s3: RudeS3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("attack")
    (folder / "parparchik.toml").write_text(CONFIG)
    environ = {
        "ALLOWED_BUCKETS": f"{BUCKET}:all",
        "PARPARCHIK_CONFIG": str(folder / "parparchik.toml"),
        "PARPARCHIK_API_KEYS": KEY,
        "PARPARCHIK_HOST": "127.0.0.1",
        "PARPARCHIK_PORT": "0",
        "PARPARCHIK_LOG_FORMAT": "json",
        "PARPARCHIK_S3_READ_TIMEOUT": "1",
        "S3_ENDPOINT": s3.endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "PARPARCHIK_CACHE_DIR": str(folder / "cache"),
    }
    with serving(environ) as server:
        yield server
        assert server.get("/readiness").status_code == 200
        assert "Traceback" not in server.process.output


def asked(server: Server, key: str, method: str = "GET", **headers: str) -> httpx.Response | None:
    """None where it broke off."""
    try:
        return server.http.request(
            method, f"{server.url}{PLACE}/{key}", headers=headers, timeout=60
        )
    except httpx.TransportError:
        return None


def purge(server: Server) -> None:
    headers = {"x-api-key": KEY}
    server.http.post(f"{server.url}/cache/purge", json={"all": True}, headers=headers)


def test_whatever_s3_says(server: Server) -> None:
    def attack(key: str) -> None:
        for _ in range(2):
            for method in ("GET", "HEAD"):
                answer = asked(server, key, method)
                if answer is None:
                    assert key in ("short", "reset", "hangs", "exabyte"), key
                elif answer.status_code >= 500:
                    assert key not in PARTS, (key, answer.text)
                else:
                    assert answer.status_code == 200, key
                    assert not {"set-cookie", "location"} & set(answer.headers), key
                    if method == "GET" and key == "changing":
                        assert answer.content == answer.content[:4] * 250
                    elif method == "GET":
                        assert answer.content == DATA, key

    with ThreadPoolExecutor(len(OF_S3)) as pool:
        list(pool.map(attack, OF_S3))


def test_whatever_s3_says_to_a_range(server: Server) -> None:
    purge(server)

    def attack(key: str) -> None:
        answer = asked(server, key, range="bytes=3-9")
        if answer is not None and answer.status_code == 206 and key != "changing":
            assert answer.content == DATA[3:10], key
            assert answer.headers["content-range"].startswith("bytes 3-9/"), key
        elif answer is not None and answer.status_code < 500:
            assert key in ("changing", "exabyte"), (key, answer)
        assert key not in PARTS or (answer is not None and answer.status_code == 206), key

    with ThreadPoolExecutor(len(OF_S3)) as pool:
        list(pool.map(attack, OF_S3))
    purge(server)


def test_what_may_not_be_kept_is_not(server: Server, s3: RudeS3) -> None:
    """A proxy's Cache-Control does not lift the object's."""
    answer = asked(server, "no-store")
    assert answer is not None
    assert (answer.headers["x-cache"], "no-store" in answer.headers["cache-control"]) == (
        "BYPASS",
        True,
    )


INNER = f"DELETE {PLACE}/victim HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEY}\r\n\r\n".encode()
SIZE = len(INNER)
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (SIZE, INNER)
CHUNKED = "Transfer-Encoding: chunked"
SOUND: dict[str, tuple[Sequence[str], bytes]] = {
    "length": ([f"Content-Length: {SIZE}"], INNER),
    "tabs": ([f"Content-Length:\t{SIZE}\t"], INNER),
    "chunks": ([CHUNKED], CHUNKS),
    "upper": (["Transfer-Encoding: CHUNKED"], CHUNKS),
    "extension": ([CHUNKED], b"%x;a=b\r\n%b\r\n0;c\r\n\r\n" % (SIZE, INNER)),
    "expect": ([f"Content-Length: {SIZE}", "Expect: 100-continue"], INNER),
    "upgrade": ([f"Content-Length: {SIZE}", "Connection: upgrade", "Upgrade: h2c"], INNER),
    "named": ([f"Content-Length: {SIZE}", "Connection: content-length"], INNER),
}
UNSOUND: dict[str, tuple[Sequence[str], bytes]] = {
    "length and chunks": (["Content-Length: 5", CHUNKED], CHUNKS),
    "chunks and length": ([CHUNKED, f"Content-Length: {len(CHUNKS)}"], CHUNKS),
    "two lengths": (["Content-Length: 0", f"Content-Length: {SIZE}"], INNER),
    "list": ([f"Content-Length: {SIZE}, {SIZE}"], INNER),
    "plus": ([f"Content-Length: +{SIZE}"], INNER),
    "minus": (["Content-Length: -1"], INNER),
    "underscore": (["Content-Length: 1_0"], INNER),
    "hexadecimal": (["Content-Length: 0x10"], INNER),
    "too long": (["Content-Length: 99999999999999999999"], INNER),
    "no number": (["Content-Length: "], INNER),
    "space": ([f"Content-Length : {SIZE}"], INNER),
    "vertical tab": ([f"Content-Length: \x0b{SIZE}"], INNER),
    "superscript": ([f"Content-Length: {SIZE}\xb2"], INNER),
    "fold": (["X: a\r\n Content-Length: 3", f"Content-Length: {SIZE}"], INNER),
    "unknown coding": (["Transfer-Encoding: xchunked"], CHUNKS),
    "identity": (["Transfer-Encoding: identity", f"Content-Length: {SIZE}"], INNER),
    "two codings": (["Transfer-Encoding: gzip, chunked"], CHUNKS),
    "two lines": ([CHUNKED, "Transfer-Encoding: identity"], CHUNKS),
    "bare line feed": (["X: y\nTransfer-Encoding: chunked"], CHUNKS),
    "quoted": (['Transfer-Encoding: "chunked"'], CHUNKS),
    "line feeds": ([CHUNKED], b"%x\n%b\n0\n\n" % (SIZE, INNER)),
    "carriage returns": ([CHUNKED], b"%x\r%b\r0\r\r" % (SIZE, INNER)),
    "0x": ([CHUNKED], b"0x" + CHUNKS),
    "signed": ([CHUNKED], b"+" + CHUNKS),
    "leading space": ([CHUNKED], b" " + CHUNKS),
    "sixty-five bits": ([CHUNKED], b"1%016x\r\n%b\r\n0\r\n\r\n" % (SIZE, INNER)),
    "junk": ([CHUNKED], b"%x\r\n%bXX\r\n0\r\n\r\n" % (SIZE, INNER)),
    "long extension": ([CHUNKED], b"%x;%b\r\n" % (SIZE, b"a" * 40_000) + INNER + b"\r\n0\r\n\r\n"),
    "two hosts": ([f"Content-Length: {SIZE}", "Host: b"], INNER),
    "nul": ([f"Content-Length: {SIZE}", "X: a\0b"], INNER),
}


def talk(server: Server, data: bytes) -> bytes:
    """All that comes, until nothing does."""
    where = urlsplit(server.url)
    with socket.create_connection((where.hostname or "", where.port or 0)) as sock:
        sock.settimeout(QUIET_S)
        received = b""
        try:
            sock.sendall(data)
            while piece := sock.recv(65_536):
                received += piece
        except OSError:
            pass
        return received


@pytest.mark.parametrize("sound", [True, False])
def test_no_request_is_made_of_a_body(server: Server, s3: RudeS3, *, sound: bool) -> None:
    cases = SOUND if sound else UNSOUND
    behind = f"GET {PLACE}/o1 HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    stored = s3.answers.stored  # type: ignore[attr-defined]
    stored.clear()

    def attack(name: str) -> None:
        lines, body = cases[name]
        key = f"of-{name.replace(' ', '-')}"
        head = [f"PUT {PLACE}/{key} HTTP/1.1", "Host: a", f"X-API-Key: {KEY}", *lines, "", ""]
        answers = talk(server, "\r\n".join(head).encode("latin-1") + body + behind)
        statuses = [int(x) for x in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers) if x != b"100"]
        of_this = [(method, data) for method, stored_as, data in stored if stored_as == key]
        if sound:
            assert statuses == [200, 200], (name, answers)
            assert answers.endswith(b"I am o1"), name
            assert of_this == [("PUT", INNER)], name
        else:
            assert statuses[0] == 400, (name, answers)
            assert b"I am o1" not in answers, name
            assert of_this == [], name

    with ThreadPoolExecutor(len(cases)) as pool:
        list(pool.map(attack, cases))
    assert [key for _, key, _ in stored if key == "victim"] == []


ENCODINGS = (
    *("/site/others/o1", "/site/%6fthers/o1", "/site/others%2Fo1", "/site%2fothers/o1"),
    *("/%73ite/others/o1", "/site/%6F%74%68%65%72%73/o1", "/site/other%73%2fo1"),
)


def test_a_site_that_wants_a_key_wants_it_however_it_is_spelled(server: Server) -> None:
    """The site around it serves the same bucket, to anybody."""
    assert talk(server, b"GET /site/o1 HTTP/1.1\r\nHost: a\r\n\r\n").endswith(b"I am o1")
    for target in ENCODINGS:
        for form in (target, f"http://a{target}", f"{target}?x"):
            for method in ("GET", "HEAD"):
                request = f"{method} {form} HTTP/1.1\r\nHost: a\r\n"
                refused = talk(server, f"{request}Connection: close\r\n\r\n".encode())
                assert refused.startswith(b"HTTP/1.1 401 "), form
                shown = f"{request}X-API-Key: {KEY}\r\nConnection: close\r\n\r\n"
                answer = talk(server, shown.encode())
                assert answer.startswith(b"HTTP/1.1 200 "), form


def test_no_key_is_another_ones(server: Server) -> None:
    """What differs in spelling alone is the same object, and nothing else is."""
    spelled = {
        "o a": ("o%20a",),
        "o+a": ("o+a", "o%2Ba"),
        "o/a": ("o/a", "o%2Fa", "o%2fa", "%6f/a"),
        "o//a": ("o//a", "o%2F%2Fa", "o/%2fa"),
        "o%2Fa": ("o%252Fa",),
        "oé": ("o%C3%A9", "o%c3%a9"),
        "oe\u0301": ("oe%CC%81",),
        "o?a": ("o%3Fa",),
        "O/a": (),
    }
    for key, spellings in spelled.items():
        for each in spellings:
            for _ in range(2):
                answer = asked(server, each)
                assert answer is not None
                assert answer.content.decode() == f"I am {key}"
    wrong = (
        *("o/%2e%2e/a", "o/.%2e/a", "o/./a", "o%00", "o%0d%0aX:y", "o%ff", "o%c0%ae%c0%ae/a"),
        *("o%ed%a0%80", "o%", "o%zz", "o%2", "o/..", "..%2fother", "o" + "x" * 1024),
    )
    for each in wrong:
        line = f"GET {PLACE}/{each} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        answered = talk(server, line.encode())
        assert answered.startswith(b"HTTP/1.1 400 "), (each, answered[:200])
    for bucket in ("other", "%2e%2e", f"{BUCKET}%2f..", f"{BUCKET}%00", f"{BUCKET}%20", "", "BULK"):
        line = f"GET /objects/{bucket}/o1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        assert re.match(rb"HTTP/1.1 40[03] ", talk(server, line.encode())), bucket


def test_no_answer_is_of_another_request(server: Server) -> None:
    """Fields that caches were poisoned with: they change nothing."""
    made = random.Random(1)
    fields = (
        *("Host", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Original-URL", "X-Rewrite-URL"),
        *("Forwarded", "X-HTTP-Method-Override", "Via", "X-Forwarded-Prefix", "Accept"),
    )
    for number in range(30):
        key = f"o-{number % 5}"
        extra = {
            name: made.choice(("evil.example", "/objects/other/x", "DELETE", "*/*"))
            for name in made.sample(fields, 4)
        }
        extra |= {"range": made.choice(("bytes=0-0", "bytes=99-", "x", "bytes=0-0,2-2"))}
        extra |= {"if-range": made.choice(('"no"', "x", MODIFIED[15:]))} if number % 2 else {}
        asked(server, key, made.choice(("GET", "HEAD")), **extra)
        answer = asked(server, key)
        assert answer is not None
        assert answer.text == f"I am {key}"
        assert "evil" not in str(answer.headers)


def test_what_is_asked_for_is_text_in_the_answer(server: Server) -> None:
    evil = "o%3Cscript%3Ealert(1)%3C/script%3E%22%27"
    for target in (f"/site/x{evil}", f"/objects/{evil}/x", f"{PLACE}/x{evil}"):
        line = f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        answered = talk(server, line.encode())
        head, _, body = answered.partition(b"\r\n\r\n")
        assert b"<script>" not in head
        assert b"application/json" in head or b"<script>" not in body
