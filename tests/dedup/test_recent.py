"""Files that were read lately: from memory while nothing has changed, and never when it has."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest
import trio

from parparchik.dedup import DedupStore, Keys, PutLimits
from parparchik.dedup.recent import LARGEST_BYTES, Recent
from parparchik.dedup.sqlite import SqliteMetadata
from parparchik.dedup.sqlite_connection import Database
from parparchik.errors import MetadataUnavailable
from parparchik.model import Answer
from tests.dedup.mount_scene import MountScene, body_of, file, mounted, refused
from tests.fakes_bytes import FakeBytes
from tests.objects.scene import header

DATA = b"some words, and more of them " * 20
OTHER = b"other words " * 20
MEMORY = 1 << 20


def nowait(scene: MountScene, path: str) -> Answer | None:
    return scene.mount.ask(scene._request("GET", f"files/{path}", None, "")).answer_nowait()


def opened(scene: MountScene) -> int:
    """How often S3 was asked for a blob."""
    return scene.bucket.count("open")


async def read(scene: MountScene, path: str = "a") -> bytes | None:
    return await scene.data(path)


async def test_what_was_read_is_at_hand_until_something_changes() -> None:
    async with mounted(memory_bytes=MEMORY) as scene:
        scene.watched.now = 1
        await scene.put("a", DATA)
        assert nowait(scene, "a") is None
        first = await scene.ask("files/a")
        assert nowait(scene, "a") is first
        assert gzip.decompress(await body_of(first)) == DATA
        assert header(first, "content-encoding") == "gzip"
        assert header(first, "logical-size") == str(len(DATA))
        assert opened(scene) == 1
        scene.watched.now = 2
        assert nowait(scene, "a") is None


async def test_another_change_leaves_the_content_as_it_is() -> None:
    async with mounted(memory_bytes=MEMORY) as scene:
        scene.watched.now = 1
        await scene.put("a", DATA)
        await read(scene)
        await scene.put("b", OTHER)
        scene.watched.now = 2
        assert await read(scene) == DATA
        assert (opened(scene), scene.watched.gets) == (1, 1)
        assert nowait(scene, "a") is not None


@pytest.mark.parametrize("state", [None, 1])
async def test_what_replaced_it_is_read_next(state: int | None) -> None:
    async with mounted(memory_bytes=MEMORY) as scene:
        scene.watched.now = state
        await scene.put("a", DATA)
        await read(scene)
        await scene.put("a", OTHER, 101)
        scene.watched.now = state and state + 1
        assert nowait(scene, "a") is None
        assert await read(scene) == OTHER
        assert await read(scene) == OTHER
        assert opened(scene) == 2


async def test_another_version_of_the_same_content_is_told() -> None:
    async with mounted(memory_bytes=MEMORY) as scene:
        scene.watched.now = 1
        await scene.put("a", DATA, 0)
        await read(scene)
        await scene.put("a", DATA, 86_400)
        scene.watched.now = 2
        answer = await scene.ask("files/a")
        assert header(answer, "last-modified") == "Fri, 02 Jan 1970 00:00:00 GMT"


async def test_what_was_deleted_is_gone() -> None:
    async with mounted(memory_bytes=MEMORY) as scene:
        scene.watched.now = 1
        await scene.put("a", DATA)
        await read(scene)
        await scene.delete("a")
        scene.watched.now = 2
        assert await read(scene) is None
        assert len(scene.recent) == scene.recent.used_bytes == 0


@pytest.mark.parametrize("moment", ["arriving", "answering", "reading"])
async def test_a_change_while_it_was_read_is_not_missed(moment: str) -> None:
    async with mounted(memory_bytes=MEMORY) as scene:
        scene.watched.now = 1
        await scene.put("a", DATA)

        async def meanwhile(point: str, _asked: object) -> None:
            if point == moment:
                scene.bucket.at = None
                await scene.put("a", OTHER, 101)
                scene.watched.now = 2

        scene.bucket.at = meanwhile
        assert await read(scene) == DATA
        assert nowait(scene, "a") is None
        assert await read(scene) == OTHER


async def test_where_nobody_can_tell_the_metadata_are_asked_each_time() -> None:
    async with mounted(memory_bytes=MEMORY) as scene:
        await scene.put("a", DATA)
        for _ in range(3):
            assert nowait(scene, "a") is None
            assert await read(scene) == DATA
        assert (opened(scene), scene.watched.gets) == (1, 2)


async def test_metadata_that_do_not_answer_are_a_failure() -> None:
    async with mounted(memory_bytes=MEMORY) as scene:
        scene.watched.now = 1
        await scene.put("a", DATA)
        await read(scene)
        scene.watched.now = None
        scene.metadata.broken = True
        refused(await scene.ask("files/a"), MetadataUnavailable.status)


async def test_s3_is_not_needed_for_what_is_kept() -> None:
    async with mounted(memory_bytes=MEMORY) as scene:
        await scene.put("a", DATA)
        await read(scene)
        scene.bucket.objects.clear()
        assert await read(scene) == DATA


async def test_every_answer_counts() -> None:
    async with mounted(memory_bytes=MEMORY) as scene:
        scene.watched.now = 1
        await scene.put("a", DATA)
        for state in (1, 1, 2, 2):
            scene.watched.now = state
            await read(scene)
        assert scene.dedup.statistics().counters.hits == 4


async def test_memory_is_bounded_and_who_was_read_lately_stays() -> None:
    async with mounted(memory_bytes=20_000) as scene:
        scene.watched.now = 1
        for number in range(50):
            await scene.put(str(number), random.Random(number).randbytes(1000))
            await read(scene, str(number))
            await read(scene, "0")
            assert 0 < scene.recent.used_bytes <= 20_000
        assert 5 < len(scene.recent) < 20
        assert nowait(scene, "0") is not None
        assert nowait(scene, "49") is not None
        assert nowait(scene, "1") is None


async def test_nothing_is_kept_where_there_is_no_room_for_it() -> None:
    async with mounted(memory_bytes=0) as scene:
        scene.watched.now = 1
        await scene.put("a", DATA)
        for _ in range(2):
            assert await read(scene) == DATA
        assert opened(scene) == 2


async def test_what_is_large_is_streamed() -> None:
    async with mounted(memory_bytes=MEMORY) as scene:
        scene.watched.now = 1
        data = random.Random(1).randbytes(LARGEST_BYTES)  # more, as gzip
        await scene.put("a", data)
        answer = await scene.ask("files/a")
        assert answer.content is not None
        assert gzip.decompress(await body_of(answer)) == data
        assert len(scene.recent) == 0


async def test_who_takes_no_gzip_gets_none() -> None:
    async with mounted(memory_bytes=MEMORY) as scene:
        scene.watched.now = 1
        await scene.put("a", DATA)
        await read(scene)
        plain = await scene.ask("files/a", {"Accept-Encoding": "identity"})
        assert await body_of(plain) == DATA
        assert header(plain, "logical-size") == str(len(DATA))
        head = await scene.head("a")
        assert (head.body, head.length) == (b"", len((await scene.ask("files/a")).body))


async def test_a_blob_that_breaks_off_is_a_failure_and_is_not_kept() -> None:
    async with mounted(memory_bytes=MEMORY) as scene:
        scene.watched.now = 1
        await scene.put("a", DATA)
        [key] = scene.bucket.objects
        scene.bucket.break_after[key] = 10
        refused(await scene.ask("files/a"), 502)
        assert scene.bucket.reading == 0 or len(scene.recent) == 0
        scene.bucket.break_after.clear()
        assert await read(scene) == DATA


async def test_two_processes_on_one_database_never_disagree(tmp_path: Path) -> None:
    """Each has a memory of its own, and is asked right after the other has acknowledged."""
    database, bucket = Database(tmp_path / "files.db"), FakeBytes("dedup")
    opened = [await SqliteMetadata.open(database, Keys()) for _ in range(2)]
    stores = [DedupStore(metadata, bucket, PutLimits()) for metadata in opened]
    scenes = [MountScene() for _ in range(2)]
    async with trio.open_nursery() as nursery:
        for scene, metadata, store in zip(scenes, opened, stores, strict=True):
            await nursery.start(store.run)
            scene.recent = Recent(metadata, MEMORY)
            scene.put_before(store)
        for number in range(10):
            writer, reader = scenes[number % 2], scenes[1 - number % 2]
            data = b"content %d" % number
            await writer.put("a", data, number)
            for scene in (reader, writer, reader):
                assert await read(scene) == data
            assert nowait(reader, "a") is not None
            assert nowait(writer, "a") is not None
        await scenes[0].delete("a")
        assert [await read(scene) for scene in scenes] == [None, None]
        nursery.cancel_scope.cancel()
    for metadata in opened:
        await metadata.close()


async def test_a_put_is_no_reading() -> None:
    async with mounted(memory_bytes=MEMORY) as scene:
        scene.watched.now = 1
        assert (await scene.act("PUT", file("a"), DATA)).status == 200
        assert len(scene.recent) == 0
