"""Many at once: one writer per path, all others side by side, and nothing gets lost."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import trio
import trio.testing

from parparchik.dedup.keys import Keys
from parparchik.dedup.writers import Writers
from parparchik.errors import Overloaded
from tests.dedup.bed import DAY_S, Bed, hint, laid
from tests.dedup.metadata_stores import STORES
from tests.fakes_bytes import BytesAsked, FakeBytes

pytestmark = pytest.mark.usefixtures("each_way")

CLIENTS = 64
PATHS = [f"p/{number}" for number in range(20)]
CONTENTS = [b"shared %d " % number * 400 for number in range(6)]


@pytest.mark.parametrize("opened", STORES.values(), ids=STORES)
async def test_64_clients_on_20_paths(tmp_path: Path, opened) -> None:  # type: ignore[no-untyped-def]
    async with opened(tmp_path, Keys()) as metadata, laid(metadata) as bed:
        dice = random.Random(64)
        newest: dict[str, tuple[int, bytes]] = {}
        versions = list(range(1, 1 + CLIENTS * 5))
        dice.shuffle(versions)

        async def jitter(point: str, asked: BytesAsked) -> None:
            for _ in range(dice.randrange(4)):
                await trio.lowlevel.checkpoint()

        async def client(number: int) -> None:
            for turn in range(5):
                path, version = dice.choice(PATHS), versions[number * 5 + turn]
                data = dice.choice(CONTENTS)
                is_gzip = dice.random() < 0.5
                expected = (
                    hint(data)
                    if dice.random() < 0.5
                    else hint(b"")._replace(digest="", logical_bytes=None)
                )
                newest[path] = max(newest.get(path, (0, b"")), (version, data))
                await bed.put(path, data, version, gzip=is_gzip, expected=expected)
                if dice.random() < 0.3:
                    read = await bed.get(dice.choice(PATHS))
                    assert read is None or read in CONTENTS

        async def cleaner() -> None:
            while True:
                await bed.cleaner(grace_s=0).clean()
                await trio.lowlevel.checkpoint()

        bed.bucket.at = jitter
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cleaner)
            async with trio.open_nursery() as clients:
                for number in range(CLIENTS):
                    clients.start_soon(client, number)
            nursery.cancel_scope.cancel()
        bed.bucket.at = None
        bed.late_s = 2 * DAY_S
        report = await bed.cleaner().clean()
        assert (report.failed, report.missing) == (0, 0)
        for path in PATHS:
            if path in newest:
                assert await bed.get(path) == newest[path][1]
        used = {data for _, data in newest.values()}
        assert len(bed.bucket.objects) == len(used)
        totals = await metadata.totals()
        assert (totals.files, totals.blobs, totals.orphans, totals.garbage) == (
            len(newest), len(used), 0, 0,
        )  # fmt: skip


async def test_one_writer_per_path_and_readers_beside_it(autojump_clock: object) -> None:
    async with laid() as bed:
        await bed.put("a", b"old")
        stored = Held(bed.bucket)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bed.put, "a", b"one", 2)
            nursery.start_soon(bed.put, "a", b"two", 3)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(bed.store.delete, "a", 9)
            await trio.testing.wait_all_tasks_blocked()
            assert stored.waiting == 1  # the other one is not even asked to
            assert bed.store.statistics().waiting_writers == 2
            assert await bed.get("a") == b"old"
            await bed.put("b", b"old", 1)  # another path, and content that is there
            stored.event.set()
        assert await bed.get("a") is None


class Held:
    """Everything that is stored waits."""

    def __init__(self, bucket: FakeBytes) -> None:
        self.event = trio.Event()
        self.waiting = 0
        bucket.at = self.at

    async def at(self, point: str, asked: BytesAsked) -> None:
        if (point, asked.operation) == ("arriving", "store"):
            self.waiting += 1
            await self.event.wait()


async def test_writers_wait_in_order_and_not_too_many() -> None:
    writers = Writers(max_waiting=3)
    order: list[int] = []

    async def write(number: int) -> None:
        async with writers.writing("a"):
            order.append(number)
            await trio.lowlevel.checkpoint()

    async def refused() -> None:
        with pytest.raises(Overloaded):
            await write(9)

    async with trio.open_nursery() as nursery, writers.writing("a"):
        for number in range(3):
            nursery.start_soon(write, number)
            await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(refused)
        await trio.testing.wait_all_tasks_blocked()
        assert writers.refused == 1
        async with writers.writing("b"):
            pass
    assert order == [0, 1, 2]
    assert (len(writers), writers.waiting) == (0, 0)


async def test_who_stops_waiting_takes_no_turn() -> None:
    writers = Writers(max_waiting=3)

    async def wait(task_status: trio.TaskStatus[trio.CancelScope]) -> None:
        with trio.CancelScope() as scope:
            task_status.started(scope)
            async with writers.writing("a"):
                raise AssertionError

    async with trio.open_nursery() as nursery, writers.writing("a"):
        scope = await nursery.start(wait)
        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()
    assert (len(writers), writers.waiting) == (0, 0)
    async with writers.writing("a"):
        assert len(writers) == 1


async def test_a_slow_client_holds_up_nobody() -> None:
    async with laid() as bed:
        gate = trio.Event()

        class Slow:
            size_bytes = None
            asked = 0

            async def read(self) -> bytes:
                self.asked += 1
                if self.asked == 1:
                    return b"slow"
                await gate.wait()
                return b""

        async with trio.open_nursery() as nursery:
            nursery.start_soon(put_slowly, bed, Slow())
            await trio.testing.wait_all_tasks_blocked()
            await bed.put("a", b"quick", 1)
            assert await bed.get("a") == b"quick"
            gate.set()
        assert await bed.get("a") == b"slow"


async def put_slowly(bed: Bed, upload) -> None:  # type: ignore[no-untyped-def]
    await bed.put("a", b"", 2, upload=upload)
