"""Hostile clients against the gateway and a site as one process.

Whatever a client sends, S3 gets the body as it was framed, or nothing; and nobody gets what is of
another request, another key or another permission.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.attacked import KEY, PLACE, OfAnyKey, asked, attacked, talk
from tests.e2e.rude_s3 import BUCKET, MODIFIED
from tests.real_s3.serving import Server


@pytest.fixture(scope="module")
def objects() -> OfAnyKey:
    return OfAnyKey({})


@pytest.fixture(scope="module")
def server(objects: OfAnyKey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with attacked(tmp_path_factory.mktemp("attack"), objects) as server:
        yield server


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


@pytest.mark.parametrize("sound", [True, False])
def test_no_request_is_made_of_a_body(server: Server, objects: OfAnyKey, *, sound: bool) -> None:
    cases = SOUND if sound else UNSOUND
    behind = f"GET {PLACE}/o1 HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    stored = objects.stored
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
