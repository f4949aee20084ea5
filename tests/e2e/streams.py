"""Streams of requests to fuzz with: sound ones, tricky ones, and bytes changed in either."""

from __future__ import annotations

from random import Random

TAIL = b"GET /tail HTTP/1.1\r\nHost: t\r\nX-Request-Id: n-tail\r\n\r\n"
"""Behind every stream. It is answered as a request of its own by all planes, or by none."""

TARGETS = (
    *(b"/b/k", b"/b/k?q=1", b"/b/%6B", b"/", b"//b//k", b"/b/../k", b"/b/k#f", b"/%73tatus"),
    *(b"//status", b"/status", b"/status?x", b"/status/", b"/healthcheck", b"/STATUS", b"*"),
    *(
        b"http://h/b/k",
        b"http://h/status",
        b"HTTPS://u@h:1/b?x",
        b"http://h?x",
        b"http://",
        b"h:80",
    ),
    *(b"http:///status", b"ftp://h/", b"b/k", b"/b k", b"/" + b"k" * 2_000, b"/\xc3\xbc", b"/%zz"),
)
METHODS = (*[b"GET"] * 8, b"HEAD", b"HEAD", b"POST", b"PUT", b"OPTIONS", b"get", b"CONNECT", b"X-Y")
VERSIONS = (*[b"HTTP/1.1"] * 24, b"HTTP/1.0", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b"http/1.1")
LINES = (
    *(
        b"Accept: */*",
        b"X-A: b",
        b"X-A:",
        b"X-A:\tb\t",
        b"X-A: \xe9",
        b"x-a: b",
        b"~: '",
        b"Cookie: a",
    ),
    *(b"Connection: keep-alive", b"Connection: close", b"Connection: x, CLOSE", b"Connection: x"),
    *(
        b"Connection: close, keep-alive",
        b"Keep-Alive: 5",
        b"Connection:",
        b"Upgrade: x",
        b"Upgrade:",
    ),
    *(
        b"Upgrade: h2c",
        b"Expect: 100-continue",
        b"Expect: x",
        b"Authorization: Basic eA==",
        b"TE: x",
    ),
    *(b"Content-Length: 0", b"Content-Length: 00", b"Content-Length: 5", b"Content-Length: 5\t"),
    *(
        b"Content-Length: +5",
        b"Content-Length: 5, 5",
        b"Content-Length : 5",
        b"Content-Length: 5_0",
    ),
    *(
        b"Content-Length:\x0b5",
        b"Content-Length: \xb5",
        b"Content-Length: 4",
        b"Content-Length: 0x5",
    ),
    *(
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: CHUNKED",
        b"Transfer-Encoding: x, chunked",
    ),
    *(
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding: chunked, chunked",
        b"Transfer-Encoding:",
    ),
    *(
        b"Transfer-Encoding:\tchunked",
        b"Transfer-Encoding: \x0bchunked",
        b"Transfer_Encoding: chunked",
    ),
    *(
        b"X-A: b\r\n folded",
        b"X-A: b\nX-B: c",
        b"X-A: b\rX-B: c",
        b"X-A: \0",
        b"no colon",
        b": empty",
    ),
    *(b"Host: t", b"Host: other", b"Host:", b"X-A: " + b"b" * 3_000, b"X-Request-Id: not sane"),
)
COMMON_LINES = LINES[:10]
HOSTS = (*[b"Host: t"] * 20, b"host:\tt:80 ", b"Host: [::1]", b"Host: t/u", b"Host: a b", b"")
BODIES = (
    *[b""] * 6,
    *(b"hello", b"hell", b"5\r\nhello\r\n0\r\n\r\n", b"05\r\nhello\r\n000\r\n\r\n", b"0\r\n\r\n"),
    *(
        b"5;a=b\r\nhello\r\n0;c\r\nX-T: y\r\n\r\n",
        b"5\r\nhello\r\n0\r\nHost: x\r\n\r\n",
        b"0\r\n\r\n0",
    ),
    *(b"5 \r\nhello\r\n0\r\n\r\n", b"5\nhello\n0\n\n", b"5\r\nhello0\r\n\r\n", b"-5\r\nhello\r\n"),
    *(b"0x5\r\nhello\r\n0\r\n\r\n", b"FFFFFFFFFFFFFFFFF\r\n", b"\r\n", b"0\r\nX-T : y\r\n\r\n"),
    *(b"GET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n", b"\x16\x03\x01", b"PRI * HTTP/2.0\r\n\r\n"),
)
BYTES = (
    *(
        b"\r",
        b"\n",
        b"\r\n",
        b"\n\n",
        b"\r\n\r\n",
        b"\0",
        b" ",
        b"\t",
        b":",
        b",",
        b";",
        b"0",
        b"5",
    ),
    *(b"\x0b", b"\x7f", b"\x80", b"\xff", b"a", b"HTTP/1.1", b"?", b"#", b"/", b"%", b"\\", b'"'),
)


