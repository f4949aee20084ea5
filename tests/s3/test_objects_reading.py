"""`stat` and `open`: what is asked, and what S3's answers become."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
import trio

from parparchik.content import NotModified, Representation, Span
from parparchik.errors import (
    BadTarget,
    Denied,
    NoBucket,
    OutOfRange,
    PreconditionFailed,
    Unavailable,
    UpstreamError,
)
from parparchik.s3 import S3Client, S3Objects
from tests.s3.downloads import content, described, opened
from tests.s3.fake_s3 import OBJECT, QUICK, answer, error, open_bucket, open_objects
from tests.s3.scripted import Peer, ScriptedServer, Seen, replying, serve

STORED = {
    "Content-Type": "video/mp4",
    "Cache-Control": "max-age=60",
    "Content-Disposition": 'attachment; filename="\u00c3\u00bc"',
    "Content-Encoding": "gzip",
    "Content-Language": "de",
    "Expires": "soon",
    "x-amz-meta-Who": "us",
    "x-amz-version-id": "7",
    "x-amz-request-id": "not the object's",
    "Server": "S3",
}
KEPT = (
    ("cache-control", "max-age=60"),
    ("content-disposition", 'attachment; filename="\u00c3\u00bc"'),
    ("content-encoding", "gzip"),
    ("content-language", "de"),
    ("expires", "soon"),
    ("x-amz-meta-who", "us"),
    ("x-amz-version-id", "7"),
)
DESCRIBED = Representation(5, 1_777_975_200, '"0123"', "video/mp4", KEPT)
DATA = b"hello"

Read = Callable[[S3Objects], Awaitable[object]]
BOTH: dict[str, Read] = {
    "stat": lambda objects: objects.stat("k"),
    "open": lambda objects: objects.open("k"),
}


@pytest.fixture(params=sorted(BOTH))
def read(request: pytest.FixtureRequest) -> Read:
    return BOTH[request.param]


def latin(text: bytes) -> bytes:
    """An answer whose header values are ISO 8859-1, not UTF-8."""
    return text.decode("utf-8").encode("latin-1")


async def answering(
    nursery: trio.Nursery, s3: S3Client, reply: bytes
) -> tuple[S3Objects, ScriptedServer]:
    server: ScriptedServer = await nursery.start(serve, replying(lambda _: reply))
    return open_objects(s3, server), server


async def test_all_that_is_stored_is_told(nursery: trio.Nursery, s3: S3Client) -> None:
    def reply(seen: Seen) -> bytes:
        return latin(answer(200, OBJECT | STORED, DATA, to_head=seen.method == "HEAD"))

    server: ScriptedServer = await nursery.start(serve, replying(reply))
    objects = open_objects(s3, server)
    assert await objects.stat("a b/+ü%") == DESCRIBED
    download = opened(await objects.open("a b/+ü%"))
    assert (download.representation, download.span) == (DESCRIBED, Span(0, 4))
    assert await content(download) == DATA
    assert [(seen.method, seen.target) for seen in server.requests] == [
        ("HEAD", "/files/a%20b/%2B%C3%BC%25"),
        ("GET", "/files/a%20b/%2B%C3%BC%25"),
    ]
    for seen in server.requests:
        assert seen.headers["accept-encoding"] == "identity"
        assert not {"range", "if-match", "if-none-match"} & set(seen.headers)
    assert server.connections == 1


async def test_an_etag_without_quotes_gets_them(nursery: trio.Nursery, s3: S3Client) -> None:
    objects, _ = await answering(nursery, s3, answer(200, {**OBJECT, "ETag": "0123"}, DATA))
    assert (await described(await objects.open("k"))).etag == '"0123"'


@pytest.mark.parametrize("method", ["HEAD", "GET"])
async def test_a_list_may_come_in_several_lines(
    nursery: trio.Nursery, s3: S3Client, method: str
) -> None:
    """What a proxy adds does not lift what is stored."""
    twice = "no-store\r\nCache-Control: max-age=60\r\ncontent-language: de\r\nContent-Language: en"
    reply = answer(200, {**OBJECT, "Cache-Control": twice}, b"")
    objects, _ = await answering(nursery, s3, reply)
    if method == "HEAD":
        said = await objects.stat("k")
    else:
        said = await described(await objects.open("k"))
    assert said is not None
    assert dict(said.headers) == {
        "cache-control": "no-store, max-age=60",
        "content-language": "de, en",
    }


@pytest.mark.parametrize(
    ("status", "code", "raised", "tries"),
    [
        (404, "NoSuchBucket", NoBucket, 1),
        (403, "AccessDenied", Denied, 1),
        (403, "SignatureDoesNotMatch", Denied, 1),
        (500, "InternalError", Unavailable, 3),
        (503, "SlowDown", Unavailable, 3),
        (400, "InvalidRequest", UpstreamError, 1),
        (404, "SomethingElse", UpstreamError, 1),
    ],
)
async def test_errors(
    nursery: trio.Nursery, s3: S3Client, read: Read,
    status: int, code: str, raised: type[Exception], tries: int,
) -> None:  # fmt: skip
    server: ScriptedServer = await nursery.start(
        serve, replying(lambda seen: error(seen, status, code, {"Retry-After": "0"}))
    )
    with pytest.raises(raised):
        await read(open_objects(s3, server))
    reasons = sum(seen.headers.get("range") == "bytes=0-0" for seen in server.requests)
    assert len(server.requests) - reasons == tries


async def test_absent(nursery: trio.Nursery, s3: S3Client, read: Read) -> None:
    server: ScriptedServer = await nursery.start(
        serve, replying(lambda seen: error(seen, 404, "NoSuchKey"))
    )
    assert await read(open_objects(s3, server)) is None


async def test_denied_may_be_missing(nursery: trio.Nursery, read: Read) -> None:
    def reply(seen: Seen) -> bytes:
        code = "AccessDenied" if seen.target.endswith("k") else "RequestTimeTooSkewed"
        return error(seen, 403, code)

    server: ScriptedServer = await nursery.start(serve, replying(reply))
    s3 = S3Client(replace(QUICK, denied_is_missing=True))
    assert await read(open_objects(s3, server)) is None
    with pytest.raises(Denied):
        await open_objects(s3, server).open("other")
    s3.close()


async def test_no_object(nursery: trio.Nursery, s3: S3Client, read: Read) -> None:
    headers = {"Last-Modified": "yesterday"}
    server: ScriptedServer = await nursery.start(
        serve, replying(lambda seen: answer(200, headers, DATA, to_head=seen.method == "HEAD"))
    )
    with pytest.raises(UpstreamError):
        await read(open_objects(s3, server))


@pytest.mark.parametrize("etag", ['"0"', ""])
async def test_an_object_of_unknown_age(nursery: trio.Nursery, s3: S3Client, etag: str) -> None:
    headers = {"ETag": etag} if etag else {}
    server: ScriptedServer = await nursery.start(
        serve, replying(lambda seen: answer(200, headers, DATA, to_head=seen.method == "HEAD"))
    )
    objects = open_objects(s3, server)
    representation = await objects.stat("k")
    assert representation == Representation(len(DATA), 0, etag)
    assert representation.recognizable == bool(etag)
    assert await described(await objects.open("k")) == representation


async def test_an_object_of_unknown_size(nursery: trio.Nursery, s3: S3Client, read: Read) -> None:
    def reply(seen: Seen) -> bytes:
        head = b"HTTP/1.1 200 OK\r\nLast-Modified: Tue, 05 May 2026 10:00:00 GMT\r\n"
        head += b"Transfer-Encoding: chunked\r\n\r\n"
        return head if seen.method == "HEAD" else head + b"5\r\nhello\r\n0\r\n\r\n"

    server: ScriptedServer = await nursery.start(serve, replying(reply))
    with pytest.raises(UpstreamError):
        await read(open_objects(s3, server))


@pytest.mark.parametrize("key", ["..", "a/../b", "./a"])
async def test_keys_that_no_url_can_have(nursery: trio.Nursery, s3: S3Client, key: str) -> None:
    objects, server = await answering(nursery, s3, answer(200, OBJECT, DATA))
    with pytest.raises(BadTarget):
        await objects.open(key)
    with pytest.raises(BadTarget):
        await objects.stat(key)
    assert server.requests == []


class TestSpans:
    async def test_part(self, nursery: trio.Nursery, s3: S3Client) -> None:
        reply = answer(206, {**OBJECT, "Content-Range": "bytes 1-3/5"}, b"ell")
        objects, server = await answering(nursery, s3, reply)
        download = opened(await objects.open("k", span=Span(1, 3), if_match='"0123"'))
        assert (download.span, download.representation.size_bytes) == (Span(1, 3), 5)
        assert await content(download) == b"ell"
        assert server.requests[0].headers["range"] == "bytes=1-3"
        assert server.requests[0].headers["if-match"] == '"0123"'

    async def test_beyond_the_end(self, nursery: trio.Nursery, s3: S3Client) -> None:
        reply = answer(206, {**OBJECT, "Content-Range": "bytes 1-4/5"}, b"ello")
        objects, _ = await answering(nursery, s3, reply)
        assert await content(await objects.open("k", span=Span(1, 99))) == b"ello"

    async def test_a_server_that_knows_no_ranges(self, nursery: trio.Nursery, s3: S3Client) -> None:
        objects, _ = await answering(nursery, s3, answer(200, OBJECT, DATA))
        download = opened(await objects.open("k", span=Span(1, 3)))
        assert download.span == Span(0, 4)
        assert await content(download) == DATA

    async def test_an_empty_object(self, nursery: trio.Nursery, s3: S3Client) -> None:
        objects, _ = await answering(nursery, s3, answer(200, OBJECT))
        download = opened(await objects.open("k"))
        assert download.span == Span(0, -1)
        assert await download.read() == b""

    async def test_in_chunks(self, nursery: trio.Nursery, s3: S3Client) -> None:
        """From behind a proxy that does not keep lengths: the range says how much it is."""
        head = b"HTTP/1.1 206 P\r\nLast-Modified: Tue, 05 May 2026 10:00:00 GMT\r\n"
        head += b"Content-Range: bytes 1-3/5\r\nTransfer-Encoding: chunked\r\n\r\n"
        objects, _ = await answering(nursery, s3, head + b"1\r\ne\r\n2\r\nll\r\n0\r\n\r\n")
        assert await content(await objects.open("k", span=Span(1, 3))) == b"ell"

    @pytest.mark.parametrize(
        "content_range",
        ["bytes 0-2/5", "bytes 1-2/5", "bytes 1-4/5", "bytes 1-3/3", "bytes 1-3/*", "bytes */5",
         "bytes 3-1/5", "1-3/5", "bytes 1-3", "bytes=1-3/5", "bytes 1-3/5,bytes 4-4/5", ""],
    )  # fmt: skip
    async def test_another_part_than_asked_for(
        self, nursery: trio.Nursery, s3: S3Client, content_range: str
    ) -> None:
        reply = answer(206, {**OBJECT, "Content-Range": content_range}, b"ell")
        objects, _ = await answering(nursery, s3, reply)
        with pytest.raises(UpstreamError):
            await objects.open("k", span=Span(1, 3))
        [(_, pool)] = s3.statistics().pools
        assert pool.open in (0, pool.idle)

    async def test_a_body_that_is_not_wanted_is_not_waited_for(
        self, nursery: trio.Nursery, s3: S3Client
    ) -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            head = answer(206, {**OBJECT, "Content-Range": "bytes 0-2/5"}, b"hel", to_head=True)
            await peer.send(head)
            await trio.sleep_forever()

        server: ScriptedServer = await nursery.start(serve, script)
        with pytest.raises(UpstreamError):
            await open_objects(s3, server).open("k", span=Span(1, 3))
        [(_, pool)] = s3.statistics().pools
        assert pool.open == 0

    async def test_a_length_that_contradicts(self, nursery: trio.Nursery, s3: S3Client) -> None:
        reply = answer(206, {**OBJECT, "Content-Range": "bytes 1-3/5"}, b"ello")
        objects, _ = await answering(nursery, s3, reply)
        with pytest.raises(UpstreamError):
            await objects.open("k", span=Span(1, 3))

    async def test_a_part_without_being_asked(self, nursery: trio.Nursery, s3: S3Client) -> None:
        reply = answer(206, {**OBJECT, "Content-Range": "bytes 0-4/5"}, DATA)
        objects, _ = await answering(nursery, s3, reply)
        with pytest.raises(UpstreamError):
            await objects.open("k")

    @pytest.mark.parametrize(
        ("headers", "more", "size_bytes"),
        [
            ({"Content-Range": "bytes */5"}, "", 5),
            ({}, "<ActualObjectSize>5</ActualObjectSize>", 5),
            ({"Content-Range": "bytes */x"}, "<ActualObjectSize>-5</ActualObjectSize>", -1),
            ({}, "", -1),
        ],
    )
    async def test_wholly_beyond(
        self, nursery: trio.Nursery, s3: S3Client,
        headers: dict[str, str], more: str, size_bytes: int,
    ) -> None:  # fmt: skip
        server: ScriptedServer = await nursery.start(
            serve, replying(lambda seen: error(seen, 416, "InvalidRange", headers, more))
        )
        with pytest.raises(OutOfRange) as caught:
            await open_objects(s3, server).open("k", span=Span(9, 10))
        assert caught.value.size_bytes == size_bytes
        assert len(server.requests) == 1


class TestConditions:
    async def test_not_modified(self, nursery: trio.Nursery, s3: S3Client) -> None:
        def reply(seen: Seen) -> bytes:
            assert seen.headers["if-none-match"] == '"0123"'
            return b"HTTP/1.1 304 N\r\nCache-Control: max-age=5\r\nETag: x\r\n\r\n"

        server: ScriptedServer = await nursery.start(serve, replying(reply))
        objects = open_objects(s3, server)
        for _ in range(2):
            answered = await objects.open("k", if_none_match='"0123"')
            assert answered == NotModified((("cache-control", "max-age=5"),))
        assert server.connections == 1

    async def test_what_a_cache_before_s3_says(self, nursery: trio.Nursery, s3: S3Client) -> None:
        def reply(seen: Seen) -> bytes:
            if "if-none-match" in seen.headers:
                return b"HTTP/1.1 304 N\r\nAge: 7\r\n\r\n"
            age = {"k": "30", "junk": "soon"}[seen.target.rpartition("/")[2]]
            return answer(200, {**OBJECT, "Age": age}, b"data", to_head=seen.method == "HEAD")

        server: ScriptedServer = await nursery.start(serve, replying(reply))
        objects = open_objects(s3, server)
        for key, age_s in (("k", 30), ("junk", 0)):
            stat = await objects.stat(key)
            assert stat is not None
            got = await described(await objects.open(key))
            assert (stat.age_s, got.age_s) == (age_s, age_s)
        assert await objects.open("k", if_none_match='"0123"') == NotModified(age_s=7)

    async def test_not_modified_without_being_asked(
        self, nursery: trio.Nursery, s3: S3Client
    ) -> None:
        objects, _ = await answering(nursery, s3, b"HTTP/1.1 304 N\r\n\r\n")
        with pytest.raises(UpstreamError):
            await objects.open("k")

    async def test_no_match(self, nursery: trio.Nursery, s3: S3Client) -> None:
        server: ScriptedServer = await nursery.start(
            serve, replying(lambda seen: error(seen, 412, "PreconditionFailed"))
        )
        with pytest.raises(PreconditionFailed):
            await open_objects(s3, server).open("k", if_match='"1"')

    async def test_a_server_that_knows_no_conditions(
        self, nursery: trio.Nursery, s3: S3Client
    ) -> None:
        """Its bytes are of another object than the one that was begun with."""
        reply = answer(206, {**OBJECT, "Content-Range": "bytes 1-3/5"}, b"ell")
        objects, _ = await answering(nursery, s3, reply)
        with pytest.raises(PreconditionFailed):
            await objects.open("k", span=Span(1, 3), if_match='"1"')
        assert await content(await objects.open("k", span=Span(1, 3), if_match='"0123"')) == b"ell"


async def test_the_time_limit_is_for_the_head(nursery: trio.Nursery) -> None:
    """A body may take as long as it takes, if only it goes on."""

    async def script(peer: Peer) -> None:
        while await peer.request():
            await peer.send(answer(200, OBJECT, DATA, to_head=True))
            for byte in DATA:
                await trio.sleep(0.06)
                await peer.send(bytes([byte]))

    server: ScriptedServer = await nursery.start(serve, script)
    s3 = S3Client(replace(QUICK, total_timeout_s=0.2, read_timeout_s=5))
    assert await content(await open_objects(s3, server).open("k")) == DATA
    s3.close()


async def test_operations_count_for_the_bucket(nursery: trio.Nursery, s3: S3Client) -> None:
    objects, server = await answering(nursery, s3, answer(200, OBJECT, DATA))
    bucket = open_bucket(s3, server)
    assert bucket.statistics() == s3.statistics().operations
    await content(await objects.open("k"))
    [counted] = [each for each in s3.statistics().operations if each.operation == "get"]
    assert (counted.bucket, dict(counted.outcomes)["ok"]) == ("files", 1)
