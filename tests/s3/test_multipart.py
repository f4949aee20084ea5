"""Storing in parts: what is sent, and what is left behind when it fails (nothing)."""

from __future__ import annotations

import gc
import hashlib
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import pytest
import structlog
import trio

from parparchik.content import Storing
from parparchik.errors import (
    BadDigest,
    ClientGone,
    Denied,
    NotSupported,
    PreconditionFailed,
    TooLarge,
    Unavailable,
    UpstreamError,
)
from parparchik.s3 import S3Client, S3Objects
from parparchik.s3 import multipart as multipart_module
from tests.s3.fake_multipart import FakeMultipart, step_of
from tests.s3.fake_s3 import QUICK, answer, error, open_objects
from tests.s3.scripted import Peer, ScriptedServer, Seen, replying, serve
from tests.s3.uploads import Sent

PART = 100_000
DATA = bytes(range(251)) * 1_000  # three parts, the last one of 51,000 bytes
STEPS = ["create", "part", "part", "part", "complete"]
SLOW_DOWN = answer(503, {"Retry-After": "0"})


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart_module, "PART_BYTES", PART)


async def started(nursery: trio.Nursery, s3: S3Client, fake: FakeMultipart) -> S3Objects:
    server: ScriptedServer = await nursery.start(serve, replying(fake))
    return open_objects(s3, server)


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


@pytest.mark.parametrize("step", ["create", "part", "complete"])
@pytest.mark.parametrize("lose", [False, True])
async def test_one_failure_is_mended(
    nursery: trio.Nursery, s3: S3Client, step: str, lose: bool
) -> None:
    """Also when S3 has done what it was asked, and only its answer got lost."""
    fake = FakeMultipart(
        lambda at, number, _: SLOW_DOWN if (at, number) == (step, 1) else None,
        lose=(step,) if lose else (),
    )
    objects = await started(nursery, s3, fake)
    etag = await objects.store("k", Sent(DATA), Storing())
    assert fake.objects == {"k": (DATA, etag)}
    assert fake.steps.count(step) == STEPS.count(step) + 1
    assert "abort" not in fake.steps


@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        (lambda seen: error(seen, 500, "InternalError", {"Retry-After": "0"}), Unavailable),
        (lambda seen: error(seen, 403, "AccessDenied"), Denied),
        (lambda seen: error(seen, 501, "NotImplemented"), NotSupported),
        (lambda seen: error(seen, 400, "InvalidRequest"), UpstreamError),
        (lambda _: answer(200, {}, b"<html>"), UpstreamError),
    ],
)
@pytest.mark.parametrize(("step", "number"), [("create", 1), ("part", 2), ("complete", 1)])
async def test_a_failure_that_lasts_leaves_nothing(
    nursery: trio.Nursery, s3: S3Client,
    step: str, number: int, fault: Callable[[Seen], bytes], raised: type[Exception],
) -> None:  # fmt: skip
    fake = FakeMultipart(
        lambda at, count, seen: fault(seen) if at == step and count >= number else None
    )
    objects = await started(nursery, s3, fake)
    with pytest.raises(raised):
        await objects.store("k", Sent(DATA), Storing())
    assert fake.objects == {}
    assert fake.uploads == {}
    assert fake.steps[-1] == ("create" if step == "create" else "abort")


async def test_an_error_that_is_called_success(nursery: trio.Nursery, s3: S3Client) -> None:
    """CompleteMultipartUpload has said 200 before it knows; then its body tells."""

    def fault(step: str, number: int, _seen: Seen) -> bytes | None:
        if step != "complete":
            return None
        code = "InternalError" if number == 1 else "AccessDenied"
        return answer(200, {}, f"\n <Error><Code>{code}</Code></Error>".encode())

    fake = FakeMultipart(fault)
    objects = await started(nursery, s3, fake)
    with pytest.raises(UpstreamError, match="AccessDenied"):
        await objects.store("k", Sent(DATA), Storing())
    assert fake.steps == [*STEPS, "complete", "abort"]


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


async def test_an_upload_that_somebody_else_aborted(nursery: trio.Nursery, s3: S3Client) -> None:
    """What is found in its place is not taken for ours."""

    def fault(step: str, number: int, seen: Seen) -> bytes | None:
        if step == "complete" and number == 1:
            fake.uploads.clear()
            fake.objects["k"] = (b"another's", '"0"')
            return SLOW_DOWN
        return None

    fake = FakeMultipart(fault)
    objects = await started(nursery, s3, fake)
    with pytest.raises(UpstreamError, match="NoSuchUpload"):
        await objects.store("k", Sent(DATA), Storing())


class TestTheBodyIsNotWhatItShouldBe:
    @pytest.mark.parametrize(
        "storing",
        [Storing(md5=b"x" * 16), Storing(sha256=b"x" * 32)],
    )
    async def test_digest(self, nursery: trio.Nursery, s3: S3Client, storing: Storing) -> None:
        fake = FakeMultipart()
        objects = await started(nursery, s3, fake)
        with pytest.raises(BadDigest):
            await objects.store("k", Sent(DATA), storing)
        assert "complete" not in fake.steps
        assert fake.uploads == {}
        assert fake.steps[-1] == "abort"

    @pytest.mark.parametrize("announced", [len(DATA) - 1, len(DATA) + 1, PART + 1])
    async def test_length(self, nursery: trio.Nursery, s3: S3Client, announced: int) -> None:
        fake = FakeMultipart()
        objects = await started(nursery, s3, fake)
        with pytest.raises(BadDigest, match=str(announced)):
            await objects.store("k", Sent(DATA, size_bytes=announced), Storing())
        assert "complete" not in fake.steps
        assert fake.uploads == {}

    async def test_the_client_goes(self, nursery: trio.Nursery, s3: S3Client) -> None:
        async def leave(read_bytes: int) -> None:
            if read_bytes >= 220_000:
                raise ClientGone("the client has gone")

        fake = FakeMultipart()
        objects = await started(nursery, s3, fake)
        with pytest.raises(ClientGone):
            await objects.store("k", Sent(DATA, before=leave), Storing())
        assert fake.steps[-1] == "abort"
        assert (fake.uploads, fake.objects) == ({}, {})


