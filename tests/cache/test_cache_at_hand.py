"""Bodies that are read without waiting: all that is wanted is cached, the first block at hand."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from trio.testing import wait_all_tasks_blocked

from parparchik.cache import Absent, Found, PieceName
from parparchik.content import Span
from parparchik.model import FileBlock, ReadyContent
from tests.cache.scenes import KIB, POLICY, Gate, Scene, drain, noise, scene
from tests.fakes_disk import FakeDisk

SLICE = 64 * KIB
DATA = noise(3 * SLICE)
WHOLE = Span(0, len(DATA) - 1)


@pytest.fixture
def disk() -> Iterator[FakeDisk]:
    disk = FakeDisk()
    yield disk
    assert disk.opened == 0, "a piece was left open"
    disk.close()


async def cached(s: Scene) -> Found:
    """An object of three pieces, as it is found once it has been read."""
    s.bucket.put("a", DATA)
    await s.get("a")
    await wait_all_tasks_blocked()
    found = s.cache.find_nowait(s.name("a"), POLICY)
    assert found is not None
    assert not isinstance(found, Absent)
    return found


def read_nowait(content: ReadyContent) -> bytes:
    data = b""
    while (block := content.read_nowait()) is not None:
        if isinstance(block, FileBlock):
            block = os.pread(block.fd, block.size_bytes, block.offset)
        data += block
    return data


@pytest.mark.parametrize(
    "span", [WHOLE, Span(0, 0), Span(SLICE - 1, SLICE), Span(SLICE, 2 * SLICE - 1), Span(9, 99)]
)
@pytest.mark.parametrize("on_disk", [True, False])
async def test_all_of_it(disk: FakeDisk, span: Span, on_disk: bool, autojump_clock: object) -> None:
    async with scene(disk=disk if on_disk else None, memory_object_bytes=10 * KIB) as s:
        found = await cached(s)
        for _ in range(2):
            content = found.content_nowait(span)
            assert content is not None
            assert read_nowait(content) == DATA[span.first : span.last + 1]
            assert content.read_nowait() is None
            content.close()
        assert len(s.bucket.asked) == 1


async def test_what_is_not_all_there_is_not_at_hand(disk: FakeDisk, autojump_clock: object) -> None:
    async with scene(disk=disk, memory_object_bytes=10 * KIB) as s:
        found = await cached(s)
        disk.drop(PieceName(s.name("a"), "", 1))
        assert found.content_nowait(WHOLE) is None
        assert found.content_nowait(Span(0, SLICE)) is None
        for span in (Span(0, SLICE - 1), Span(2 * SLICE, 2 * SLICE + 9)):
            content = found.content_nowait(span)
            assert content is not None
            assert read_nowait(content) == DATA[span.first : span.last + 1]
            content.close()


async def test_what_takes_a_thread_is_not_at_hand(disk: FakeDisk, autojump_clock: object) -> None:
    async with scene(disk=disk, memory_object_bytes=10 * KIB) as s:
        found = await cached(s)
        gate = Gate("opening")
        gate.go.set()
        disk.at = gate
        assert found.content_nowait(WHOLE) is None
        content = found.content(WHOLE)
        assert await drain(content) == DATA
        content.close()


async def test_what_is_no_longer_true_is_not_at_hand(
    disk: FakeDisk, autojump_clock: object
) -> None:
    async with scene(disk=disk, memory_object_bytes=10 * KIB) as s:
        found = await cached(s)
        await s.cache.invalidate(s.name("a"))
        assert found.content_nowait(WHOLE) is None


async def test_a_piece_that_goes_meanwhile_is_waited_for(
    disk: FakeDisk, autojump_clock: object
) -> None:
    async with scene(disk=disk, memory_object_bytes=10 * KIB) as s:
        found = await cached(s)
        content = found.content_nowait(WHOLE)
        assert content is not None
        disk.drop(PieceName(s.name("a"), "", 0))  # open already: it stays readable
        disk.drop(PieceName(s.name("a"), "", 1))
        block = content.read_nowait()
        assert isinstance(block, FileBlock)
        assert os.pread(block.fd, block.size_bytes, block.offset) == DATA[:SLICE]
        with pytest.raises(BlockingIOError):
            content.read_nowait()
        assert await drain(content) == DATA[SLICE:]
        content.close()


async def test_a_file_that_was_opened_in_vain_is_closed(
    disk: FakeDisk, autojump_clock: object
) -> None:
    async with scene(disk=disk, memory_object_bytes=10 * KIB) as s:
        found = await cached(s)
        content = found.content_nowait(WHOLE)
        assert content is not None
        assert disk.opened == 1
        content.close()
        assert disk.opened == 0


async def test_it_may_be_read_by_waiting_as_well(disk: FakeDisk, autojump_clock: object) -> None:
    async with scene(disk=disk, memory_object_bytes=10 * KIB) as s:
        found = await cached(s)
        content = found.content_nowait(Span(100, len(DATA) - 1))
        assert content is not None
        assert await drain(content) == DATA[100:]
        content.close()


async def test_of_very_many_pieces_nobody_looks_whether_all_are_there(
    disk: FakeDisk, autojump_clock: object
) -> None:
    async with scene(disk=disk, memory_object_bytes=KIB, slice_bytes=4 * KIB) as s:
        found = await cached(s)
        assert found.content_nowait(WHOLE) is None
        content = found.content_nowait(Span(5000, 5000 + 15 * 4 * KIB - 1))
        assert content is not None
        content.close()


async def test_a_file_that_is_not_needed_after_all_is_not_taken_for_the_next_piece(
    disk: FakeDisk, autojump_clock: object
) -> None:
    async with scene(disk=disk, memory_object_bytes=10 * KIB) as s:
        found = await cached(s)
        content = found.content_nowait(WHOLE)
        assert content is not None
        disk.drop(PieceName(s.name("a"), "", 0))
        disk.at = gate = Gate("saving")  # the first piece is in memory again, for a while
        assert (await s.range("a", 0, 9))[1] == DATA[:10]
        await gate.reached.wait()
        assert await drain(content) == DATA
        content.close()
        gate.go.set()
        await wait_all_tasks_blocked()
