"""Other codings of an object: made once, in a thread, and kept as objects of their own."""

from __future__ import annotations

import gzip
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from parparchik.cache import Absent, Found, pins
from parparchik.content import Span
from parparchik.errors import UpstreamError
from parparchik.model import FileBlock
from tests.cache.scenes import KIB, MIB, POLICY, body, drain, noise, scene
from tests.fakes_disk import FakeDisk

TEXT = b"all work and no play makes jack a dull boy\n" * 1000


class Gzip:
    """Counts how often it was asked to."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, blocks: Sequence[bytes]) -> bytes:
        assert threading.current_thread() is not threading.main_thread()
        self.made += 1
        return gzip.compress(b"".join(blocks), mtime=0)


async def test_a_variant_is_made_once_and_kept(autojump_clock: object) -> None:
    async with scene() as s:
        s.bucket.put("a", TEXT, content_type="text/plain", etag='"abc"')
        found = await s.found("a")
        make = Gzip()
        assert s.cache.variant_nowait(found, "gzip") is None
        got: list[Found | None] = []

        async def client() -> None:
            got.append(await s.cache.variant(found, "gzip", make))

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(client)
        assert make.made == 1
        variant = got[0]
        assert variant is not None
        assert gzip.decompress(await body(variant)) == TEXT
        assert variant.representation == replace(
            found.representation,
            size_bytes=len(gzip.compress(TEXT, mtime=0)),
            etag='"abc-gzip"',
            headers=(("content-encoding", "gzip"),),
        )
        hit = s.cache.find_nowait(s.name("a"), POLICY)
        assert hit is not None
        assert not isinstance(hit, Absent)
        again = s.cache.variant_nowait(hit, "gzip")
        assert isinstance(again, type(variant))
        assert again is s.cache.variant_nowait(hit, "gzip")
        assert again.status == "HIT"
        assert again.body == await body(variant)
        assert again.fresh_for_s == hit.fresh_for_s
        assert s.cache.statistics().original_bytes == len(TEXT)


@pytest.mark.parametrize(
    ("etag", "coded"), [('W/"abc"', 'W/"abc-gzip"'), ('"abc"', '"abc-gzip"'), ("", "")]
)
async def test_a_variant_has_an_etag_of_its_own(
    etag: str, coded: str, autojump_clock: object
) -> None:
    async with scene() as s:
        s.bucket.put("a", TEXT, etag=etag)
        variant = await s.cache.variant(await s.found("a"), "gzip", Gzip())
        assert variant is not None
        assert variant.representation.etag == coded


async def test_what_does_not_get_smaller_is_remembered(autojump_clock: object) -> None:
    async with scene() as s:
        s.bucket.put("a", noise(5000))
        found = await s.found("a")
        make = Gzip()
        assert await s.cache.variant(found, "gzip", make) is None
        assert isinstance(s.cache.variant_nowait(found, "gzip"), Absent)
        assert await s.cache.variant(found, "gzip", make) is None
        assert make.made == 1


async def test_nothing_large_and_nothing_that_passes(autojump_clock: object) -> None:
    async with scene(compress_max_bytes=1000) as s:
        s.bucket.put("a", TEXT)
        s.bucket.put("b", b"x" * 1000, headers=(("cache-control", "no-store"),))
        for key in "ab":
            found = await s.found(key)
            assert await s.cache.variant(found, "gzip", Gzip()) is None
            assert isinstance(s.cache.variant_nowait(found, "gzip"), Absent)
            await body(found)


async def test_it_waits_for_the_whole_body(autojump_clock: object) -> None:
    async with scene() as s:
        data = b"0123456789abcdef" * 20_000
        s.bucket.put("a", data)

        async def slowly(point: str, _: object) -> None:
            await trio.sleep(0.1)

        s.bucket.at = slowly
        variant = await s.cache.variant(await s.found("a"), "gzip", Gzip())
        assert variant is not None
        assert gzip.decompress(await body(variant)) == data


async def test_a_body_that_breaks_off_is_no_variant(autojump_clock: object) -> None:
    async with scene() as s:
        s.bucket.put("a", TEXT)
        s.bucket.break_after["a"] = 20_000
        found = await s.found("a")
        with pytest.raises(UpstreamError, match="broke off"):
            await s.cache.variant(found, "gzip", Gzip())
        del s.bucket.break_after["a"]
        assert await s.cache.variant(await s.found("a"), "gzip", Gzip()) is not None


def made_of_noise(seed: int, size_bytes: int) -> Callable[[Sequence[bytes]], bytes]:
    return lambda blocks: noise(size_bytes, seed)


async def test_a_variant_that_memory_let_go_is_made_again(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pins, "PINNED_BYTES", 0)
    async with scene(memory_bytes=4 * MIB) as s:
        s.bucket.put("a", bytes(3 * MIB))
        made = noise(2 * MIB, 5)
        calls = 0

        def make(blocks: Sequence[bytes]) -> bytes:
            nonlocal calls
            calls += 1
            return made

        variant = await s.cache.variant(await s.found("a"), "gzip", make)
        assert variant is not None
        content = variant.content(Span(0, len(made) - 1))
        first = await content.read()
        assert first is not None
        assert not hasattr(first, "fd")
        s.bucket.put("b", noise(4000 * KIB))
        await trio.sleep(10)
        await s.get("b")
        got = bytes(first)
        while (block := await content.read()) is not None:
            got += bytes(block)  # type: ignore[arg-type]
        content.close()
        assert got == made
        assert calls > 1


async def test_an_answer_holds_what_it_was_made_of(autojump_clock: object) -> None:
    """Memory needs the room, and S3 has something else by now: it could not be made again."""
    async with scene(memory_bytes=600 * KIB) as s:
        s.bucket.put("a", bytes(300 * KIB))
        made = noise(60 * KIB, 5)
        variant = await s.cache.variant(await s.found("a"), "gzip", lambda blocks: made)
        assert variant is not None
        await trio.sleep(10)
        contents = [variant.content(Span(0, len(made) - 1)) for _ in range(2)]
        s.bucket.put("a", noise(1000))
        await s.cache.invalidate(s.name("a"))
        s.bucket.put("b", noise(590 * KIB))
        await s.get("b")
        await trio.sleep(10)
        for content in contents:
            assert await drain(content) == made
            content.close()


async def test_what_answers_hold_is_bounded(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: object
) -> None:
    monkeypatch.setattr(pins, "PINNED_BYTES", 100 * KIB)
    async with scene() as s:
        contents = []
        for key in "ab":
            s.bucket.put(key, bytes(300 * KIB))
            variant = await s.cache.variant(await s.found(key), "gzip", made_of_noise(5, 60 * KIB))
            assert variant is not None
            await trio.sleep(10)
            contents += [variant.content(Span(0, 60 * KIB - 1)) for _ in range(3)]
        held = s.cache._shelf.pins
        assert held.pinned_bytes == 60 * KIB
        for content in contents:
            content.close()
            content.close()
        assert held.pinned_bytes == 0


async def test_variants_outlive_the_process_on_disk(autojump_clock: object) -> None:
    disk = FakeDisk()
    make = Gzip()
    async with scene(disk=disk) as s:
        s.bucket.put("a", TEXT)
        await s.cache.variant(await s.found("a"), "gzip", make)
        await wait_all_tasks_blocked()
    async with scene(disk=disk, bucket=s.bucket) as s:
        found = await s.found("a")
        assert s.cache.variant_nowait(found, "gzip") is None
        variant = await s.cache.variant(found, "gzip", make)
        assert variant is not None
        assert gzip.decompress(await body(variant)) == TEXT
        assert make.made == 1
        # Another object by that name is not served in the coding of the old one.
        s.bucket.put("a", TEXT * 2)
        await trio.sleep(61)
        variant = await s.cache.variant(await s.found("a"), "gzip", make)
        assert variant is not None
        assert gzip.decompress(await body(variant)) == TEXT * 2
        await wait_all_tasks_blocked()
    assert disk.opened == 0
    disk.close()


async def test_a_large_variant_is_read_from_disk(autojump_clock: object) -> None:
    disk = FakeDisk()
    async with scene(disk=disk, memory_object_bytes=0, slice_bytes=64 * KIB) as s:
        s.bucket.put("a", bytes(MIB))
        made = noise(300 * KIB, 9)
        found = await s.found("a")
        variant = await s.cache.variant(found, "gzip", lambda blocks: made)
        assert variant is not None
        assert await body(variant) == made
        await wait_all_tasks_blocked()
        assert s.cache.statistics().memory_bytes < 10 * KIB
        hit = await s.found("a")
        again = s.cache.variant_nowait(hit, "gzip")
        assert again is not None
        assert not isinstance(again, Absent)
        assert await body(again) == made
        assert len(s.bucket.asked) == 1
    assert disk.opened == 0
    disk.close()


async def test_a_large_variant_on_disk_is_read_to_its_end_when_outdated(
    autojump_clock: object,
) -> None:
    """It cannot be made again by then: what it was made of is gone."""
    disk = FakeDisk()
    async with scene(disk=disk, memory_object_bytes=0, slice_bytes=64 * KIB) as s:
        s.bucket.put("a", bytes(MIB))
        made = noise(300 * KIB, 9)
        first = await s.cache.variant(await s.found("a"), "gzip", lambda blocks: made)
        assert first is not None
        assert await body(first) == made
        await wait_all_tasks_blocked()
        variant = s.cache.variant_nowait(await s.found("a"), "gzip")
        assert variant is not None
        assert not isinstance(variant, Absent)
        content = variant.content(Span(0, len(made) - 1))
        block = await content.read()
        assert isinstance(block, FileBlock)
        got = os.pread(block.fd, block.size_bytes, block.offset)
        s.bucket.put("a", bytes(MIB + 1))
        await s.cache.invalidate(s.name("a"))
        assert got + await drain(content) == made
        content.close()
        assert (await s.get("a"))[1] == bytes(MIB + 1)
        await wait_all_tasks_blocked()
    assert disk.opened == 0
    disk.close()
