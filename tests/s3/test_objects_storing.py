"""`store` of what fits in one request."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import pytest
import trio

from parparchik.config.byte_settings import BYTE_SETTINGS
from parparchik.content import Storing
from parparchik.errors import (
    BadDigest,
    BadTarget,
    ClientError,
    ClientGone,
    Denied,
    NotSupported,
    PreconditionFailed,
    Unavailable,
)
from parparchik.s3 import S3Client
from parparchik.s3.multipart import LARGE_PART_BYTES, MAX_PARTS, PART_BYTES, part_bytes_of
from tests.s3.fake_multipart import FakeMultipart
from tests.s3.fake_s3 import OBJECT, QUICK, answer, error, open_objects
from tests.s3.scripted import Peer, ScriptedServer, Seen, replying, serve
from tests.s3.uploads import Sent

DATA = bytes(range(251)) * 10_000


@pytest.mark.parametrize("data", [b"", b"x", DATA], ids=["empty", "byte", "large"])
@pytest.mark.parametrize("announced", [False, True])
async def test_one_request(
    nursery: trio.Nursery, s3: S3Client, data: bytes, announced: bool
) -> None:
    fake = FakeMultipart()
    server: ScriptedServer = await nursery.start(serve, replying(fake))
    storing = Storing(
        "text/plain; charset=utf-8",
        (
            ("x-amz-meta-who", "ü".encode().decode("latin-1")),
            ("content-disposition", "inline"),
            ("x-amz-version-id", "7"),
            ("host", "elsewhere"),
        ),
        md5=hashlib.md5(data).digest(),
        sha256=hashlib.sha256(data).digest(),
    )
    body = Sent(data, size_bytes=len(data) if announced else None)
    etag = await open_objects(s3, server).store("/a//b c", body, storing)
    assert etag == f'"{hashlib.md5(data).hexdigest()}"'
    assert fake.objects == {"/a//b c": (data, etag)}
    [seen] = server.requests
    assert seen.target == "/files//a//b%20c"
    assert seen.headers["content-type"] == "text/plain; charset=utf-8"
    assert seen.headers["x-amz-meta-who"] == "ü"
    assert seen.headers["content-disposition"] == "inline"
    assert seen.headers["host"] == server.origin.authority
    assert not {"x-amz-version-id", "if-match", "if-none-match"} & set(seen.headers)
    signed = seen.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
    assert {"x-amz-meta-who", "x-amz-content-sha256", "content-type"} <= set(signed.split(";"))


async def test_bytes_one_by_one(nursery: trio.Nursery, s3: S3Client) -> None:
    fake = FakeMultipart()
    server: ScriptedServer = await nursery.start(serve, replying(fake))
    await open_objects(s3, server).store("k", Sent(DATA[:1000], step=1), Storing())
    assert fake.objects["k"][0] == DATA[:1000]
    assert "content-type" not in server.requests[0].headers


@pytest.mark.parametrize(
    ("status", "code", "raised", "tries"),
    [
        (412, "PreconditionFailed", PreconditionFailed, 1),
        (409, "ConditionalRequestConflict", PreconditionFailed, 1),
        (404, "NoSuchKey", PreconditionFailed, 1),
        (403, "AccessDenied", Denied, 1),
        (501, "NotImplemented", NotSupported, 1),
        (503, "SlowDown", Unavailable, 3),
    ],
)
async def test_errors(
    nursery: trio.Nursery, s3: S3Client,
    status: int, code: str, raised: type[Exception], tries: int,
) -> None:  # fmt: skip
    server: ScriptedServer = await nursery.start(
        serve, replying(lambda seen: error(seen, status, code, {"Retry-After": "0"}))
    )
    with pytest.raises(raised):
        await open_objects(s3, server).store("k", Sent(DATA), Storing())
    assert [(seen.method, seen.body) for seen in server.requests] == [("PUT", DATA)] * tries


class Conditional:
    """An object that is replaced on conditions, as a `kind` of server keeps them."""

    def __init__(self, kind: str, *, there: bool = True) -> None:
        self.kind = kind
        self.data: bytes | None = b"before" if there else None
        self.asked: list[str] = []
        self.meanwhile: Callable[[], object] = lambda: None  # before each PUT

    @property
    def etag(self) -> str:
        return "" if self.data is None else f'"{hashlib.md5(self.data).hexdigest()}"'

    def holds(self, seen: Seen) -> bool:
        wanted, unwanted = seen.headers.get("if-match"), seen.headers.get("if-none-match")
        if unwanted is not None:
            return self.data is None
        mine = self.etag.strip('"') if self.kind == "unquoted" else self.etag
        return wanted is None or mine == wanted

    def __call__(self, seen: Seen) -> bytes:
        self.asked.append(seen.method)
        if seen.method in ("HEAD", "GET"):
            if self.kind == "write only":
                return error(seen, 403, "AccessDenied")
            if self.data is None:
                return error(seen, 404, "NoSuchKey")
            return answer(200, {**OBJECT, "ETag": self.etag}, self.data, to_head=True)
        self.meanwhile()
        if self.kind != "ignores" and not self.holds(seen):
            return error(seen, 412, "PreconditionFailed")
        self.data = seen.body
        return answer(200, {"ETag": self.etag})


KINDS = ["RFC", "unquoted", "ignores"]
BEFORE = f'"{hashlib.md5(b"before").hexdigest()}"'
OTHER = f'"{hashlib.md5(b"other").hexdigest()}"'


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("storing", "there", "stored"),
    [
        (Storing(if_match=BEFORE), True, True),
        (Storing(if_match=BEFORE.strip('"')), True, None),  # no server has to know that form
        (Storing(if_match=OTHER), True, False),
        (Storing(if_match=BEFORE), False, False),
        (Storing(if_none_match="*"), True, False),
        (Storing(if_none_match="*"), False, True),
    ],
)
async def test_conditions(
    nursery: trio.Nursery, s3: S3Client,
    kind: str, storing: Storing, there: bool, stored: bool | None,
) -> None:  # fmt: skip
    there_is = Conditional(kind, there=there)
    server: ScriptedServer = await nursery.start(serve, replying(there_is))
    before = there_is.data
    try:
        etag = await open_objects(s3, server).store("k", Sent(b"after"), storing)
    except PreconditionFailed:
        assert not stored
        assert there_is.data == before
    else:
        assert stored is not False
        assert (there_is.data, etag) == (b"after", there_is.etag)


@pytest.mark.parametrize("kind", ["RFC", "unquoted"])
async def test_conditions_are_kept_in_the_last_moment_too(
    nursery: trio.Nursery, s3: S3Client, kind: str
) -> None:
    there_is = Conditional(kind)
    server: ScriptedServer = await nursery.start(serve, replying(there_is))

    def another_writer() -> None:
        there_is.data = b"other"

    there_is.meanwhile = another_writer
    with pytest.raises(PreconditionFailed):
        await open_objects(s3, server).store("k", Sent(b"after"), Storing(if_match=BEFORE))
    assert there_is.data == b"other"


@pytest.mark.parametrize(("etag", "stored"), [(BEFORE, True), (OTHER, False)])
async def test_who_may_not_look_leaves_it_to_s3(
    nursery: trio.Nursery, s3: S3Client, etag: str, stored: bool
) -> None:
    there_is = Conditional("write only")
    server: ScriptedServer = await nursery.start(serve, replying(there_is))
    with nullcontext() if stored else pytest.raises(PreconditionFailed):
        await open_objects(s3, server).store("k", Sent(b"after"), Storing(if_match=etag))
    assert there_is.data == (b"after" if stored else b"before")


async def test_without_conditions_nothing_is_looked_at(nursery: trio.Nursery, s3: S3Client) -> None:
    there_is = Conditional("RFC")
    server: ScriptedServer = await nursery.start(serve, replying(there_is))
    await open_objects(s3, server).store("k", Sent(b"after"), Storing())
    assert there_is.asked == ["PUT"]


async def test_is_tried_again(nursery: trio.Nursery, s3: S3Client) -> None:
    fake = FakeMultipart(
        lambda _, number, __: answer(500, {"Retry-After": "0"}) if number < 3 else None
    )
    server: ScriptedServer = await nursery.start(serve, replying(fake))
    await open_objects(s3, server).store("k", Sent(DATA, step=100), Storing())
    assert fake.objects["k"][0] == DATA


@pytest.mark.parametrize(
    ("storing", "announced"),
    [
        (Storing(md5=b"x" * 16), None),
        (Storing(sha256=b"x" * 32), None),
        (Storing(), len(DATA) - 1),
        (Storing(), len(DATA) + 1),
        (Storing(), 0),
    ],
)
async def test_a_body_that_is_not_what_it_should_be(
    nursery: trio.Nursery, s3: S3Client, storing: Storing, announced: int | None
) -> None:
    server: ScriptedServer = await nursery.start(serve, replying(FakeMultipart()))
    with pytest.raises(BadDigest):
        await open_objects(s3, server).store("k", Sent(DATA, size_bytes=announced), storing)
    assert server.requests == []


async def test_a_client_that_goes(nursery: trio.Nursery, s3: S3Client) -> None:
    async def leave(read_bytes: int) -> None:
        if read_bytes:
            raise ClientGone("gone")

    server: ScriptedServer = await nursery.start(serve, replying(FakeMultipart()))
    with pytest.raises(ClientGone):
        await open_objects(s3, server).store("k", Sent(DATA, before=leave), Storing())
    assert server.requests == []


@pytest.mark.parametrize(
    "storing",
    [
        Storing("text/plain\r\nHost: x"),
        Storing(headers=(("x-amz-meta-a", "b\nc"),)),
        Storing(headers=(("x-amz-meta-a", "\x00"),)),
        Storing(headers=(("x-amz-meta-a b", "c"),)),
        Storing(headers=(("x-amz-meta-a", "\xff"),)),  # no UTF-8
        Storing(headers=(("x-amz-meta-a", "\u20ac"),)),  # no ISO 8859-1
        Storing(if_match='"\r\n"'),
    ],
)
async def test_what_no_request_can_say(
    nursery: trio.Nursery, s3: S3Client, storing: Storing
) -> None:
    server: ScriptedServer = await nursery.start(serve, replying(FakeMultipart()))
    body = Sent(DATA)
    with pytest.raises(ClientError):
        await open_objects(s3, server).store("k", body, storing)
    assert (server.requests, body.read_bytes) == ([], 0)


async def test_a_key_that_no_url_can_have(nursery: trio.Nursery, s3: S3Client) -> None:
    server: ScriptedServer = await nursery.start(serve, replying(FakeMultipart()))
    body = Sent(DATA)
    with pytest.raises(BadTarget):
        await open_objects(s3, server).store("a/../b", body, Storing())
    assert (server.requests, body.read_bytes) == ([], 0)


async def test_a_server_that_takes_its_time(nursery: trio.Nursery) -> None:
    """What is large has more time than an operation without a body."""

    async def script(peer: Peer) -> None:
        while seen := await peer.request():
            await trio.sleep(0.4)
            await peer.send(answer(200, {"ETag": f'"{len(seen.body)}"'}))

    server: ScriptedServer = await nursery.start(serve, script)
    s3 = S3Client(replace(QUICK, total_timeout_s=0.2, read_timeout_s=5))
    assert await open_objects(s3, server).store("k", Sent(DATA), Storing()) == '"2510000"'
    with pytest.raises(Unavailable):
        await open_objects(s3, server).store("k", Sent(b"x"), Storing())
    s3.close()


async def test_an_etag_without_quotes_gets_them(nursery: trio.Nursery, s3: S3Client) -> None:
    def reply(_seen: Seen) -> bytes:
        return answer(200, {"ETag": "0123"})

    server: ScriptedServer = await nursery.start(serve, replying(reply))
    assert await open_objects(s3, server).store("k", Sent(b"x"), Storing()) == '"0123"'


def test_what_may_be_configured_can_be_stored() -> None:
    [setting] = [each for each in BYTE_SETTINGS if each.toml == "objects.max_upload"]
    most = setting.parse("312GiB")
    assert isinstance(most, int)
    assert PART_BYTES < part_bytes_of(most) <= LARGE_PART_BYTES
    assert part_bytes_of(most) * MAX_PARTS >= most
    with pytest.raises(ValueError, match="312GiB"):
        setting.parse("313GiB")
