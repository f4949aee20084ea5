"""A store before a filetracker server that is still in use: what is not here is fetched from
there, and what was changed here stays as it is here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import trio

from parparchik.dedup import FallThrough, FiletrackerServer
from parparchik.dedup.upstream import Fetched
from parparchik.errors import UpstreamError, UpstreamTimeout
from tests.dedup.mount_scene import MountScene, mounted, refused
from tests.dedup.tracker import Tracker, tracking_server
from tests.objects.scene import header

DATA = b"what the other server has " * 100


@pytest.fixture
def tracker() -> Iterator[Tracker]:
    with tracking_server() as tracker:
        yield tracker


@pytest.fixture
async def scene(tracker: Tracker) -> AsyncIterator[MountScene]:
    async with mounted() as scene, trio.open_nursery() as nursery:
        before = FallThrough(scene.dedup, scene.metadata, FiletrackerServer(tracker.url))
        scene.put_before(before)
        await nursery.start(before.run)
        yield scene
        nursery.cancel_scope.cancel()


async def test_a_file_is_fetched_once_and_kept(scene: MountScene, tracker: Tracker) -> None:
    tracker.files["a/ż b"] = (DATA, 100)
    for _ in range(3):
        assert await scene.data("a/ż b") == DATA
        head = await scene.head("a/ż b")
        assert header(head, "last-modified") == "Thu, 01 Jan 1970 00:01:40 GMT"
    assert tracker.asked == [("GET", "a/ż b")]
    assert await scene.listed() == ["a/ż b"]


async def test_a_head_fetches_nothing(scene: MountScene, tracker: Tracker) -> None:
    tracker.files["a"] = (DATA, 100)
    head = await scene.head("a")
    assert head.status == 200
    assert header(head, "logical-size") == str(len(DATA))
    assert header(head, "last-modified") == "Thu, 01 Jan 1970 00:01:40 GMT"
    assert header(head, "sha256-checksum") is None
    assert tracker.asked == [("HEAD", "a")]
    assert scene.metadata.files == {}
    answer = await scene.ask("files/a")
    assert answer.size_bytes == head.size_bytes
    assert answer.content is not None
    answer.content.close()


async def test_what_is_not_there_either_is_missing(scene: MountScene, tracker: Tracker) -> None:
    assert await scene.data("a") is None
    refused(await scene.head("a"), 404)
    refused(await scene.delete("a"), 404)
    tracker.files["a"] = (DATA, 200)
    assert await scene.data("a") == DATA  # nothing has been remembered of that...
    scene2 = await scene.delete("b", 300)
    refused(scene2, 404)
    tracker.files["b"] = (DATA, 300)
    assert await scene.data("b") is None  # ...but for what was deleted here
    tracker.files["b"] = (DATA, 301)
    assert await scene.data("b") == DATA


async def test_who_asks_at_the_same_time_is_answered_with_one_fetch(
    scene: MountScene, tracker: Tracker
) -> None:
    tracker.files["a"] = (DATA, 100)
    tracker.fails["a"] = "hang"
    got = []

    async def get() -> None:
        got.append(await scene.data("a"))

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(get)
        await trio.to_thread.run_sync(tracker.held.wait, 10)
        await trio.testing.wait_all_tasks_blocked(0.01)
        tracker.hold.set()
    assert got == [DATA] * 10
    assert tracker.count("GET", "a") == 1


async def test_a_client_that_leaves_takes_nobody_with_it(
    scene: MountScene, tracker: Tracker
) -> None:
    tracker.files["a"] = (DATA, 100)
    tracker.fails["a"] = "hang"
    with trio.CancelScope() as first:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.data, "a")
            await trio.to_thread.run_sync(tracker.held.wait, 10)
            first.cancel()
    tracker.hold.set()
    assert await scene.data("a") == DATA
    assert tracker.count("GET", "a") == 1


async def test_what_was_deleted_here_does_not_come_back(
    scene: MountScene, tracker: Tracker
) -> None:
    tracker.files["known"] = tracker.files["unknown"] = (DATA, 100)
    assert await scene.data("known") == DATA
    for path in ("known", "unknown"):
        assert (await scene.delete(path, 100)).status == 200
        for _ in range(2):
            assert await scene.data(path) is None
            refused(await scene.head(path), 404)
        refused(await scene.delete(path, 100), 404)
    assert await scene.listed() == []


async def test_an_older_delete_deletes_nothing(scene: MountScene, tracker: Tracker) -> None:
    tracker.files["a"] = (DATA, 100)
    answer = await scene.delete("a", 99)
    assert (answer.status, header(answer, "last-modified")) == (
        200,
        "Thu, 01 Jan 1970 00:01:40 GMT",
    )
    assert await scene.data("a") == DATA


async def test_what_is_put_here_is_newer_or_has_no_effect(
    scene: MountScene, tracker: Tracker
) -> None:
    tracker.files["a"] = (DATA, 100)
    answer = await scene.put("a", b"older", 99)
    assert header(answer, "last-modified") == "Thu, 01 Jan 1970 00:01:40 GMT"
    assert await scene.data("a") == DATA
    await scene.put("a", b"newer", 101)
    assert await scene.data("a") == b"newer"
    tracker.files["b"] = (DATA, 100)
    await scene.put("b", b"equal", 100)
    assert await scene.data("b") == b"equal"
    await scene.delete("b", 100)
    assert await scene.data("b") is None


async def test_a_delete_while_it_is_fetched_wins(scene: MountScene, tracker: Tracker) -> None:
    tracker.files["a"] = (DATA, 100)
    tracker.fails["a"] = "hang"
    tracker.once = True
    got = []

    async def get() -> None:
        got.append(await scene.data("a"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(get)
        await trio.to_thread.run_sync(tracker.held.wait, 10)
        assert (await scene.delete("a", 100)).status == 200
        tracker.hold.set()
    assert got == [None]
    assert await scene.data("a") is None


@pytest.mark.parametrize(
    ("fails", "status"),
    [
        *(("500", 502), ("503", 502), ("403", 502), ("400", 502), ("302", 502), ("reset", 502)),
        *(("cut", 502), ("junk", 502), ("undated", 502)),
    ],
)
async def test_its_failures_are_never_an_absence(
    scene: MountScene, tracker: Tracker, fails: str, status: int
) -> None:
    tracker.files["a"] = (DATA, 100)
    tracker.all_fail = fails
    refused(await scene.ask("files/a"), status)
    if fails not in ("cut", "junk"):  # of these a HEAD knows nothing
        refused(await scene.head("a"), status)
        refused(await scene.put("a", b"x", 99), status)
        refused(await scene.delete("a", 100), status)
    assert scene.metadata.files == {}
    tracker.all_fail = ""
    assert await scene.data("a") == DATA


async def test_a_server_that_is_away(scene: MountScene, tracker: Tracker) -> None:
    scene.put_before(
        FallThrough(scene.dedup, scene.metadata, FiletrackerServer("http://127.0.0.1:1"))
    )
    refused(await scene.ask("files/a"), 503)  # it has not begun
    async with FiletrackerServer("http://127.0.0.1:1") as away:
        with pytest.raises(UpstreamError):
            await away.stat("a")


async def test_one_that_does_not_answer_is_a_504(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parparchik.dedup.upstream._TIMEOUT", 0.05)
    tracker.files["a"] = (DATA, 100)
    tracker.all_fail = "hang"
    async with FiletrackerServer(tracker.url) as server:
        with pytest.raises(UpstreamTimeout) as error:
            await server.stat("a")
        assert error.value.status == 504


async def test_what_it_sends_plain_is_compressed_here(scene: MountScene, tracker: Tracker) -> None:
    tracker.files["a"] = (DATA, 100)
    tracker.all_fail = "plain"
    assert (await scene.head("a")).size_bytes < len(DATA) / 10
    assert await scene.data("a") == DATA


async def test_a_file_in_whose_way_there_is_another_is_none(
    scene: MountScene, tracker: Tracker
) -> None:
    tracker.files["a/b"] = (DATA, 100)
    await scene.put("a", b"x", 1)
    assert await scene.data("a/b") is None
    assert await scene.data("a") == b"x"


async def test_its_list_piece_by_piece(tracker: Tracker) -> None:
    tracker.files = {f"{number}/ż": (b"", 0) for number in range(5000)}
    async with FiletrackerServer(tracker.url) as server:
        assert [path async for path in server.paths()] == list(tracker.files)


@pytest.mark.parametrize("fails", ["500", "cut"])
async def test_a_list_that_is_none(tracker: Tracker, fails: str) -> None:
    tracker.files = {"a": (b"", 0), "b": (b"", 0)}
    tracker.all_fail = fails
    async with FiletrackerServer(tracker.url) as server:
        with pytest.raises(UpstreamError):
            _ = [path async for path in server.paths()]


async def test_a_password_is_in_no_message() -> None:
    async with FiletrackerServer("http://user:hunter2@127.0.0.1:1") as server:
        with pytest.raises(UpstreamError) as error:
            await server.stat("a")
        assert "hunter2" not in str(error.value)


async def test_what_is_fetched_is_read_piece_by_piece(tracker: Tracker) -> None:
    tracker.files["a"] = (bytes(10_000_000), 7)
    async with FiletrackerServer(tracker.url) as server, server.fetch("a") as fetched:
        assert isinstance(fetched, Fetched)
        assert fetched.known.version_s == 7
        assert fetched.known.logical_bytes == 10_000_000
        first = await fetched.read()
        assert first.startswith(b"\x1f\x8b")
    # The rest nobody wanted.
