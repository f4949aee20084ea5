"""What is forgotten stays so, whatever happens next; and to forget much takes nobody's turn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from parparchik.cache import Forgot, PieceName, Record, forgetting, memory
from tests.cache.disks import piece_files, running
from tests.cache.scenes import POLICY, Gate, noise, scene, until
from tests.fakes_bytes import FakeBytes
from tests.fakes_disk import FakeDisk


class SlowlySettling(FakeDisk):
    """Writes down nothing before it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go = trio.Event()
        self.asked = trio.Event()

    async def settle(self) -> bool:
        self.asked.set()
        await self.go.wait()
        return True


@pytest.mark.parametrize("below", [False, True])
async def test_who_has_written_is_told_when_the_disk_has_it(
    below: bool, autojump_clock: object
) -> None:
    disk = SlowlySettling()
    async with scene(disk=disk) as s, trio.open_nursery() as nursery:
        s.bucket.put("a", b"old")
        await s.get("a")
        told = False

        async def write() -> None:
            nonlocal told
            s.bucket.put("a", b"new")
            if below:
                await s.cache.invalidate_prefix("bucket", "")
            else:
                await s.cache.invalidate(s.name("a"))
            told = True

        nursery.start_soon(write)
        await disk.asked.wait()
        nursery.cancel_scope.cancel()  # the client has gone: that changes nothing
        with trio.CancelScope(shield=True):
            await trio.sleep(1)
            assert s.cache.find_nowait(s.name("a"), POLICY) is None, "it is forgotten at once"
            assert not told
            disk.go.set()
            await wait_all_tasks_blocked()
            assert told
    disk.close()


async def test_a_disk_that_hangs_does_not_keep_writers(autojump_clock: object) -> None:
    disk = SlowlySettling()
    async with scene(disk=disk) as s:
        s.bucket.put("a", b"old")
        await s.get("a")
        before_s = trio.current_time()
        assert await s.cache.forget([s.name("a")]) == Forgot(1, settled=False)
        assert trio.current_time() - before_s == pytest.approx(forgetting.SETTLE_LIMIT_S)
    disk.close()


async def test_what_was_written_is_not_undone_by_a_crash(tmp_path: Path) -> None:
    """The disk as it is when the writer has been told."""
    bucket = FakeBytes()
    async with running(tmp_path) as disk, scene(disk=disk, bucket=bucket) as s:
        for key in ("a", "b/1", "b/2"):
            bucket.put(key, b"old")
            await s.get(key)
        await until(lambda: len(piece_files(tmp_path)) == 3)
        assert await s.cache.forget([s.name("a")], [("bucket", "b/")]) == Forgot(3, settled=True)
        told = (tmp_path / "forgotten").read_bytes()
    assert b'"key":"a"' in told
    assert b'"key":"b/"' in told


async def test_much_is_forgotten_at_once_and_given_back_by_and_by(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: object
) -> None:
    for module in (memory, forgetting):
        monkeypatch.setattr(module, "AT_ONCE", 1)
    keys = [f"a/{number}" for number in range(30)]
    async with scene() as s:
        for key in (*keys, "b"):
            s.bucket.put(key, b"old")
            await s.get(key)
        await s.find("a/none")
        s.bucket.at = gate = Gate("answering")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(s.get, "a/late")
            s.bucket.put("a/late", b"old")
            await gate.reached.wait()
            turns = 0

            async def others() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await trio.lowlevel.checkpoint()

            nursery.start_soon(others)
            assert await s.cache.invalidate_prefix("bucket", "a/") == 30
            assert turns > 20
            assert s.cache.statistics().objects > 1, "the test sees nothing of it"
            gate.go.set()
            for key in keys[:10]:
                assert s.cache.find_nowait(s.name(key), POLICY) is None
            for key in ("a/none", *keys[:10]):
                s.bucket.put(key, b"new")
            for key in (*keys[:10], "a/none"):
                assert await s.get(key) == ("MISS", b"new")
            s.bucket.put("a/late", b"new")
            assert await s.get("a/late") == ("MISS", b"new")
            nursery.cancel_scope.cancel()
        await wait_all_tasks_blocked()
        assert s.cache.statistics().objects == 13
        for key in (*keys[:10], "a/none", "a/late"):
            assert await s.get(key) == ("HIT", b"new")
        assert await s.get("b") == ("HIT", b"old")


async def test_what_is_saved_while_much_is_forgotten_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: object
) -> None:
    """S3 was asked before, and the save begins when the disk has forgotten already."""
    monkeypatch.setattr(memory, "AT_ONCE", 1)
    disk = FakeDisk()
    async with scene(disk=disk) as s:
        for number in range(30):
            s.bucket.put(f"{number}", b"x")
            await s.get(f"{number}")
        s.bucket.put("late", noise(60_000))
        s.bucket.at = gate = Gate("reading")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(s.get, "late")
            await gate.reached.wait()
            await s.cache.invalidate_prefix("bucket", "")
            gate.go.set()
        await wait_all_tasks_blocked()
        assert disk.record(s.name("late"), "") is None
    disk.close()


async def test_s3_has_said_that_it_still_is_what_it_was(autojump_clock: object) -> None:
    """The disk is told: what memory forgets is fresh all the same when it comes back."""
    disk = FakeDisk()
    async with scene(disk=disk, memory_bytes=0) as s:
        s.bucket.put("a", b"abc")
        await s.get("a")
        await wait_all_tasks_blocked()
        await trio.sleep(61)
        assert (await s.get("a"))[0] == "REVALIDATED"
        for number in range(60):  # more than memory knows of
            s.bucket.put(f"{number}", b"x")
            await s.get(f"{number}")
        await trio.sleep(10)
        assert (await s.found("a")).age_s == 10
        assert (await s.get("a"))[0] == "HIT"
        record = disk.record(s.name("a"), "")
        assert record is not None
        # What S3 says of an object that has just been forgotten confirms nothing.
        await trio.sleep(61)
        s.bucket.at = gate = Gate("answering")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(s.get, "a")
            await gate.reached.wait()
            await s.cache.invalidate(s.name("a"))
            piece: Sequence[bytes] = [b"abc"]
            kept = Record(record.representation, 0.0, record.slice_bytes)
            assert await disk.save(PieceName(s.name("a"), "", 0), kept, piece)
            gate.go.set()
        assert disk.record(s.name("a"), "") == kept
    disk.close()
