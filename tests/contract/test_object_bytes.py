"""What `content.ObjectBytes` promises, asked of S3's client (on moto) and of the tests' fake."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import httpx
import pytest
from moto.server import ThreadedMotoServer

from parparchik.config import BucketConfig, Endpoint, S3Config
from parparchik.content import NotModified, ObjectBytes, Representation, Span, Storing
from parparchik.errors import BadDigest, OutOfRange, PreconditionFailed
from parparchik.model import Bucket
from parparchik.s3 import Credentials, S3Client
from tests.fakes_bytes import FakeBytes, FakeUpload
from tests.plain_http import NO_TLS
from tests.s3.downloads import content, opened

DATA = bytes(range(256)) * 1000
META = (("cache-control", "max-age=60"), ("x-amz-meta-who", "us"))


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["fake", "s3"])
def objects(request: pytest.FixtureRequest) -> Iterator[ObjectBytes]:
    name = "b" + hashlib.md5(request.node.name.encode()).hexdigest()
    if request.param == "fake":
        yield FakeBytes(name)
        return
    url = request.getfixturevalue("moto_url")
    assert httpx.put(f"{url}/{name}", verify=NO_TLS).is_success
    client = S3Client(S3Config())
    keys = Credentials("AKIDEXAMPLE", "SECRETEXAMPLE")
    yield client.objects(BucketConfig(Bucket(name), Endpoint(url=url)), lambda: keys)
    client.close()


async def store(objects: ObjectBytes, key: str, data: bytes, storing: Storing | None = None) -> str:
    half = len(data) // 2
    return await objects.store(
        key, FakeUpload(data[:half], data[half:], size_bytes=len(data)), storing or Storing()
    )


async def test_what_is_stored_is_there(objects: ObjectBytes) -> None:
    etag = await store(objects, "a b/ü+", DATA, Storing("video/mp4", META))
    assert etag[0] == etag[-1] == '"'
    told = await objects.stat("a b/ü+")
    assert told is not None
    assert (told.size_bytes, told.etag, told.content_type) == (len(DATA), etag, "video/mp4")
    assert tuple(sorted(told.headers)) == META
    assert told.header("x-amz-meta-who") == "us"
    download = opened(await objects.open("a b/ü+"))
    assert sorted(download.representation.headers) == sorted(told.headers)
    assert download.representation.last_modified_s == told.last_modified_s
    assert download.span == Span(0, len(DATA) - 1)
    assert await content(download) == DATA


async def test_what_is_not_there(objects: ObjectBytes) -> None:
    assert await objects.stat("k") is None
    assert await objects.open("k") is None
    assert await objects.open("k", span=Span(0, 1)) is None
    await objects.delete("k")
    assert await objects.delete_many(["k", "l"]) == {}


async def test_an_empty_object(objects: ObjectBytes) -> None:
    await store(objects, "k", b"")
    download = opened(await objects.open("k"))
    assert download.span == Span(0, -1)
    assert download.span.size_bytes == 0
    assert await content(download) == b""


@pytest.mark.parametrize(
    ("span", "sent"),
    [
        (Span(0, 0), Span(0, 0)),
        (Span(255_999, 255_999), Span(255_999, 255_999)),
        (Span(100, 200_000), Span(100, 200_000)),
        (Span(255_990, 1_000_000), Span(255_990, 255_999)),
    ],
)
async def test_spans(objects: ObjectBytes, span: Span, sent: Span) -> None:
    await store(objects, "k", DATA)
    download = opened(await objects.open("k", span=span))
    assert (download.span, download.representation.size_bytes) == (sent, len(DATA))
    assert await content(download) == DATA[sent.first : sent.last + 1]


async def test_a_span_beyond_the_end(objects: ObjectBytes) -> None:
    await store(objects, "k", b"hello")
    with pytest.raises(OutOfRange) as caught:
        await objects.open("k", span=Span(5, 9))
    assert caught.value.size_bytes == 5


async def test_conditions_of_reading(objects: ObjectBytes) -> None:
    etag = await store(objects, "k", b"hello")
    assert isinstance(await objects.open("k", if_none_match=etag), NotModified)
    assert await content(await objects.open("k", if_none_match='"0"')) == b"hello"
    assert await content(await objects.open("k", span=Span(1, 2), if_match=etag)) == b"el"
    with pytest.raises(PreconditionFailed):
        await objects.open("k", span=Span(1, 2), if_match='"0"')


async def test_conditions_of_writing(objects: ObjectBytes) -> None:
    etag = await store(objects, "k", b"one", Storing(if_none_match="*"))
    with pytest.raises(PreconditionFailed):
        await store(objects, "k", b"two", Storing(if_none_match="*"))
    second = await store(objects, "k", b"two", Storing(if_match=etag))
    with pytest.raises(PreconditionFailed):
        await store(objects, "k", b"three", Storing(if_match=etag))
    assert second != etag
    assert await content(await objects.open("k")) == b"two"


async def test_digests(objects: ObjectBytes) -> None:
    md5, sha256 = hashlib.md5(DATA).digest(), hashlib.sha256(DATA).digest()
    await store(objects, "k", DATA, Storing(md5=md5, sha256=sha256))
    for wrong in (Storing(md5=bytes(16)), Storing(sha256=bytes(32))):
        with pytest.raises(BadDigest):
            await store(objects, "k", DATA[1:], wrong)
    assert await content(await objects.open("k")) == DATA


async def test_storing_again_replaces_all(objects: ObjectBytes) -> None:
    await store(objects, "k", b"one", Storing("text/plain", META))
    await store(objects, "k", b"three", Storing("text/html"))
    told = await objects.stat("k")
    assert isinstance(told, Representation)
    assert (told.size_bytes, told.content_type, told.headers) == (5, "text/html", ())


async def test_an_open_body_is_of_one_object(objects: ObjectBytes) -> None:
    await store(objects, "k", b"one")
    download = opened(await objects.open("k"))
    await store(objects, "k", b"two")
    assert await content(download) == b"one"


async def test_a_body_that_is_left(objects: ObjectBytes) -> None:
    await store(objects, "k", DATA)
    download = opened(await objects.open("k"))
    await download.read()
    await download.aclose()
    assert await content(await objects.open("k")) == DATA


async def test_deleting(objects: ObjectBytes) -> None:
    for key in ("a b", "c&<d>", "ü", "kept"):
        await store(objects, key, b"x")
    await objects.delete("ü")
    assert await objects.delete_many(["a b", "c&<d>", "never there"]) == {}
    assert [key for key in ("a b", "c&<d>", "ü", "kept") if await objects.stat(key)] == ["kept"]


async def test_folders(objects: ObjectBytes) -> None:
    keys = ["a", "b+ c/", "b+ c/1", "b+ c/d/2", "b+ c/ü/3", "b+ c/ü/4", "e/5"]
    for key in keys:
        await store(objects, key, key.encode())
    top = await objects.list_folder("")
    assert [each.key for each in top.objects] == ["a"]
    assert top.objects[0].head.size_bytes == 1
    assert list(top.prefixes) == ["b+ c/", "e/"]
    assert top.next_token is None
    below = await objects.list_folder("b+ c/")
    assert [each.key for each in below.objects] == ["b+ c/", "b+ c/1"]
    assert list(below.prefixes) == ["b+ c/d/", "b+ c/ü/"]
    nothing = await objects.list_folder("none/")
    assert (list(nothing.objects), list(nothing.prefixes)) == ([], [])


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_pages_of_a_folder(objects: ObjectBytes, limit: int) -> None:
    for key in ("a", "b/1", "b/2", "c", "d/3", "e"):
        await store(objects, key, b"")
    found: list[str] = []
    token: str | None = None
    for _ in range(10):
        page = await objects.list_folder("", token=token, limit=limit)
        names = [each.key for each in page.objects] + list(page.prefixes)
        assert len(names) <= limit
        found += names
        token = page.next_token
        if token is None:
            break
    assert sorted(found) == ["a", "b/", "c", "d/", "e"]
