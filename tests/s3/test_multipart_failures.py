"""Storing in parts that fails, or is cancelled: what is tried again, and that nothing is left."""

from __future__ import annotations

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
    Unavailable,
    UpstreamError,
)
from parparchik.s3 import S3Client
from parparchik.s3 import multipart as multipart_module
from tests.s3.fake_multipart import (
    DATA,
    PART,
    SLOW_DOWN,
    STEPS,
    FakeMultipart,
    holding,
    started,
)
from tests.s3.fake_s3 import QUICK, answer, error, open_objects
from tests.s3.scripted import ScriptedServer, Seen, serve
from tests.s3.uploads import Sent

pytestmark = pytest.mark.usefixtures("small_parts")


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
        script = holding(fake, step, reached, go_on=trio.Event())
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
        script = holding(fake, "create", reached, go_on)
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
    script = holding(FakeMultipart(), "abort", trio.Event(), go_on=trio.Event())
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
