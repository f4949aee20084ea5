"""Where uploads wait: never more than there is room for, and nothing left behind."""

from __future__ import annotations

import gc
import os
import tracemalloc
from pathlib import Path

import pytest
import trio
import trio.testing

from parparchik.dedup.spool import SpoolLimits, Spools
from parparchik.errors import ClientGone, Overloaded, TooLarge
from tests.dedup.bed import hint, laid, limits_of
from tests.fakes_bytes import FakeBytes, FakeUpload

KIB = 1024


def limits(directory: Path, **given: int) -> SpoolLimits:
    bounds = {
        "memory_bytes": 10 * KIB, "memory_budget_bytes": 25 * KIB, "disk_budget_bytes": 100 * KIB,
    }  # fmt: skip
    return SpoolLimits(directory=directory, **{**bounds, **given})


async def content(spools: Spools, size_bytes: int) -> None:
    spool = spools.spool()
    data = os.urandom(size_bytes)
    try:
        for at in range(0, size_bytes, 1000):
            await spool.write(data[at : at + 1000])
        for _ in range(2):
            upload = spool.upload()
            assert upload.size_bytes == size_bytes
            found = b""
            while piece := await upload.read():
                found += piece
            assert found == data
    finally:
        await spool.aclose()
        await spool.aclose()


@pytest.mark.parametrize("size_bytes", [0, 1, 10 * KIB, 10 * KIB + 1, 99 * KIB])
async def test_it_is_read_as_it_was_written(tmp_path: Path, size_bytes: int) -> None:
    spools = Spools(limits(tmp_path))
    await content(spools, size_bytes)
    assert (spools.memory_used_bytes, spools.disk_used_bytes) == (0, 0)
    assert os.listdir(tmp_path) == []


async def test_the_disk_has_a_budget(tmp_path: Path) -> None:
    spools = Spools(limits(tmp_path))
    other = spools.spool()
    await other.write(bytes(20 * KIB))
    with pytest.raises(Overloaded) as raised:
        await content(spools, 81 * KIB)
    assert raised.value.status == 503
    await other.aclose()
    await content(spools, 81 * KIB)
    assert (spools.memory_used_bytes, spools.disk_used_bytes, spools.refused) == (0, 0, 1)


async def test_what_never_fits_is_too_large(tmp_path: Path) -> None:
    """Who is told to come again would do so for ever."""
    spools = Spools(limits(tmp_path))
    with pytest.raises(TooLarge, match="SHA256-Checksum") as raised:
        await content(spools, 101 * KIB)
    assert raised.value.status == 413
    spool = spools.spool()
    with pytest.raises(TooLarge):
        await spool.write(bytes(101 * KIB))
    await spool.aclose()
    spool = spools.spool(has_another_way=True)
    with pytest.raises(Overloaded):
        await spool.write(bytes(101 * KIB))
    await spool.aclose()
    assert (spools.memory_used_bytes, spools.disk_used_bytes, spools.refused) == (0, 0, 3)


async def test_what_is_announced_whole_may_come_again(tmp_path: Path) -> None:
    """All ways straight to S3 are taken now, and will not always be."""
    data = os.urandom(50 * KIB)
    given = limits_of(KIB, disk_budget_bytes=20 * KIB, max_large=0)
    async with laid(limits=given) as bed:
        with pytest.raises(TooLarge):
            await bed.put("a", data)
        with pytest.raises(Overloaded):
            await bed.put("a", data, expected=hint(data))


async def test_memory_has_a_budget_for_all_together(tmp_path: Path) -> None:
    spools = Spools(limits(tmp_path))
    open_spools = [spools.spool() for _ in range(5)]
    for spool in open_spools:
        await spool.write(bytes(10 * KIB))
    assert (spools.memory_used_bytes, spools.disk_used_bytes) == (20 * KIB, 30 * KIB)
    for spool in open_spools:
        await spool.aclose()
    assert (spools.memory_used_bytes, spools.disk_used_bytes) == (0, 0)