class TestCancelled:
    @pytest.mark.parametrize("step", ["part", "complete"])
    async def test_is_aborted(self, nursery: trio.Nursery, s3: S3Client, step: str) -> None:
        reached = trio.Event()
        fake = FakeMultipart()

        async def script(peer: Peer) -> None:
            while seen := await peer.request():
                if step_of(seen) == step:
                    reached.set()
                    await trio.sleep_forever()
                await peer.send(fake(seen))

        server: ScriptedServer = await nursery.start(serve, script)
        objects = open_objects(s3, server)
        async with trio.open_nursery() as storing:
            storing.start_soon(objects.store, "k", Sent(DATA), Storing())
            await reached.wait()
            storing.cancel_scope.cancel()
        assert fake.steps[-1] == "abort"
        assert fake.uploads == {}
        assert server.connections == 2  # what was cancelled is not used again

    async def test_while_it_begins(self, nursery: trio.Nursery, s3: S3Client) -> None:
        """The answer is waited for: nothing else says what to abort."""
        reached, go_on = trio.Event(), trio.Event()
        fake = FakeMultipart()

        async def script(peer: Peer) -> None:
            while seen := await peer.request():
                if step_of(seen) == "create":
                    reached.set()
                    await go_on.wait()
                await peer.send(fake(seen))

        server: ScriptedServer = await nursery.start(serve, script)
        objects = open_objects(s3, server)
        async with trio.open_nursery() as storing:
            storing.start_soon(objects.store, "k", Sent(DATA), Storing())
            await reached.wait()
            storing.cancel_scope.cancel()
            go_on.set()
        assert fake.steps == ["create", "abort"]
        assert fake.uploads == {}

    async def test_while_the_client_is_slow(self, nursery: trio.Nursery, s3: S3Client) -> None:
        waiting = trio.Event()

        async def wait(read_bytes: int) -> None:
            if read_bytes >= 120_000:
                waiting.set()
                await trio.sleep_forever()

        fake = FakeMultipart()
        objects = await started(nursery, s3, fake)
        async with trio.open_nursery() as storing:
            storing.start_soon(objects.store, "k", Sent(DATA, before=wait), Storing())
            await waiting.wait()
            storing.cancel_scope.cancel()
        assert fake.steps[-1] == "abort"
        assert fake.uploads == {}


async def test_an_abort_that_fails_is_told(nursery: trio.Nursery, s3: S3Client) -> None:
    """It does not hide why it was tried, and it is counted and logged, by the upload's name."""
    fake = FakeMultipart(
        lambda step, _, seen: error(seen, 403, "AccessDenied") if step != "create" else None
    )
    objects = await started(nursery, s3, fake)
    with structlog.testing.capture_logs() as logs, pytest.raises(Denied, match="PutObject"):
        await objects.store("k", Sent(DATA), Storing())
    [told] = logs
    assert told["upload_id"] == "upload+/1"
    assert "AbortMultipartUpload" in told["reason"]
    counted = {each.operation: dict(each.outcomes) for each in s3.statistics().operations}
    assert counted["abort_upload"]["denied"] == 1
    assert counted["upload_part"]["denied"] == 1
    assert counted["create_upload"]["ok"] == 1


async def test_an_abort_without_an_answer_ends(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multipart_module, "_ABORT_S", 0.2)
    fake = FakeMultipart()

    async def script(peer: Peer) -> None:
        while seen := await peer.request():
            if step_of(seen) == "abort":
                await trio.sleep_forever()
            await peer.send(fake(seen))

    server: ScriptedServer = await nursery.start(serve, script)
    s3 = S3Client(replace(QUICK, retries=0))
    with structlog.testing.capture_logs() as logs, pytest.raises(BadDigest), trio.fail_after(5):
        await open_objects(s3, server).store("k", Sent(DATA), Storing(md5=b"x"))
    assert len(logs) == 1
    s3.close()


async def test_a_part_refused_ends_reading(nursery: trio.Nursery, s3: S3Client) -> None:
    async def slowly(read_bytes: int) -> None:
        if read_bytes >= 200_000:
            await trio.sleep_forever()

    fake = FakeMultipart(
        lambda step, _, seen: error(seen, 403, "AccessDenied") if step == "part" else None
    )
    objects = await started(nursery, s3, fake)
    with pytest.raises(Denied), trio.fail_after(5):
        await objects.store("k", Sent(DATA, before=slowly), Storing())
    assert fake.steps[-1] == "abort"


async def test_back_pressure(nursery: trio.Nursery, s3: S3Client) -> None:
    """While S3 does not take a part, no more than one other is read, and a piece beyond."""
    fake = FakeMultipart()

    async def script(peer: Peer) -> None:
        while seen := await peer.request():
            if step_of(seen) == "part":
                await trio.sleep_forever()
            await peer.send(fake(seen))

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
    assert [len(seen.body) for seen in fake.seen["part"][3:]] == [2 * PART, 2 * PART, 102_000]
    huge = Sent(b"", size_bytes=6 * PART + 1)
    with pytest.raises(TooLarge):
        await objects.store("huge", huge, Storing())
    assert huge.read_bytes == 0
    with pytest.raises(TooLarge):
        await objects.store("of unknown size", Sent(large), Storing())
    assert fake.steps[-1] == "abort"
    assert fake.uploads == {}
