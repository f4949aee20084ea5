"""PUT: what is stored, what is refused before a byte is read, and what is checked."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from dataclasses import replace

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from parparchik.config.model import ObjectsConfig
from parparchik.errors import ClientError, ClientGone, NotSupported, Unavailable
from parparchik.model import Request
from parparchik.objects.storing import KEPT, METADATA, storing_of
from tests.objects.scene import EVERYTHING, Body, Fields, Scene, Stuck, header, told

DATA = b"some bytes of a client's"
TARGET = "/objects/own/dir/k"


def b64(algorithm: str, data: bytes) -> str:
    return b64encode(hashlib.new(algorithm, data).digest()).decode()


async def test_an_object_is_stored() -> None:
    scene = Scene()
    answer = await scene.act(
        "PUT", TARGET, Body(DATA[:5], DATA[5:]), {"Content-Type": "text/plain"}
    )
    stored = scene.own.objects["dir/k"]
    assert stored.data == DATA
    assert stored.representation.content_type == "text/plain"
    assert answer.status == 200
    assert header(answer, "etag") == stored.representation.etag
    assert told(answer) == {
        "bucket": "own",
        "key": "dir/k",
        "etag": stored.representation.etag,
        "size": len(DATA),
    }
    assert scene.received == [len(DATA)]


@pytest.mark.parametrize("announce", [True, False])
@pytest.mark.parametrize("data", [b"", DATA])
async def test_announced_or_not_empty_or_not(announce: bool, data: bytes) -> None:
    scene = Scene()
    assert (await scene.act("PUT", TARGET, Body(data, announce=announce))).status == 200
    assert scene.own.objects["dir/k"].data == data


async def test_what_is_said_of_it_is_kept() -> None:
    scene = Scene()
    fields = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Encoding": "gzip",
        "Cache-Control": "max-age=60",
        "Content-Disposition": "attachment; filename*=UTF-8''%D0%BA",
        "Content-Language": "de, en",
        "Expires": "Wed, 21 Oct 2026 07:28:00 GMT",
        "X-Amz-Meta-Author": "Somebody Else",
        "x-amz-meta-empty": "",
        "X-Other": "is not",
        "User-Agent": "nor this",
    }
    assert (await scene.act("PUT", TARGET, DATA, fields)).status == 200
    stored = scene.own.objects["dir/k"].representation
    assert stored.content_type == "text/html; charset=utf-8"
    assert dict(stored.headers) == {
        "content-encoding": "gzip",
        "cache-control": "max-age=60",
        "content-disposition": "attachment; filename*=UTF-8''%D0%BA",
        "content-language": "de, en",
        "expires": "Wed, 21 Oct 2026 07:28:00 GMT",
        "x-amz-meta-author": "Somebody Else",
        "x-amz-meta-empty": "",
    }


async def test_without_a_type_it_is_bytes() -> None:
    scene = Scene()
    await scene.act("PUT", TARGET, DATA)
    stored = scene.own.objects["dir/k"].representation
    assert (stored.content_type, stored.headers) == ("application/octet-stream", ())


@pytest.mark.parametrize(
    "fields",
    [
        {"Content-MD5": b64("md5", DATA)},
        {"x-amz-content-sha256": hashlib.sha256(DATA).hexdigest()},
        {"x-amz-content-sha256": hashlib.sha256(DATA).hexdigest().upper()},
        {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"},
        {"x-amz-checksum-sha256": b64("sha256", DATA)},
        {"Content-Digest": f"sha-256=:{b64('sha256', DATA)}:"},
        {"Content-Digest": f"md5=:x:, sha-512=:AA==:,sha-256=:{b64('sha256', DATA)}:;q=1"},
        {"Content-Digest": "sha-512=:AA==:"},
        {
            "Content-MD5": b64("md5", DATA),
            "Content-Digest": f"sha-256=:{b64('sha256', DATA)}:",
            "x-amz-content-sha256": hashlib.sha256(DATA).hexdigest(),
        },
    ],
)
async def test_a_right_digest(fields: Fields) -> None:
    scene = Scene()
    assert (await scene.act("PUT", TARGET, DATA, fields)).status == 200
    assert scene.own.objects["dir/k"].data == DATA


@pytest.mark.parametrize(
    "fields",
    [
        {"Content-MD5": b64("md5", b"other")},
        {"x-amz-content-sha256": hashlib.sha256(b"other").hexdigest()},
        {"x-amz-checksum-sha256": b64("sha256", b"other")},
        {"Content-Digest": f"sha-256=:{b64('sha256', b'other')}:"},
        # The second one counts (RFC 8941 section 3.2).
        {"Content-Digest": f"sha-256=:{b64('sha256', DATA)}:, sha-256=:{b64('sha256', b'x')}:"},
        {
            "x-amz-content-sha256": hashlib.sha256(DATA).hexdigest(),
            "Content-Digest": f"sha-256=:{b64('sha256', b'other')}:",
        },
    ],
)
async def test_a_wrong_digest_stores_nothing(fields: Fields) -> None:
    scene = Scene()
    scene.own.put("dir/k", b"before")
    answer = await scene.act("PUT", TARGET, DATA, fields)
    assert answer.status == 400
    assert told(answer)["error"] == "bad digest"
    assert scene.own.objects["dir/k"].data == b"before"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"Content-MD5": "junk"}, 400),
        ({"Content-MD5": "AAAA"}, 400),
        ({"Content-MD5": "!" + b64("md5", DATA)}, 400),
        ({"Content-MD5": hashlib.md5(DATA).hexdigest()}, 400),
        ({"x-amz-content-sha256": "abc"}, 400),
        ({"x-amz-checksum-sha256": hashlib.sha256(DATA).hexdigest()}, 400),
        ({"Content-Digest": "sha-256=abc"}, 400),
        ({"Content-Digest": "sha-256=::"}, 400),
        ({"Content-Digest": "sha-256"}, 400),
        ({"Content-Digest": "sha-256=:AAAA:"}, 400),
        ({"x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}, 501),
        ({"Content-Encoding": "aws-chunked,gzip"}, 501),
        ({"Content-Range": "bytes 0-4/100"}, 400),
        ({"x-amz-copy-source": "/own/other"}, 501),
        ({"x-amz-acl": "public-read"}, 501),
        ({"x-amz-server-side-encryption-customer-key": "k"}, 501),
        ({"If-Unmodified-Since": "Wed, 21 Oct 2026 07:28:00 GMT"}, 501),
        ({"x-amz-meta-a": "ж".encode().decode("latin-1")}, 400),
        ({"Content-Disposition": 'attachment; filename="é"'}, 400),
        ({"x-amz-meta-a": "x" * 2048}, 400),
        ({f"x-amz-meta-{n}": "x" * 100 for n in range(30)}, 400),
    ],
)
async def test_what_is_refused_before_a_byte_is_read(fields: Fields, status: int) -> None:
    scene, body = Scene(), Body(DATA)
    answer = await scene.act("PUT", TARGET, body, fields)
    assert answer.status == status
    assert told(answer)["code"] == status
    assert not body.asked_for
    assert scene.own.asked == []


@pytest.mark.parametrize("query", ["uploadId=x&partNumber=1", "acl", "x"])
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_a_subresource_is_not_the_object(method: str, query: str) -> None:
    scene, body = Scene(), Body(b"<AccessControlPolicy/>")
    scene.own.put("dir/k", b"before")
    assert (await scene.act(method, f"{TARGET}?{query}", body)).status == 400
    assert not body.asked_for
    assert scene.own.objects["dir/k"].data == b"before"


@given(
    st.lists(
        st.tuples(
            st.one_of(
                st.sampled_from((*KEPT, b"content-md5", b"content-digest", b"if-match")),
                st.binary(max_size=5).map(METADATA.__add__),
                st.sampled_from((b"x-amz-content-sha256", b"x-amz-checksum-sha256")),
                st.binary(max_size=10),
            ),
            st.binary(max_size=40),
        ),
        max_size=6,
    )
)
def test_headers_are_understood_or_refused(headers: list[tuple[bytes, bytes]]) -> None:
    try:
        storing = storing_of(Request("PUT", b"/objects/own/k", headers=tuple(headers)))
    except ClientError:
        return
    for name, value in (*storing.headers, ("content-type", storing.content_type)):
        assert f"{name}: {value}".isascii()
        assert not {"\r", "\n", "\0"} & set(name + value)


async def test_metadata_up_to_the_limit() -> None:
    scene = Scene()
    assert (await scene.act("PUT", TARGET, DATA, {"x-amz-meta-a": "x" * 2047})).status == 200


@pytest.mark.parametrize(
    ("there", "fields", "status"),
    [
        (False, {"If-None-Match": "*"}, 200),
        (True, {"If-None-Match": "*"}, 412),
        (True, {"If-Match": '"right"'}, 200),
        (True, {"If-Match": '"wrong"'}, 412),
        (False, {"If-Match": '"right"'}, 412),
    ],
)
async def test_conditions(there: bool, fields: Fields, status: int) -> None:
    scene = Scene()
    if there:
        scene.own.put("dir/k", b"before", etag='"right"')
    answer = await scene.act("PUT", TARGET, DATA, fields)
    assert answer.status == status
    if status == 412:
        assert told(answer)["error"] == "precondition failed"
        after = scene.own.objects.get("dir/k")
        assert (after.data if after else None) == (b"before" if there else None)


async def test_a_server_that_knows_no_conditions() -> None:
    scene = Scene()
    scene.own.failing["store"] = lambda: NotSupported("no conditional writes")
    answer = await scene.act("PUT", TARGET, DATA, {"If-None-Match": "*"})
    assert answer.status == 501
    assert told(answer)["error"] == "not implemented"


LIMITED = ObjectsConfig(EVERYTHING, max_upload_bytes=10, max_uploads=2)


async def test_too_large_as_announced() -> None:
    scene = Scene(config=LIMITED)
    body = Body(b"x" * 11)
    assert (await scene.act("PUT", TARGET, body)).status == 413
    assert not body.asked_for
    assert scene.own.asked == []
    assert (await scene.act("PUT", TARGET, b"x" * 10)).status == 200


async def test_too_large_as_it_turns_out() -> None:
    scene = Scene(config=LIMITED)
    body = Body(*[b"xxxx"] * 100, announce=False)
    answer = await scene.act("PUT", TARGET, body)
    assert (answer.status, told(answer)["error"]) == (413, "content too large")
    assert body.read_bytes == 12
    assert scene.received == [12]
    assert scene.own.objects == {}


async def test_uploads_at_a_time(nursery: trio.Nursery) -> None:
    scene = Scene(config=replace(LIMITED, max_upload_bytes=1000))
    stuck = [Stuck(), Stuck()]
    for number, body in enumerate(stuck):
        nursery.start_soon(scene.act, "PUT", f"/objects/own/{number}", body)
        await body.reading.wait()
    assert scene.gateway.statistics().bodies == 2
    refused = Body(DATA)
    answer = await scene.act("PUT", TARGET, refused)
    assert answer.status == 503
    assert header(answer, "retry-after") == "1"
    assert told(answer)["error"] == "too many requests at a time"
    assert not refused.asked_for
    # Neither lists of keys, nor reading, nor deleting one waits for them.
    assert (await scene.post("/objects/own?stat", {"keys": ["k"]})).status == 200
    assert (await scene.act("DELETE", TARGET)).status == 204
    nursery.cancel_scope.cancel()
    with trio.CancelScope(shield=True):
        await trio.testing.wait_all_tasks_blocked()
    assert scene.gateway.statistics().bodies == 0
    assert scene.gateway.statistics().refused_bodies == 1


async def test_nobody_reads_what_a_client_that_left_is_told() -> None:
    class Gone(Body):
        async def read(self) -> bytes:
            raise ClientGone("closed")

    scene = Scene()
    with pytest.raises(ClientGone):
        await scene.act("PUT", TARGET, Gone(b"x"))
    assert scene.own.objects == {}


async def test_a_client_that_is_too_slow() -> None:
    class Slow(Body):
        async def read(self) -> bytes:
            raise ClientError("nothing came for 60 s")

    answer = await Scene().act("PUT", TARGET, Slow(b"x"))
    assert (answer.status, told(answer)["message"]) == (400, "nothing came for 60 s")


async def test_a_storage_that_fails() -> None:
    scene = Scene()
    scene.own.failing["store"] = lambda: Unavailable("S3 does not answer", retry_after_s=3)
    answer = await scene.act("PUT", TARGET, DATA)
    assert (answer.status, header(answer, "retry-after")) == (503, "3")
    assert told(answer)["error"] == "storage unavailable"