async def test_without_a_directory_uploads_are_refused(tmp_path: Path) -> None:
    spools = Spools(limits(tmp_path / "missing"))
    with pytest.raises(Overloaded) as raised:
        await content(spools, 20 * KIB)
    assert "missing" not in raised.value.client_message
    assert (spools.memory_used_bytes, spools.disk_used_bytes) == (0, 0)
    await content(spools, 10 * KIB)


async def test_who_is_cancelled_leaves_no_file_open(tmp_path: Path) -> None:
    spools = Spools(limits(tmp_path))
    before = len(os.listdir("/proc/self/fd"))
    with trio.CancelScope() as scope:
        spool = spools.spool()
        try:
            await spool.write(bytes(20 * KIB))
            scope.cancel()
            await spool.write(bytes(1))
        finally:
            await spool.aclose()
    assert scope.cancelled_caught
    assert spools.disk_used_bytes == 0
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


async def test_a_store_without_room_says_so(tmp_path: Path) -> None:
    data = os.urandom(50 * KIB)
    async with laid(limits=limits_of(KIB, disk_budget_bytes=200 * KIB)) as bed:
        held, spooled = trio.Event(), trio.Event()

        class Waiting(FakeUpload):
            async def read(self) -> bytes:
                piece = await super().read()
                if not piece:
                    spooled.set()
                    await held.wait()
                    raise ClientGone("gone")
                return piece

        async def wait() -> None:
            with pytest.raises(ClientGone):
                await bed.put("a", data, upload=Waiting(*[data] * 3))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await spooled.wait()
            with pytest.raises(Overloaded):
                await bed.put("b", data * 2)
            held.set()
        assert bed.store.statistics().spooled_disk_bytes == 0
        assert bed.store.statistics().refused >= 1
        await bed.put("b", data)
        assert await bed.get("b") == data


async def test_so_many_bodies_at_a_time() -> None:
    async with laid(limits=limits_of(1 << 20, max_bodies=2)) as bed:

        async def never() -> None:
            await bed.put("x", b"", upload=Never())

        class Never(FakeUpload):
            async def read(self) -> bytes:
                await trio.sleep_forever()
                return b""

        async with trio.open_nursery() as nursery:
            nursery.start_soon(never)
            nursery.start_soon(never)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(Overloaded):
                await bed.put("a", b"data")
            nursery.cancel_scope.cancel()
        await bed.put("a", b"data")


class Vanishing(FakeBytes):
    """Keeps nothing of what is stored but its size."""

    async def store(self, key, upload, storing):  # type: ignore[no-untyped-def]
        self.taken = 0
        while piece := await upload.read():
            self.taken += len(piece)
        return '"x"'


class Endless(FakeUpload):
    """So much random content, made as it is read."""

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.left = pieces
        self.size_bytes = None

    async def read(self) -> bytes:
        await trio.lowlevel.checkpoint()
        self.left -= 1
        return os.urandom(65_536) if self.left >= 0 else b""


@pytest.mark.parametrize("pieces", [100, 400])
async def test_memory_does_not_grow_with_the_upload(pieces: int) -> None:
    async with laid(bucket=Vanishing(), limits=limits_of(1 << 20, level=1)) as bed:
        tracemalloc.start()
        try:
            await bed.put("a", b"", upload=Endless(pieces))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert bed.bucket.taken > pieces * 65_536  # type: ignore[attr-defined]
        assert peak < 6 << 20


async def test_many_small_pieces_cost_no_more_than_their_bytes() -> None:
    data = os.urandom(60_000)
    pieces = [data[at : at + 2] for at in range(0, len(data), 2)]
    async with laid(limits=limits_of(1 << 20)) as bed:
        upload = FakeUpload(*pieces)
        tracemalloc.start()
        try:
            await bed.put("a", data, upload=upload, expected=hint(data))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 3 << 20
        assert await bed.get("a") == data
