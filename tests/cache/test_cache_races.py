"""What happens between two moments: between an answer and its use, an end and the last reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from parparchik.cache import Absent, ObjectCache, pins
from parparchik.cache.slots import MAX_WAITING
from parparchik.content import Span
from parparchik.errors import Overloaded, Unavailable, UpstreamError
from tests.cache.scenes import KIB, MIB, POLICY, Gate, body, break_off, noise, scene
from tests.fakes_bytes import FakeBytes
from tests.fakes_disk import FakeDisk


async def test_an_old_save_does_not_come_after_a_new_one(autojump_clock: object) -> None:
    disk = FakeDisk()
    disk.at = gate = Gate("saving")
    async with scene(disk=disk) as s:
        s.bucket.put("a", b"old")
        await s.get("a")
        await gate.reached.wait()
        s.bucket.put("a", b"newer")
        await trio.sleep(61)
        assert await s.get("a") == ("MISS", b"newer")
        await wait_all_tasks_blocked()
        gate.go.set()
        await wait_all_tasks_blocked()
        kept = disk.record(s.name("a"), "")
        assert kept is not None
        assert kept.representation.size_bytes == 5
    disk.close()


async def test_a_fill_that_is_done_waits_for_its_reader(autojump_clock: object) -> None:
    """Also where nothing is kept: no byte is asked for twice."""
    async with scene(memory_bytes=0) as s:
        data = noise(190 * KIB)
        s.bucket.put("a", data)
        found = await s.found("a")
        await trio.sleep(1)
        content = found.content(Span(0, len(data) - 1))
        got = b""
        while (block := await content.read()) is not None:
            assert isinstance(block, bytes | memoryview)
            got += block
            await trio.sleep(0.1)
        content.close()
        assert got == data
        assert s.bucket.sent_bytes == len(data)
        await trio.sleep(1)
        assert s.cache.statistics().fills == 0


async def test_a_write_while_the_disk_is_read(autojump_clock: object) -> None:
    disk = FakeDisk()
    bucket = FakeBytes()
    bucket.put("a", b"old")
    async with scene(disk=disk, bucket=bucket) as s:
        await s.get("a")
        await wait_all_tasks_blocked()
    async with scene(disk=disk, bucket=bucket) as s:
        disk.at = gate = Gate("opening")
        got = []

        async def client() -> None:
            got.append(await s.get("a"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(client)
            await gate.reached.wait()
            bucket.put("a", b"newer")
            await s.cache.invalidate(s.name("a"))
            gate.go.set()
        assert got == [("MISS", b"newer")]
    disk.close()


async def test_what_comes_after_it_was_forgotten_is_not_kept(autojump_clock: object) -> None:
    async with scene() as s:
        s.bucket.put("a", noise(60 * KIB))
        s.bucket.at = gate = Gate("reading")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(s.get, "a")
            await gate.reached.wait()
            await s.cache.invalidate(s.name("a"))
            nursery.cancel_scope.cancel()
        gate.go.set()
        await wait_all_tasks_blocked()
        assert s.bucket.sent_bytes == 60 * KIB, "the piece begun is finished"
        assert s.cache.statistics().memory_bytes == 0
        assert s.cache.statistics().objects == 0


async def test_an_answer_that_took_long_does_not_replace_a_newer_one(
    autojump_clock: object,
) -> None:
    async with scene(max_object_bytes=1000) as s:
        old, new = noise(2000, 1), noise(3000, 2)
        s.bucket.put("a", old)
        await s.cache.find(s.name("a"), POLICY, "head")
        s.bucket.at = gate = Gate("answering")
        got = []

        async def client() -> None:
            got.append(await s.get("a"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(client)
            await gate.reached.wait()
            await trio.sleep(1)
            s.bucket.put("a", new)
            assert await s.get("a") == ("BYPASS", new)
            gate.go.set()
        assert got == [("BYPASS", old)]
        head = await s.cache.find(s.name("a"), POLICY, "head")
        assert not isinstance(head, Absent)
        assert head.representation.size_bytes == 3000


async def test_a_variant_that_is_made_again_otherwise_is_not_mixed(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pins, "PINNED_BYTES", 0)
    async with scene(memory_bytes=4 * MIB) as s:
        s.bucket.put("a", bytes(3 * MIB))
        calls = 0

        def make(blocks: Sequence[bytes]) -> bytes:
            nonlocal calls
            calls += 1
            return noise(2 * MIB, calls)

        variant = await s.cache.variant(await s.found("a"), "gzip", make)
        assert variant is not None
        content = variant.content(Span(0, 2 * MIB - 1))
        await content.read()
        s.bucket.put("b", noise(4000 * KIB))
        await trio.sleep(10)
        await s.get("b")
        assert noise(2 * MIB, 1).startswith(await break_off(content))
        content.close()


async def test_too_many_who_wait_are_sent_away(autojump_clock: object) -> None:
    async with scene(max_fills=1) as s:
        s.bucket.at = gate = Gate("answering")
        refused = 0

        async def client(key: str) -> None:
            nonlocal refused
            try:
                await s.find(key)
            except Overloaded:
                refused += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(client, "first")
            await gate.reached.wait()
            for n in range(MAX_WAITING + 5):
                nursery.start_soon(client, str(n))
            await wait_all_tasks_blocked()
            assert s.cache.statistics().waiting == MAX_WAITING
            assert refused == 5
            gate.go.set()
        assert s.cache.statistics().waiting == 0


async def test_figures_are_true(autojump_clock: object) -> None:
    async with scene() as s:
        s.bucket.put("a", noise(100 * KIB))
        await s.get("a")
        await wait_all_tasks_blocked()
        await s.get("a")
        s.cache.find_nowait(s.name("a"), POLICY)
        await s.find("none")
        await s.find("none")
        await trio.sleep(61)
        await s.get("a")
        await s.cache.invalidate(s.name("a"))
        figures = s.cache.statistics()
        assert (figures.hits, figures.misses, figures.revalidated) == (2, 2, 1)
        assert figures.negative_hits == 1
        assert figures.fetched_bytes == 100 * KIB
        assert figures.read_bytes == 3 * 100 * KIB
        assert figures.requests == len(s.bucket.asked)
        assert figures.invalidations == 1
        assert (figures.memory_bytes, figures.memory_items, figures.objects) == (0, 0, 0)


async def test_an_unknown_bucket_is_no_absence(autojump_clock: object) -> None:
    async with scene() as s:
        name = s.name("a")._replace(bucket="other")
        with pytest.raises(Unavailable, match="other"):
            await s.cache.find(name, POLICY, "whole")


async def test_a_server_that_sends_less_or_more_than_announced(autojump_clock: object) -> None:
    for wrong in (-10, 10):
        async with scene() as s:
            s.bucket.put("a", noise(100 * KIB))
            stored = s.bucket.objects["a"]
            s.bucket.objects["a"] = replace(stored, data=noise(100 * KIB + wrong))
            with pytest.raises(UpstreamError):
                await s.get("a")


async def test_it_runs_again_after_it_was_stopped(autojump_clock: object) -> None:
    bucket = FakeBytes()
    bucket.put("a", b"x")
    async with scene(bucket=bucket) as s:
        await s.get("a")
        cache: ObjectCache = s.cache
    async with trio.open_nursery() as nursery:
        await nursery.start(cache.run)
        bucket.put("b", b"y")
        found = await cache.find(bucket.object_name("b"), POLICY, "whole")
        assert not isinstance(found, Absent)
        assert await body(found) == b"y"
        nursery.cancel_scope.cancel()
