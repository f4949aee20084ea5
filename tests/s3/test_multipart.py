"""Storing in parts: what is sent, under which conditions, and how much is held meanwhile."""

from __future__ import annotations

import gc
import hashlib
import tracemalloc

import pytest
import trio

from parparchik.content import Storing
from parparchik.errors import (
    PreconditionFailed,
    TooLarge,
)
from parparchik.s3 import S3Client
from parparchik.s3 import multipart as multipart_module
from tests.s3.fake_multipart import (
    DATA,
    PART,
    STEPS,
    FakeMultipart,
    holding,
    started,
)
from tests.s3.fake_s3 import answer, error, open_objects
from tests.s3.scripted import Peer, ScriptedServer, Seen, serve
from tests.s3.uploads import Sent

pytestmark = pytest.mark.usefixtures("small_parts")


@pytest.mark.parametrize("size_bytes", [None, len(DATA)])
async def test_three_parts(nursery: trio.Nursery, s3: S3Client, size_bytes: int | None) -> None:
    fake = FakeMultipart()
    objects = await started(nursery, s3, fake)
    storing = Storing(
        "video/mp4",
        (("x-amz-meta-who", "us"), ("cache-control", "max-age=5"), ("x-amz-version-id", "7")),
        if_none_match="*",
        md5=hashlib.md5(DATA).digest(),
        sha256=hashlib.sha256(DATA).digest(),
    )
    etag = await objects.store("a b/+ü", Sent(DATA, size_bytes=size_bytes), storing)
    assert fake.steps == ["head", "get", *STEPS[:-1], "head", "complete"]
    assert fake.objects == {"a b/+ü": (DATA, etag)}
    assert etag.endswith('-3"')
    assert fake.uploads == {}
    [create], [complete] = fake.seen["create"], fake.seen["complete"]
    assert create.headers["content-type"] == "video/mp4"
    assert create.headers["x-amz-meta-who"] == "us"
    assert create.headers["cache-control"] == "max-age=5"
    assert "x-amz-version-id" not in create.headers
    assert "if-none-match" not in create.headers
    assert complete.headers["if-none-match"] == "*"


@pytest.mark.parametrize(("wanted", "parts"), [(0, 3), (50_000, 6), (2 * PART, 3)])
async def test_smaller_parts_on_demand(
    nursery: trio.Nursery, s3: S3Client, wanted: int, parts: int
) -> None:
    fake = FakeMultipart()
    objects = await started(nursery, s3, fake)
    await objects.store("k", Sent(DATA), Storing(part_bytes=wanted))
    assert fake.steps.count("part") == parts
    assert fake.objects["k"][0] == DATA


