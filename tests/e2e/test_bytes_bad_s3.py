"""An S3 that answers wrongly, against the gateway as a process.

Whatever S3 sends, a client gets the object's bytes, an error, or a transfer that visibly broke off,
and never what anybody else would take for the object.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.attacked import KEY, OfAnyKey, asked, attacked
from tests.e2e.rude_s3 import MODIFIED, Answers, Asked, Said, object_of, said
from tests.real_s3.serving import Server

DATA = b"0123456789" * 100
ETAG, LENGTH = 'ETag: "e"', f"Content-Length: {len(DATA)}"


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
    "neither": sends(LENGTH),
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
    *("bomb", "no-store", "no-date", "neither"),
}
"""Of these a client gets the object, all or part of it."""
PARTS = {"range-ignored", "range-kept", *WHOLE}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with attacked(tmp_path_factory.mktemp("bad-s3"), OfAnyKey(OF_S3)) as server:
        yield server


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


def test_what_may_not_be_kept_is_not(server: Server) -> None:
    """A proxy's Cache-Control does not lift the object's."""
    answer = asked(server, "no-store")
    assert answer is not None
    assert (answer.headers["x-cache"], "no-store" in answer.headers["cache-control"]) == (
        "BYPASS",
        True,
    )
