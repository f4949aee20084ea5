"""After a write nothing older is given out, whatever was on its way."""

from __future__ import annotations

import random

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from parparchik.cache import Absent, Policy
from parparchik.content import Span
from parparchik.errors import UpstreamError
from tests.cache.scenes import KIB, POLICY, Gate, Scene, body, noise, scene
from tests.fakes_disk import FakeDisk


async def write(s: Scene, key: str, data: bytes) -> None:
    s.bucket.put(key, data)
    await s.cache.invalidate(s.name(key))


@pytest.mark.parametrize("where", ["arriving", "answering", "reading"])
@pytest.mark.parametrize("size_bytes", [10, 300 * KIB])
async def test_a_get_that_races_a_write_leaves_nothing_old(
    where: str, size_bytes: int, autojump_clock: object
) -> None:
    old, new = noise(size_bytes, 1), noise(size_bytes, 2)
    async with scene() as s:
        s.bucket.put("a", old)
        s.bucket.at = gate = Gate(where)
        early = []

        async def client() -> None:
            early.append(await s.get("a"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(client)
            await gate.reached.wait()
            await write(s, "a", new)
            # Who asks now does not wait for what is on its way.
            with trio.fail_after(1):
                assert await s.get("a") == ("MISS", new)
            gate.go.set()
        assert early[0][1] in (old, new)
        await wait_all_tasks_blocked()
        assert await s.get("a") == ("HIT", new)


@pytest.mark.parametrize("where", ["arriving", "answering"])
async def test_an_absence_on_its_way_does_not_hide_a_new_object(
    where: str, autojump_clock: object
) -> None:
    async with scene() as s:
        s.bucket.at = gate = Gate(where)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(s.find, "a")
            await gate.reached.wait()
            await write(s, "a", b"new")
            gate.go.set()
        assert await s.get("a") == ("MISS", b"new")


async def test_a_remembered_absence_does_not_hide_a_new_object(autojump_clock: object) -> None:
    async with scene() as s:
        assert isinstance(await s.find("a"), Absent)
        await write(s, "a", b"new")
        assert await s.get("a") == ("MISS", b"new")


async def test_a_revalidation_on_its_way_confirms_nothing(autojump_clock: object) -> None:
    async with scene() as s:
        s.bucket.put("a", b"old")
        await s.get("a")
        await trio.sleep(61)
        s.bucket.at = gate = Gate("answering")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(s.get, "a")
            await gate.reached.wait()
            await write(s, "a", b"new")
            gate.go.set()
        assert (await s.get("a"))[1] == b"new"


async def test_what_is_found_before_a_write_is_no_longer_found(autojump_clock: object) -> None:
    async with scene() as s:
        s.bucket.put("a", b"old")
        await s.get("a")
        found = s.cache.find_nowait(s.name("a"), POLICY)
        await write(s, "a", b"new")
        assert s.cache.find_nowait(s.name("a"), POLICY) is None
        assert await s.get("a") == ("MISS", b"new")
        assert s.cache.find_nowait(s.name("a"), POLICY) is not found


async def test_a_cancelled_writer_has_invalidated_all_the_same(autojump_clock: object) -> None:
    async with scene() as s:
        s.bucket.put("a", b"old")
        await s.get("a")
        with trio.CancelScope() as scope:
            scope.cancel()
            await write(s, "a", b"new")
        assert await s.get("a") == ("MISS", b"new")


@pytest.mark.parametrize("size_bytes", [10, 300 * KIB])
async def test_a_save_on_its_way_is_not_found_on_disk_later(
    size_bytes: int, autojump_clock: object
) -> None:
    old, new = noise(size_bytes, 1), noise(size_bytes, 2)
    disk = FakeDisk()
    disk.at = gate = Gate("saving")
    async with scene(disk=disk) as s:
        s.bucket.put("a", old)
        assert await s.get("a") == ("MISS", old)
        await write(s, "a", new)
        gate.go.set()
        await wait_all_tasks_blocked()
        assert disk.record(s.name("a"), "") is None
        assert (await s.get("a"))[1] == new
    async with scene(disk=disk, bucket=s.bucket) as later:
        assert (await later.get("a"))[1] == new
    disk.close()


async def test_a_reader_goes_on_with_what_it_was_given(autojump_clock: object) -> None:
    old, new = noise(200 * KIB, 1), noise(200 * KIB, 2)
    async with scene() as s:
        s.bucket.put("a", old)
        await s.get("a")
        found = await s.found("a")
        content = found.content(Span(0, len(old) - 1))
        first = await content.read()
        assert isinstance(first, bytes)
        await write(s, "a", new)
        assert await s.get("a") == ("MISS", new)
        rest = b""
        while (block := await content.read()) is not None:
            assert isinstance(block, bytes | memoryview)
            rest += block
        content.close()
        assert first + rest == old
        used = s.cache.statistics().memory_bytes
        assert used < 250 * KIB, "the old pieces are kept after their last reader"


async def test_variants_go_with_their_source(autojump_clock: object) -> None:
    async with scene() as s:
        s.bucket.put("a", b"a" * 1000)
        found = await s.found("a")
        await wait_all_tasks_blocked()
        variant = await s.cache.variant(found, "gzip", lambda blocks: b"old")
        assert variant is not None
        await write(s, "a", b"b" * 1000)
        found = await s.found("a")
        assert s.cache.variant_nowait(found, "gzip") is None
        variant = await s.cache.variant(found, "gzip", lambda blocks: b"new")
        assert variant is not None
        assert await body(variant) == b"new"


async def test_many_at_a_time(autojump_clock: object) -> None:
    for disk in (None, FakeDisk()):
        async with scene(disk=disk, memory_bytes=200 * KIB) as s:
            for key in ("a/1", "a/2", "b/1"):
                s.bucket.put(key, noise(1000))
                await s.get(key)
            await wait_all_tasks_blocked()
            await s.find("a/none")
            assert await s.cache.invalidate(s.name("b/1")) == 1
            assert await s.cache.invalidate(s.name("b/1")) == 0
            assert (await s.get("b/1"))[0] == "MISS"
            assert await s.cache.invalidate_prefix("bucket", "a/") == 2
            assert await s.cache.invalidate_prefix("other", "a/") == 0
            assert s.cache.find_nowait(s.name("a/none"), POLICY) is None
            assert (await s.get("a/1"))[0] == "MISS"
            assert (await s.get("b/1"))[0] == "HIT"
            await wait_all_tasks_blocked()
            assert await s.cache.invalidate_prefix("bucket", "") == 2
            await wait_all_tasks_blocked()
            assert s.cache.statistics().memory_bytes == 0
            assert await s.cache.invalidate_prefix("bucket", "") == 0
            assert s.cache.statistics().invalidations == 5
        if disk is not None:
            disk.close()


async def test_a_purge_forgets_what_is_on_its_way(autojump_clock: object) -> None:
    async with scene() as s:
        s.bucket.put("a", b"old")
        s.bucket.at = gate = Gate("answering")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(s.get, "a")
            await gate.reached.wait()
            s.bucket.put("a", b"new")
            await s.cache.invalidate_prefix("bucket", "")
            gate.go.set()
        assert await s.get("a") == ("MISS", b"new")


@pytest.mark.parametrize("seed", range(60))
async def test_whatever_the_order_an_answer_is_of_its_time(
    seed: int, autojump_clock: object
) -> None:
    """Readers, writers and purgers at random; every body is what S3 had at some moment between
    the last write that had been answered when it was asked for, and its answer."""
    chance = random.Random(seed)
    keys = ["a", "b"]
    sizes = [0, 1000, 64 * KIB, 300 * KIB]
    policy = Policy(
        ttl_s=chance.choice([0, 5, 1000]),
        stale_while_revalidate_s=chance.choice([0, 3]),
        stale_if_error_s=chance.choice([0, 100]),
        negative_ttl_s=chance.choice([0, 5]),
    )
    disk = FakeDisk() if chance.random() < 0.5 else None

    async def at_random(point: str, _: object) -> None:
        if chance.random() < 0.7:
            await trio.sleep(chance.random() * 2)

    # What the object was, with the time at which it became that; None: absent.
    history: dict[str, list[tuple[int, bytes | None]]] = {key: [(0, None)] for key in keys}
    settled = dict.fromkeys(keys, 0)  # the newest version whose write has been answered
    versions = 0
    answers = 0
    errors: set[str] = set()

    async with scene(disk=disk, memory_bytes=chance.choice([0, 150 * KIB, 4 << 20])) as s:
        s.bucket.at = at_random
        if disk is not None:
            disk.at = at_random

        async def writer(key: str) -> None:
            nonlocal versions
            for _ in range(6):
                await trio.sleep(chance.random() * 4)
                versions += 1
                version = versions
                if chance.random() < 0.2:
                    data = None
                    s.bucket.objects.pop(key, None)
                else:
                    data = noise(chance.choice(sizes), version)
                    s.bucket.put(key, data)
                history[key].append((version, data))
                await trio.sleep(chance.random())
                await s.cache.invalidate(s.name(key))
                settled[key] = version

        async def reader(key: str) -> None:
            nonlocal answers
            for _ in range(12):
                await trio.sleep(chance.random() * 2)
                since = settled[key]
                try:
                    with trio.move_on_after(chance.choice([1, 1000])) as patience:
                        if chance.random() < 0.5:
                            await check(key, since, "whole")
                        else:
                            first = chance.randrange(300 * KIB)
                            await check(key, since, Span(first, first + chance.randrange(90_000)))
                    answers += not patience.cancelled_caught
                except UpstreamError as error:
                    errors.add(str(error))

        async def check(key: str, since: int, wanted: object) -> None:
            found = s.cache.find_nowait(s.name(key), policy)
            if found is None:
                found = await s.cache.find(s.name(key), policy, wanted)  # type: ignore[arg-type]
            possible = [data for version, data in history[key] if version >= since]
            if isinstance(found, Absent):
                assert None in possible
                return
            size = found.representation.size_bytes
            span = Span(0, size - 1)
            if isinstance(wanted, Span) and wanted.first < size:
                span = Span(wanted.first, min(wanted.last, size - 1))
            got = await body(found, span)
            assert any(
                data is not None and len(data) == size and data[span.first : span.last + 1] == got
                for data in possible
            )
            assert len(got) == span.size_bytes

        async with trio.open_nursery() as nursery:
            for key in keys:
                nursery.start_soon(writer, key)
                for _ in range(4):
                    nursery.start_soon(reader, key)
        s.bucket.at = None
        for key in keys:
            found = await s.cache.find(s.name(key), policy, "whole")
            newest = history[key][-1][1]
            if newest is None:
                assert isinstance(found, Absent)
            else:
                assert not isinstance(found, Absent)
                assert await body(found) == newest
        await trio.sleep(60)
    assert answers > 20
    assert errors <= {"the object has changed while it was read"}
    if disk is not None:
        assert disk.opened == 0, "a piece on disk was left open"
        disk.close()
