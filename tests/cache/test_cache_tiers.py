"""Memory over a disk: large pieces leave memory, small ones come back to it, and what was there
when the process ended is there when the next begins."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from parparchik.cache import Absent, PieceName
from parparchik.content import Span
from parparchik.model import FileBlock
from tests.cache.disks import running
from tests.cache.scenes import KIB, MIB, POLICY, drain, noise, scene, until
from tests.fakes_bytes import NOW_S, FakeBytes
from tests.fakes_disk import FakeDisk


@pytest.fixture
def disk() -> Iterator[FakeDisk]:
    disk = FakeDisk()
    yield disk
    assert disk.opened == 0, "a piece was left open"
    disk.close()


async def test_large_pieces_leave_memory_once_saved(disk: FakeDisk, autojump_clock: object) -> None:
    async with scene(disk=disk, memory_object_bytes=10 * KIB) as s:
        data = noise(192 * KIB)
        s.bucket.put("a", data)
        assert await s.get("a") == ("MISS", data)
        await wait_all_tasks_blocked()
        assert s.cache.statistics().memory_bytes < 10 * KIB
        assert len(disk.saved) == 3
        found = s.cache.find_nowait(s.name("a"), POLICY)
        assert found is not None
        assert not isinstance(found, Absent)
        assert (found.status, found.body) == ("HIT", None)
        content = found.content(Span(70_000, 192 * KIB - 1))
        block = await content.read()
        assert isinstance(block, FileBlock)
        assert (block.offset, block.size_bytes) == (70_000 - 65536, 2 * 65536 - 70_000)
        content.close()
        assert disk.opened == 0
        assert await s.get("a") == ("HIT", data)
        assert len(s.bucket.asked) == 1


async def test_small_objects_are_in_both(disk: FakeDisk, autojump_clock: object) -> None:
    async with scene(disk=disk) as s:
        s.bucket.put("a", b"abc")
        await s.get("a")
        await wait_all_tasks_blocked()
        assert [piece[0].key for piece in disk.saved] == ["a"]
        assert await s.get("a") == ("HIT", b"abc")
        assert disk.opens == 0


async def test_a_new_process_knows_what_is_on_disk(disk: FakeDisk, autojump_clock: object) -> None:
    large = noise(200 * KIB)
    bucket = FakeBytes()
    bucket.put("a", b"abc", content_type="text/plain")
    bucket.put("b", large)
    async with scene(disk=disk, bucket=bucket) as s:
        await s.get("a")
        await s.get("b")
        await wait_all_tasks_blocked()
        await trio.sleep(30)
    asked = len(bucket.asked)
    async with scene(disk=disk, bucket=bucket) as s:
        assert s.cache.find_nowait(s.name("a"), POLICY) is None
        found = await s.found("a")
        assert (found.status, found.body, found.age_s) == ("HIT", b"abc", 30)
        assert found.representation.content_type == "text/plain"
        opens = disk.opens
        assert await s.get("a") == ("HIT", b"abc")
        assert disk.opens == opens, "it is in memory again"
        assert await s.get("b") == ("HIT", large)
        assert len(bucket.asked) == asked
        await trio.sleep(31)
        assert await s.get("a") == ("REVALIDATED", b"abc")
        assert bucket.sent_bytes == 3 + len(large)


async def test_many_who_come_back_read_the_disk_once(
    disk: FakeDisk, autojump_clock: object
) -> None:
    bucket = FakeBytes()
    bucket.put("a", noise(20 * KIB))
    async with scene(disk=disk, bucket=bucket) as s:
        await s.get("a")
        await wait_all_tasks_blocked()
    async with scene(disk=disk, bucket=bucket) as s:
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(s.get, "a")
        assert disk.opens == 1


async def test_a_piece_that_the_disk_lost_comes_from_s3(
    disk: FakeDisk, autojump_clock: object
) -> None:
    async with scene(disk=disk, memory_object_bytes=0) as s:
        data = noise(300 * KIB)
        s.bucket.put("a", data)
        await s.get("a")
        await wait_all_tasks_blocked()
        disk.drop(PieceName(s.name("a"), "", 2))
        assert await s.get("a") == ("MISS", data)
        assert s.bucket.spans("a") == [None, Span(2 * 65536, 3 * 65536 - 1)]
        await wait_all_tasks_blocked()
        assert disk.saved[-1][2] == 2


async def test_a_full_disk_is_no_disk(disk: FakeDisk, autojump_clock: object) -> None:
    disk.full = True
    async with scene(disk=disk, memory_object_bytes=0) as s:
        data = noise(300 * KIB)
        s.bucket.put("a", data)
        assert await s.get("a") == ("MISS", data)
        await wait_all_tasks_blocked()
        assert await s.get("a") == ("HIT", data)
        assert len(s.bucket.asked) == 1
        assert s.cache.statistics().unsaved == 5


async def test_a_slow_disk_slows_fills_and_not_memory(
    disk: FakeDisk, autojump_clock: object
) -> None:
    async def slowly(point: str, _: PieceName) -> None:
        if point == "saving":
            await trio.sleep(1)

    disk.at = slowly
    async with scene(disk=disk, memory_object_bytes=0, memory_bytes=0, max_fills=2) as s:
        data = noise(1 * MIB)
        s.bucket.put("a", data)
        assert (await s.get("a"))[1] == data
        assert len(s.bucket.asked) == 1
        await trio.sleep(20)
        assert len(disk.saved) == 16


async def test_a_reader_far_behind_reads_from_disk(disk: FakeDisk, autojump_clock: object) -> None:
    async with scene(disk=disk, memory_object_bytes=0) as s:
        data = noise(1 * MIB)
        s.bucket.put("a", data)
        found = await s.found("a")
        slow = found.content(Span(0, len(data) - 1))
        got = b""
        while len(got) < 40_000:
            block = await slow.read()
            assert isinstance(block, bytes | memoryview)
            got += block
        assert (await s.get("a"))[1] == data
        await trio.sleep(20)
        kinds = set()
        while (some := await slow.read()) is not None:
            kinds.add(type(some))
            got += os_read(some)
        slow.close()
        assert got == data
        assert FileBlock in kinds
        assert s.bucket.sent_bytes == len(data)


async def test_another_way_of_cutting_is_followed(disk: FakeDisk, autojump_clock: object) -> None:
    bucket = FakeBytes()
    data = noise(300 * KIB)
    bucket.put("a", data)
    async with scene(disk=disk, bucket=bucket) as s:
        await s.range("a", 0, 70_000)
        await wait_all_tasks_blocked()
    async with scene(disk=disk, bucket=bucket, slice_bytes=100_000) as s:
        assert await s.range("a", 0, 70_000) == ("HIT", data[:70_001])
        assert await s.get("a") == ("MISS", data)


async def test_a_record_of_the_future_is_asked_about(
    disk: FakeDisk, autojump_clock: object
) -> None:
    async with scene(disk=disk) as s:
        s.bucket.put("a", b"abc")
        await s.get("a")
        await wait_all_tasks_blocked()
    record, files = disk.files[s.name("a"), ""]
    disk.files[s.name("a"), ""] = replace(record, confirmed_at_s=NOW_S + 1e6), files
    async with scene(disk=disk, bucket=s.bucket) as s:
        assert await s.get("a") == ("REVALIDATED", b"abc")


async def test_a_reader_of_what_memory_forgot_reads_from_disk(
    disk: FakeDisk, autojump_clock: object
) -> None:
    async with scene(disk=disk, memory_object_bytes=0, memory_bytes=0) as s:
        data = noise(300 * KIB)
        s.bucket.put("a", data)
        await s.get("a")
        await wait_all_tasks_blocked()
        found = await s.found("a")
        content = found.content(Span(0, len(data) - 1))
        for n in range(60):  # more than memory knows of
            s.bucket.put(f"b{n}", b"x")
            await s.get(f"b{n}")
        assert await drain(content) == data
        content.close()
        assert s.bucket.count("open", "a") == 1


async def test_with_the_disk_itself(tmp_path: Path) -> None:
    """Two processes after each other, the second with what the first has left."""
    bucket = FakeBytes()
    objects = {"small": noise(1000, 1), "large": noise(300 * KIB, 2), "empty": b""}
    for key, data in objects.items():
        bucket.put(key, data)
    for expected in ("MISS", "HIT"):
        async with running(tmp_path) as disk, scene(disk=disk, bucket=bucket) as s:
            for key, data in objects.items():
                assert await s.get(key) == (expected, data)
            # The order in which the disk ends is its own.
            await until(lambda: all(disk.record(s.name(key), "") for key in objects))
            record = disk.record(s.name("large"), "")
            assert record is not None
            for index in range(5):
                await until(partial(disk.has, PieceName(s.name("large"), "", index), record))
    assert len(bucket.asked) == 3
    async with running(tmp_path) as disk, scene(disk=disk, bucket=bucket) as s:
        bucket.put("small", b"new")
        await s.cache.invalidate(s.name("small"))
        assert await s.get("small") == ("MISS", b"new")
        assert await s.cache.invalidate_prefix(s.bucket.name, "") == 3


def os_read(block: bytes | memoryview | FileBlock) -> bytes:
    if isinstance(block, FileBlock):
        return os.pread(block.fd, block.size_bytes, block.offset)
    return bytes(block)
