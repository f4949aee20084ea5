"""CONTRACT section 3, flaws of estrois that ours must not have: each by its name."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import AsyncIterator

import pytest
import trio

from tests.contract.objects import check_problem, get, head, put
from tests.contract.scene import Scene, Server, serving
from tests.contract.sink_s3 import sink_s3
from tests.real_s3.faults import FaultyFront

API_KEY = "a-key-that-nobody-guesses"
TEXT = b"a line of text that comes again and again\n" * 40_000  # more than 1 MiB
MIB = 1 << 20


async def test_it_invalidates_before_the_write(
    scene: Scene, gateway_environ: dict[str, str], front: FaultyFront
) -> None:
    """A GET while the PUT was under way cached the old bytes for five minutes."""
    scene.put(scene.second, "k", b"old")
    async with serving(gateway_environ | {"S3_ENDPOINT": front.endpoint}) as server:
        assert (await get(server, scene.second, "k")).content == b"old"
        front.hold_puts = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(put, server, scene.second, "k", b"given up")
            await trio.to_thread.run_sync(front.held.wait, 10)
            for _ in range(3):
                assert (await get(server, scene.second, "k")).content == b"old"
            front.hold_puts = False
            front.release()
        assert (await put(server, scene.second, "k", b"new")).status_code == 200
        for _ in range(3):
            assert (await get(server, scene.second, "k")).content == b"new"


async def test_old_bytes_never_outlive_a_write(scene: Scene, gateway: Server) -> None:
    """Many readers beside a writer: what is read after a PUT was answered is what it stored, or
    what came later."""
    written = 0
    done = trio.Event()

    async def read() -> None:
        while not done.is_set():
            at_least = written
            answer = await get(gateway, scene.second, "k")
            assert answer.status_code == 200
            assert int(answer.content) >= at_least

    await put(gateway, scene.second, "k", b"0")
    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(read)
        for number in range(1, 60):
            assert (await put(gateway, scene.second, "k", b"%d" % number)).status_code == 200
            written = number
        done.set()


async def test_eviction_goes_in_map_order_and_counts_wrongly(
    scene: Scene, gateway_environ: dict[str, str]
) -> None:
    half = 600 << 10
    async with serving(gateway_environ | {"MAX_CACHE_SIZE": "2"}) as server:
        for key in ("a", "b", "c"):
            scene.put(scene.second, key, key.encode() * half)
            await get(server, scene.second, key)
        assert (await get(server, scene.second, "a")).headers["x-cache"] == "HIT"
        scene.put(scene.second, "d", b"d" * half)
        await get(server, scene.second, "d")
        # The one that was not used for the longest time has gone, and no other.
        assert (await get(server, scene.second, "a")).headers["x-cache"] == "HIT"
        assert (await get(server, scene.second, "c")).headers["x-cache"] == "HIT"
        assert (await get(server, scene.second, "d")).headers["x-cache"] == "HIT"
        told = (await server.get("/stats")).json()
        assert 3 * half <= told["current_size_bytes"] <= told["max_size_bytes"] == 2 * MIB
        assert (await get(server, scene.second, "b")).headers["x-cache"] == "MISS"


@pytest.mark.parametrize("announced", [True, False])
async def test_put_bodies_are_held_in_memory(
    gateway_environ: dict[str, str], announced: bool
) -> None:
    size_bytes, block = 192 * MIB, bytes(MIB)

    async def body() -> AsyncIterator[bytes]:
        for _ in range(size_bytes // len(block)):
            yield block

    length = {"content_length": str(size_bytes)} if announced else {}
    with sink_s3() as s3:
        async with serving(gateway_environ | {"S3_ENDPOINT": s3.endpoint}) as server:
            bucket = gateway_environ["ALLOWED_BUCKETS"].rpartition(",")[2].removesuffix(":all")
            assert (await put(server, bucket, "warm-up", b"x")).status_code == 200
            tracemalloc.start()
            try:
                assert (await put(server, bucket, "large", body(), **length)).status_code == 200
                # Ours, the client's and the S3's: they are all in this process.
                assert tracemalloc.get_traced_memory()[1] < 80 * MIB
            finally:
                tracemalloc.stop()
    assert s3.received_bytes("large") == size_bytes
    assert len(s3.taken) > 2


async def test_half_an_upload_is_nothing(gateway_environ: dict[str, str]) -> None:
    """The client leaves in the middle: what has been sent to S3 is aborted."""

    async def body() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield bytes(MIB)
        raise ZeroDivisionError

    with sink_s3() as s3:
        async with serving(gateway_environ | {"S3_ENDPOINT": s3.endpoint}) as server:
            bucket = gateway_environ["ALLOWED_BUCKETS"].rpartition(",")[2].removesuffix(":all")
            with pytest.raises(ZeroDivisionError):
                await put(server, bucket, "large", body())

            async def aborted() -> bool:
                await trio.lowlevel.checkpoint()
                return ("DELETE", "uploadId=one") in s3.asked

            await server.until(aborted)
    assert not [query for method, query in s3.asked if method == "POST" and "uploadId" in query]


async def test_head_always_says_json(scene: Scene, gateway: Server) -> None:
    await put(gateway, scene.second, "k", b"four", content_type="image/png")
    for _ in range(2):
        got, asked = await get(gateway, scene.second, "k"), await head(gateway, scene.second, "k")
        assert (asked.status_code, asked.content) == (200, b"")
        assert asked.headers["content-type"] == "image/png"
        for name in ("content-length", "etag", "last-modified"):
            assert asked.headers[name] == got.headers[name]


async def test_streaming_is_broken_above_the_cache_size(
    scene: Scene, gateway_environ: dict[str, str]
) -> None:
    data = hashlib.shake_256(b"a large one").digest(5 * MIB)
    async with serving(gateway_environ | {"MAX_CACHE_SIZE": "1"}) as server:
        assert (await put(server, scene.second, "large", data)).status_code == 200
        for _ in range(2):
            answer = await get(server, scene.second, "large")
            assert answer.status_code == 200
            assert answer.headers["content-length"] == str(len(data))
            assert answer.content == data
        assert (await server.get("/stats")).json()["current_size_bytes"] <= MIB


async def test_there_are_no_ranges(scene: Scene, gateway: Server) -> None:
    await put(gateway, scene.second, "k", b"0123456789")
    for wanted, status, content in (
        ("bytes=0-", 206, b"0123456789"),
        ("bytes=2-4", 206, b"234"),
        ("bytes=-3", 206, b"789"),
        ("bytes=20-", 416, None),
    ):
        answer = await get(gateway, scene.second, "k", range=wanted)
        assert answer.status_code == status
        if content is not None:
            assert answer.content == content
    assert (await get(gateway, scene.second, "k")).headers["accept-ranges"] == "bytes"


async def test_there_are_no_conditional_requests(scene: Scene, gateway: Server) -> None:
    etag = (await put(gateway, scene.second, "k", b"data")).headers["etag"]
    answer = await get(gateway, scene.second, "k", if_none_match=etag)
    assert (answer.status_code, answer.content) == (304, b"")
    assert (await get(gateway, scene.second, "k", if_none_match='"other"')).status_code == 200
    assert (await get(gateway, scene.second, "k", if_match='"other"')).status_code == 412
    answer = await put(gateway, scene.second, "k", b"x", if_none_match="*")
    check_problem(answer, 412, "precondition failed")
    answer = await put(gateway, scene.second, "k", b"x", if_match='"other"')
    check_problem(answer, 412)
    assert (await put(gateway, scene.second, "k", b"x", if_match=etag)).status_code == 200
    assert (await get(gateway, scene.second, "k")).content == b"x"