def request(random: Random, number: int) -> bytes:
    lines = [b"%b %b %b" % tuple(map(random.choice, (METHODS, TARGETS, VERSIONS)))]
    lines.append(random.choice(HOSTS))
    if random.random() < 0.5:
        lines.append(b"X-Request-Id: n-%d" % number)
    lines += random.choices(COMMON_LINES, k=random.choice((0, 0, 1, 2)))
    lines += random.choices(LINES, k=random.choice((0, 0, 0, 1, 1, 2)))
    random.shuffle(lines[1:])
    head = b"\r\n".join(line for line in lines if line) + b"\r\n\r\n"
    if b"Content-Length: 5\r\n" in head and random.random() < 0.7:
        return head + b"hello"
    if b"Transfer-Encoding: chunked\r\n" in head and random.random() < 0.7:
        return head + random.choice(
            (b"5\r\nhello\r\n0\r\n\r\n", b"5;a\r\nhello\r\n0\r\nX: y\r\n\r\n")
        )
    return head + random.choice(BODIES)


def simple(random: Random, number: int) -> bytes:
    """One that the edge answers, and remembers when it comes again."""
    return b"GET /b/k%d HTTP/1.1\r\nHost: t\r\n\r\n" % random.randrange(4)


def upload(random: Random, number: int) -> bytes:
    """A small one, to a mount: sound, but for a length that is not its body's now and then."""
    method = random.choice((b"PUT", b"PUT", b"POST", b"DELETE"))
    target = random.choice((b"/m/k", b"/m/k", b"/m/unread", b"/m/%6B?q=1", b"http://h/m/k"))
    body = random.choice((b"", b"hello", b"\r\n", b"GET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n"))
    size_bytes = len(body) + random.choice((0, 0, 0, 0, 0, 0, 0, 1, -1))
    lines = [b"%b %b HTTP/1.%d" % (method, target, random.random() < 0.95), b"Host: t"]
    lines.append(b"Content-Length: %d" % size_bytes)
    lines += random.choices(LINES, k=random.choice((0, 0, 0, 1)))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def mutated(random: Random, stream: bytes) -> bytes:
    """A few bytes of it inserted, removed, repeated or changed."""
    data = bytearray(stream)
    for _ in range(random.choice((1, 1, 2, 3))):
        at = random.randrange(len(data) + 1)
        size = random.choice((0, 1, 1, 2, 8))
        match random.randrange(4):
            case 0:
                data[at:at] = random.choice(BYTES)
            case 1:
                del data[at : at + size]
            case 2:
                data[at:at] = data[at : at + size]
            case _:
                data[at : at + 1] = bytes([random.randrange(256)])
    return bytes(data)


def stream(random: Random) -> bytes:
    """A few requests, mostly sound, in half of the streams with a few bytes changed."""
    makers = random.choices((request, simple, upload), k=random.choice((1, 1, 2, 2, 3, 4)))
    data = b"".join(make(random, number) for number, make in enumerate(makers))
    return mutated(random, data) if random.random() < 0.5 else data


def cut(random: Random, data: bytes) -> list[bytes]:
    """Into up to four pieces, none empty."""
    places = sorted({random.randrange(1, len(data)) for _ in range(random.choice((0, 0, 1, 2, 3)))})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