@pytest.mark.parametrize("size", [PART - 1, PART, PART + 1, 2 * PART, 2 * PART + 1])
async def test_the_cuts(nursery: trio.Nursery, s3: S3Client, size: int) -> None:
    """No part is empty, and what fits in one is stored with one request."""
    fake = FakeMultipart()
    objects = await started(nursery, s3, fake)
    await objects.store("k", Sent(DATA[:size], step=7_001), Storing())
    assert fake.objects["k"][0] == DATA[:size]
    assert fake.steps.count("part") == (0 if size <= PART else -(-size // PART))
    assert ("put" in fake.steps) is (size <= PART)


async def test_pieces_larger_than_parts(nursery: trio.Nursery, s3: S3Client) -> None:
    fake = FakeMultipart()
    objects = await started(nursery, s3, fake)
    await objects.store("k", Sent(DATA, step=len(DATA)), Storing())
    assert (fake.steps, fake.objects["k"][0]) == (STEPS, DATA)


@pytest.mark.parametrize(
    ("status", "code"),
    [(412, "PreconditionFailed"), (409, "ConditionalRequestConflict"), (404, "NoSuchKey")],
)
async def test_a_condition_that_does_not_hold(
    nursery: trio.Nursery, s3: S3Client, status: int, code: str
) -> None:
    fake = FakeMultipart(
        lambda step, _, seen: error(seen, status, code) if step == "complete" else None
    )
    fake.objects["k"] = (b"there", '"1"')
    objects = await started(nursery, s3, fake)
    with pytest.raises(PreconditionFailed):
        await objects.store("k", Sent(DATA), Storing(if_match='"1"'))
    assert fake.seen["complete"][0].headers["if-match"] == '"1"'
    assert (fake.uploads, fake.objects["k"][0]) == ({}, b"there")


class TestAServerThatKnowsNoConditions:
    """It is not asked to overwrite what must not be."""

    async def test_is_not_sent_what_cannot_be(self, nursery: trio.Nursery, s3: S3Client) -> None:
        fake = FakeMultipart()
        fake.objects["k"] = (b"there", '"0"')
        objects = await started(nursery, s3, fake)
        for storing in (Storing(if_none_match="*"), Storing(if_match='"1"')):
            with pytest.raises(PreconditionFailed):
                await objects.store("k", Sent(DATA), storing)
        assert fake.steps == ["head", "head"]
        await objects.store("k", Sent(DATA), Storing(if_match='"0"'))
        with pytest.raises(PreconditionFailed):
            await objects.store("missing", Sent(DATA), Storing(if_match='"0"'))

    async def test_nor_what_has_come_meanwhile(self, nursery: trio.Nursery, s3: S3Client) -> None:
        def another_writer(step: str, number: int, _seen: Seen) -> None:
            if (step, number) == ("part", 3):
                fake.objects["k"] = (b"there", '"0"')

        fake = FakeMultipart(another_writer)
        objects = await started(nursery, s3, fake)
        with pytest.raises(PreconditionFailed):
            await objects.store("k", Sent(DATA), Storing(if_none_match="*"))
        assert fake.objects["k"][0] == b"there"
        assert fake.steps[-1] == "abort"

    async def test_who_may_not_look_leaves_it_to_the_server(
        self, nursery: trio.Nursery, s3: S3Client
    ) -> None:
        fake = FakeMultipart(
            lambda step, _, seen: (
                error(seen, 403, "AccessDenied") if step in ("head", "get") else None
            )
        )
        objects = await started(nursery, s3, fake)
        await objects.store("k", Sent(DATA), Storing(if_none_match="*"))
        assert fake.seen["complete"][0].headers["if-none-match"] == "*"


@pytest.mark.parametrize("parts_are_md5", [True, False])
async def test_an_etag_that_is_not_told(
    nursery: trio.Nursery, s3: S3Client, parts_are_md5: bool
) -> None:
    def fault(step: str, _number: int, seen: Seen) -> bytes | None:
        if step == "part" and not parts_are_md5:
            return answer(200, {"ETag": '"kms"'})
        if step != "complete":
            return None
        fake.objects["k"] = (DATA, etag)
        body = b"<CompleteMultipartUploadResult><ETag></ETag></CompleteMultipartUploadResult>"
        return answer(200, {}, body)

    digests = b"".join(
        hashlib.md5(DATA[start : start + PART]).digest() for start in range(0, len(DATA), PART)
    )
    etag = f'"{hashlib.md5(digests).hexdigest()}-3"'
    fake = FakeMultipart(fault)
    objects = await started(nursery, s3, fake)
    assert await objects.store("k", Sent(DATA), Storing()) == etag
    assert ("head" in fake.steps) is not parts_are_md5


async def test_back_pressure(nursery: trio.Nursery, s3: S3Client) -> None:
    """While S3 does not take a part, no more than one other is read, and a piece beyond."""
    script = holding(FakeMultipart(), "part", trio.Event(), go_on=trio.Event())
    server: ScriptedServer = await nursery.start(serve, script)
    body = Sent(DATA * 10, step=5_000)
    with trio.move_on_after(0.3):
        await open_objects(s3, server).store("k", body, Storing())
    assert 2 * PART <= body.read_bytes <= 2 * PART + 5_000


async def test_memory(nursery: trio.Nursery, s3: S3Client) -> None:
    """Two parts at a time, however many there are, and without the garbage collector's help."""
    completed = answer(200, {"ETag": '"0"'}, b"<CompleteMultipartUploadResult/>")
    fake = FakeMultipart(lambda step, *_: completed if step in ("part", "complete") else None)

    async def script(peer: Peer) -> None:
        while seen := await peer.request():
            server.requests.clear()
            await peer.send(fake(seen))
            fake.seen.clear()

    server: ScriptedServer = await nursery.start(serve, script)
    objects = open_objects(s3, server)
    gc.disable()
    tracemalloc.start()
    try:
        await objects.store("k", Fresh(40 * PART), Storing())
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        gc.enable()
    assert peak_bytes < 10 * PART  # what the server holds of a part included


class Fresh:
    """A body of which every piece is new."""

    size_bytes = None

    def __init__(self, left: int) -> None:
        self._left = left

    async def read(self) -> bytes:
        await trio.lowlevel.checkpoint()
        self._left -= min(self._left, 20_000)
        return bytes(20_000) if self._left else b""


async def test_limits(nursery: trio.Nursery, s3: S3Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart_module, "MAX_PARTS", 3)
    fake = FakeMultipart()
    objects = await started(nursery, s3, fake)
    await objects.store("three", Sent(DATA), Storing())
    large = DATA * 2
    await objects.store("larger parts", Sent(large, size_bytes=len(large)), Storing())
    assert fake.objects["larger parts"][0] == large
    assert fake.steps == [*STEPS, *STEPS]
    third = -(-len(large) // 3)
    sizes = [third, third, len(large) - 2 * third]
    assert [len(seen.body) for seen in fake.seen["part"][3:]] == sizes
    huge = Sent(b"", size_bytes=6 * PART + 1)
    with pytest.raises(TooLarge):
        await objects.store("huge", huge, Storing())
    assert huge.read_bytes == 0
    with pytest.raises(TooLarge):
        await objects.store("of unknown size", Sent(large), Storing())
    assert fake.steps[-1] == "abort"
    assert fake.uploads == {}
