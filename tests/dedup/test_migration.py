"""All files of another filetracker server, over HTTP or out of its directory."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from parparchik.dedup import FiletrackerDirectory, FiletrackerServer, Migration
from parparchik.dedup.migration import TRIES, Migrated
from parparchik.errors import MetadataUnavailable, Unavailable, UpstreamError
from tests.dedup.mount_scene import MountScene, mounted
from tests.dedup.tracker import Tracker, tracking_server

DATA = b"what the other server has " * 100


@pytest.fixture
def tracker() -> Iterator[Tracker]:
    with tracking_server() as tracker:
        tracker.files = {
            f"folder {number % 7}/ż{number}": (DATA + b"%d" % (number // 2), number - 50)
            for number in range(100)
        }
        yield tracker


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parparchik.dedup.migration.FIRST_PAUSE_S", 0.001)


async def migrate(scene: MountScene, tracker: Tracker, parallel: int = 8) -> Migrated:
    async with FiletrackerServer(tracker.url) as server:
        return await Migration(scene.dedup, scene.metadata, server, parallel=parallel).run()


async def check(scene: MountScene, tracker: Tracker) -> None:
    for path, (data, version_s) in tracker.files.items():
        assert await scene.data(path) == data
        assert scene.metadata.files[path][0] == version_s


async def test_everything_is_copied_with_its_version(tracker: Tracker) -> None:
    async with mounted() as scene:
        report = await migrate(scene, tracker)
        assert (report.copied, report.present, report.gone, report.failed) == (100, 0, 0, 0)
        assert report.copied_bytes > 0
        await check(scene, tracker)
        assert len(scene.metadata.stored) == 50  # each content once


async def test_a_second_run_copies_what_is_new_alone(tracker: Tracker) -> None:
    async with mounted() as scene:
        await migrate(scene, tracker)
        tracker.files["new"] = (b"new", 5)
        tracker.files["folder 0/ż0"] = (b"newer", 500)
        tracker.asked.clear()
        report = await migrate(scene, tracker)
        assert (report.copied, report.present) == (2, 99)
        gets = [path for method, path in tracker.asked if method == "GET"]
        assert sorted(gets) == ["folder 0/ż0", "list", "new"]
        await check(scene, tracker)


async def test_what_is_newer_here_stays(tracker: Tracker) -> None:
    async with mounted() as scene:
        await scene.put("folder 0/ż0", b"newer here", 1000)
        await scene.put("folder 1/ż1", b"older here", -1000)
        report = await migrate(scene, tracker)
        assert (report.copied, report.present) == (99, 1)
        assert await scene.data("folder 0/ż0") == b"newer here"
        assert await scene.data("folder 1/ż1") == tracker.files["folder 1/ż1"][0]


async def test_what_was_deleted_meanwhile_is_told_and_no_failure(tracker: Tracker) -> None:
    tracker.more_listed = ("gone",)
    async with mounted() as scene:
        report = await migrate(scene, tracker)
        assert (report.copied, report.gone, report.failed) == (100, 1, 0)
        assert report.reasons == [("gone", "404: it is not there any more")]


@pytest.mark.parametrize("fails", ["500", "reset", "cut", "junk", "undated"])
async def test_what_fails_for_a_moment_is_tried_again(tracker: Tracker, fails: str) -> None:
    tracker.fails = dict.fromkeys(list(tracker.files)[:5], fails)
    tracker.once = True
    async with mounted() as scene:
        report = await migrate(scene, tracker)
        expected = (95, 5) if fails == "junk" else (100, 0)  # it is what it is: no use to ask again
        assert (report.copied, report.failed) == expected


async def test_what_fails_for_good_is_told_and_the_rest_goes_on(tracker: Tracker) -> None:
    path = next(iter(tracker.files))
    tracker.fails = {path: "500"}
    async with mounted() as scene:
        report = await migrate(scene, tracker)
        assert (report.copied, report.failed) == (99, 1)
        assert tracker.count("GET", path) == TRIES
        [(told, reason)] = report.reasons
        assert told == path
        assert "500" in reason


async def test_paths_that_can_be_none_here_are_told(tracker: Tracker) -> None:
    tracker.more_listed = ("a/../b", "c//d")
    async with mounted() as scene:
        await scene.put("folder 2", b"in the way", 1)
        report = await migrate(scene, tracker)
        in_the_way = sum(path.startswith("folder 2/") for path in tracker.files)
        assert report.failed == 2 + in_the_way
        assert report.copied == 100 - in_the_way


async def test_without_a_list_nothing_is_done(tracker: Tracker) -> None:
    tracker.all_fail = "500"
    async with mounted() as scene:
        with pytest.raises(UpstreamError, match="500"):
            await migrate(scene, tracker)
        assert scene.metadata.files == {}


async def test_a_list_that_breaks_off_is_no_success(tracker: Tracker) -> None:
    tracker.all_fail = "cut"
    async with mounted() as scene:
        with pytest.raises(UpstreamError):
            await migrate(scene, tracker)


async def test_where_our_own_metadata_fails_it_ends(tracker: Tracker) -> None:
    async with mounted() as scene:

        async def get(path: str) -> None:
            raise MetadataUnavailable("the disk is full")

        scene.metadata.get = get  # type: ignore[method-assign]
        with pytest.raises(Unavailable):
            await migrate(scene, tracker)


async def test_an_empty_server(tracker: Tracker) -> None:
    tracker.files = {}
    async with mounted() as scene:
        assert (await migrate(scene, tracker)).done == 0


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """As a filetracker server leaves it: links whose time is the version, blobs in gzip."""
    for number in range(10):
        data = DATA + b"%d" % (number // 2)
        blob = tmp_path / "blobs" / f"{number // 2:02}" / "digest"
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(gzip.compress(data))
        link = tmp_path / "links" / f"folder {number % 3}" / f"ż{number}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
        os.utime(link, (number * 100, number * 100), follow_symlinks=False)
    return tmp_path


async def test_a_directory(directory: Path) -> None:
    async with mounted() as scene:
        migration = Migration(scene.dedup, scene.metadata, FiletrackerDirectory(directory))
        report = await migration.run()
        assert (report.copied, report.failed) == (10, 0)
        for number in range(10):
            path = f"folder {number % 3}/ż{number}"
            assert await scene.data(path) == DATA + b"%d" % (number // 2)
            assert scene.metadata.files[path][0] == number * 100
        again = await Migration(scene.dedup, scene.metadata, FiletrackerDirectory(directory)).run()
        assert (again.copied, again.present) == (0, 10)


async def test_a_directory_with_holes(directory: Path) -> None:
    """A blob that is missing, one that is damaged, a name that is not UTF-8."""
    (directory / "blobs" / "00" / "digest").unlink()
    (directory / "blobs" / "01" / "digest").write_bytes(b"junk")
    odd = os.fsencode(directory / "links") + b"/\xff"
    os.symlink(b"../blobs/02/digest", odd)
    async with mounted() as scene:
        report = await Migration(scene.dedup, scene.metadata, FiletrackerDirectory(directory)).run()
        assert (report.copied, report.failed) == (6, 5)


async def test_it_can_be_cancelled(tracker: Tracker) -> None:
    tracker.all_fail = "hang"
    async with mounted() as scene:
        with trio.move_on_after(0.1) as scope:
            await migrate(scene, tracker)
        assert scope.cancelled_caught
