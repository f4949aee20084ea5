"""Bytes of objects against a gateway that checks every signature and every digest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trio

from parparchik.config import BucketConfig, Endpoint, S3Config
from parparchik.content import NotModified, Span, Storing
from parparchik.errors import (
    BadDigest,
    Denied,
    NoBucket,
    OutOfRange,
    PreconditionFailed,
    Truncated,
    Unavailable,
)
from parparchik.model import Bucket
from parparchik.s3 import S3Client, S3Objects
from tests.real_s3.odd_keys import ODD_KEYS
from tests.real_s3.rgw import Rgw, User
from tests.s3.downloads import content, described, opened
from tests.s3.uploads import Sent

pytestmark = pytest.mark.real_s3

MIB = 1 << 20
LARGE = hashlib.shake_256(b"large").digest(MIB) * 40  # three parts

Open = Callable[..., S3Objects]


@pytest.fixture
def open_objects(rgw: Rgw) -> Iterator[Open]:
    clients: list[S3Client] = []

    def open_(name: str, user: User = rgw.owner) -> S3Objects:
        clients.append(S3Client(S3Config(retries=1)))
        config = BucketConfig(Bucket(name), Endpoint(region=rgw.region, url=rgw.endpoint))
        return clients[-1].objects(config, lambda: user.credentials)

    yield open_
    for client in clients:
        client.close()


def uploads_in(boto: Any, bucket: str) -> list[Any]:
    found: list[Any] = boto.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    return found


async def test_odd_keys(rgw: Rgw, open_objects: Open) -> None:
    objects = open_objects(rgw.create_bucket())
    keys = sorted(ODD_KEYS.values())
    for key in keys:
        data = key.encode()
        etag = await objects.store(key, Sent(data, size_bytes=len(data)), Storing("text/plain"))
        told = await objects.stat(key)
        assert told is not None, key
        assert (told.size_bytes, told.etag, told.content_type) == (len(data), etag, "text/plain")
        assert await content(await objects.open(key)) == data
    for key in keys[::3]:
        await objects.delete(key)
        assert await objects.stat(key) is None
        assert await objects.open(key) is None
    assert await objects.delete_many(keys) == {}
    with rgw.client() as boto:
        assert "Contents" not in boto.list_objects_v2(Bucket=objects.name)


async def test_keys_that_xml_cannot_say(rgw: Rgw, open_objects: Open) -> None:
    objects = open_objects(rgw.create_bucket())
    keys = ["a\x01", "b\tc", "d\re", "f\ng", "<&>\"'", "h"]
    for key in keys:
        await objects.store(key, Sent(b"x"), Storing())
    assert await objects.delete_many(keys) == {}
    assert [key for key in keys if await objects.stat(key)] == []


async def test_headers_both_ways(rgw: Rgw, open_objects: Open) -> None:
    objects = open_objects(rgw.create_bucket())
    headers = (
        ("cache-control", "max-age=60,  private"),
        ("content-disposition", 'attachment; filename="a b.mp4"'),
        ("content-encoding", "gzip"),
        ("content-language", "de"),
        ("expires", "Tue, 05 May 2026 10:00:00 GMT"),
        ("x-amz-meta-two", "a  b"),
        ("x-amz-meta-who", "us"),
    )
    for key, data in (("small", b"x"), ("large", LARGE)):
        await objects.store(key, Sent(data, step=MIB), Storing("video/mp4", headers))
        told = await objects.stat(key)
        assert told is not None
        assert (told.content_type, tuple(sorted(told.headers))) == ("video/mp4", headers)
        download = opened(await objects.open(key))
        assert download.representation == told
        await download.aclose()


async def test_spans_and_conditions(rgw: Rgw, open_objects: Open) -> None:
    objects = open_objects(rgw.create_bucket({"k": b"0123456789", "empty": b""}))
    etag = (await described(await objects.open("k"))).etag
    for span, sent in ((Span(0, 0), b"0"), (Span(3, 5), b"345"), (Span(8, 99), b"89")):
        download = opened(await objects.open("k", span=span, if_match=etag))
        assert download.representation.size_bytes == 10
        assert await content(download) == sent
    for key, size_bytes in (("k", 10), ("empty", 0)):
        with pytest.raises(OutOfRange) as caught:
            await objects.open(key, span=Span(10, 11))
        assert caught.value.size_bytes in (size_bytes, -1)
    assert isinstance(await objects.open("k", if_none_match=etag), NotModified)
    with pytest.raises(PreconditionFailed):
        await objects.open("k", if_match='"0"')
    assert await content(await objects.open("empty")) == b""


async def test_conditional_writes(rgw: Rgw, open_objects: Open) -> None:
    objects = open_objects(rgw.create_bucket())
    await objects.store("k", Sent(b"one"), Storing(if_none_match="*"))
    for data in (b"two", LARGE):
        with pytest.raises(PreconditionFailed):
            await objects.store("k", Sent(data, step=MIB), Storing(if_none_match="*"))
    assert await content(await objects.open("k")) == b"one"
    with rgw.client() as boto:
        assert uploads_in(boto, objects.name) == []


async def test_large(rgw: Rgw, open_objects: Open) -> None:
    objects = open_objects(rgw.create_bucket())
    storing = Storing(md5=hashlib.md5(LARGE).digest(), sha256=hashlib.sha256(LARGE).digest())
    etag = await objects.store("k", Sent(LARGE, size_bytes=len(LARGE), step=MIB), storing)
    assert etag.endswith('-3"')
    download = opened(await objects.open("k"))
    assert download.representation.etag == etag
    assert await content(download) == LARGE
    span = Span(16 * MIB - 5, 16 * MIB + 4)
    assert await content(await objects.open("k", span=span)) == LARGE[span.first : span.last + 1]
    with rgw.client() as boto:
        assert uploads_in(boto, objects.name) == []


async def test_a_body_with_another_digest_leaves_nothing(rgw: Rgw, open_objects: Open) -> None:
    objects = open_objects(rgw.create_bucket())
    with pytest.raises(BadDigest):
        await objects.store("k", Sent(LARGE, step=MIB), Storing(sha256=bytes(32)))
    assert await objects.stat("k") is None
    with rgw.client() as boto:
        assert uploads_in(boto, objects.name) == []


@pytest.mark.parametrize("at_mib", [20, 36])
async def test_a_cancelled_upload_leaves_nothing(rgw: Rgw, open_objects: Open, at_mib: int) -> None:
    objects = open_objects(rgw.create_bucket())
    with trio.CancelScope() as scope:

        async def cancel(read_bytes: int) -> None:
            if read_bytes >= at_mib * MIB:
                scope.cancel()

        await objects.store("k", Sent(LARGE, step=MIB, before=cancel), Storing())
    assert scope.cancelled_caught
    assert await objects.stat("k") is None
    with rgw.client() as boto:
        assert uploads_in(boto, objects.name) == []


async def test_folders(rgw: Rgw, open_objects: Open) -> None:
    keys = ["a", "b+ c/", "b+ c/1", "b+ c/ü/2", "b+ c/ü/3", "//d", "e%2F/4", "<&>/5"]
    objects = open_objects(rgw.create_bucket(dict.fromkeys(keys, b"x")))
    top = await objects.list_folder("")
    assert [each.key for each in top.objects] == ["a"]
    assert list(top.prefixes) == ["/", "<&>/", "b+ c/", "e%2F/"]
    below = await objects.list_folder("b+ c/")
    assert [each.key for each in below.objects] == ["b+ c/", "b+ c/1"]
    assert list(below.prefixes) == ["b+ c/ü/"]
    names: list[str] = []
    token: str | None = None
    while True:
        page = await objects.list_folder("", token=token, limit=2)
        names += [*page.prefixes, *[each.key for each in page.objects]]
        token = page.next_token
        if token is None:
            break
    assert sorted(names) == sorted([*top.prefixes, "a"])


async def test_what_may_not_be(rgw: Rgw, open_objects: Open) -> None:
    name = rgw.create_bucket({"k": b"content"})
    rgw.allow(name, "s3:GetObject")
    guest = open_objects(name, rgw.guest)
    assert await content(await guest.open("k")) == b"content"
    with pytest.raises(Denied):
        await guest.stat("missing")
    with pytest.raises(Denied, match="s3:PutObject"):
        await guest.store("k", Sent(b"x"), Storing())
    with pytest.raises(Denied, match="s3:PutObject"):
        await guest.store("k", Sent(LARGE, step=MIB), Storing())
    with pytest.raises(Denied, match="s3:DeleteObject"):
        await guest.delete("k")
    with pytest.raises(Denied, match="s3:DeleteObject"):
        await guest.delete_many(["k"])
    assert await content(await guest.open("k")) == b"content"


async def test_a_bucket_that_is_not_there(open_objects: Open) -> None:
    objects = open_objects("no-such-bucket")
    for ask in (
        objects.stat("k"), objects.open("k"), objects.delete("k"), objects.delete_many(["k"]),
        objects.list_folder(""), objects.store("k", Sent(b"x"), Storing()),
        objects.store("k", Sent(LARGE, step=MIB), Storing()),
    ):  # fmt: skip
        with pytest.raises(NoBucket):
            await ask


async def test_a_gateway_that_dies_within_a_body(rgw: Rgw, open_objects: Open) -> None:
    objects = open_objects(rgw.create_bucket())
    await objects.store("k", Sent(LARGE, step=MIB), Storing())
    download = opened(await objects.open("k"))
    await download.read()
    rgw.gateway.stop_radosgw()
    try:
        with pytest.raises(Truncated):
            await content(download)
        with pytest.raises(Unavailable):
            await objects.open("k")
    finally:
        rgw.gateway.start_radosgw()
    assert await content(await objects.open("k")) == LARGE
