"""References out and in again: a backup that never refers to what is not there."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import trio

from parparchik.dedup.keys import Keys
from parparchik.dedup.portable import BadExport, Importer, export
from parparchik.dedup.reports import ImportReport
from parparchik.errors import MetadataUnavailable, Unavailable
from tests.dedup.bed import DAY_S, Bed, digest_of, laid
from tests.dedup.fake_metadata import FakeMetadata
from tests.dedup.metadata_stores import STORES

FILES = {
    "a": (5, b"one " * 100),
    "b/c": (-7, b"two " * 100),
    'b/ć "quoted"': (0, b"one " * 100),
    "empty": (9, b""),
}
HEAD = b'{"format":"parparchik dedup","version":2}\n'


async def exported(bed: Bed) -> list[bytes]:
    out: list[bytes] = []

    async def write(data: bytes) -> None:
        out.append(data)

    count = await export(bed.metadata, write)
    lines = b"".join(out).splitlines(keepends=True)
    assert sum(count) == len(lines) - 2  # the first and the last one are about the rest
    return lines


async def imported(bed: Bed, lines: list[bytes], **how: Any) -> ImportReport:
    async def reading() -> AsyncGenerator[bytes, None]:
        for line in lines:
            await trio.lowlevel.checkpoint()
            yield line

    async with aclosing(reading()) as read:
        return await Importer(bed.metadata, bed.bucket, now=bed.now, **how).run(read)


async def fill(bed: Bed) -> None:
    for path, (version_s, data) in FILES.items():
        await bed.put(path, data, version_s)


async def all_there(bed: Bed) -> None:
    for path, (version_s, data) in FILES.items():
        assert await bed.get(path) == data
        file = await bed.store.stat(path)
        assert file is not None
        assert file.version_s == version_s
        assert file.blob.logical_bytes == len(data)


@pytest.mark.parametrize("opened", STORES.values(), ids=STORES)
async def test_out_and_in_again(tmp_path: Path, opened: Any) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    async with opened(tmp_path / "1", Keys()) as metadata, laid(metadata) as bed:
        await fill(bed)
        lines = await exported(bed)
        bucket = bed.bucket
    assert lines[0] == HEAD
    assert [json.loads(line)["path"] for line in lines[1:-1]] == sorted(FILES)
    assert json.loads(lines[-1]) == {"end": True, "files": 4, "tombstones": 0}
    async with opened(tmp_path / "2", Keys()) as metadata, laid(metadata, bucket) as bed:
        stores = bucket.count("store")
        assert await imported(bed, lines) == ImportReport(imported=4)
        assert bucket.count("store") == stores
        await all_there(bed)
        assert await imported(bed, lines) == ImportReport(imported=4)
        assert await exported(bed) == lines
        bed.late_s = 2 * DAY_S
        report = await bed.cleaner().clean()
        assert (report.unknown, report.missing, report.orphans) == (0, 0, 0)


@pytest.mark.parametrize("opened", STORES.values(), ids=STORES)
async def test_what_was_deleted_stays_deleted(tmp_path: Path, opened: Any) -> None:
    """Where a store falls through to another, tombstones are what keeps deleted files away."""
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    async with opened(tmp_path / "1", Keys()) as metadata, laid(metadata) as bed:
        await fill(bed)
        await bed.store.delete("b/c", 5, tombstone=True)
        await bed.store.delete("never/here", -3, tombstone=True)
        await bed.store.delete("empty", 100, tombstone=True)
        await bed.put("empty", b"again", 50)
        lines = await exported(bed)
        bucket = bed.bucket
    found = {
        (line["path"], line["version"]) for line in map(json.loads, lines) if line.get("deleted")
    }
    assert found == {("b/c", 5), ("never/here", -3), ("empty", 100)}
    async with opened(tmp_path / "2", Keys()) as metadata, laid(metadata, bucket) as bed:
        assert await imported(bed, lines) == ImportReport(imported=3, tombstones=3)
        for path, version_s in (("b/c", 5), ("never/here", -3), ("empty", 100)):
            assert not (await bed.put(path, b"old", version_s, imported=True)).done
        assert await bed.get("b/c") is None
        assert await bed.get("never/here") is None
        assert await bed.get("empty") == b"again"
        assert (await bed.put("b/c", b"newer", 6, imported=True)).done
        assert await imported(bed, lines) == ImportReport(imported=3, older=3)
        assert await bed.get("b/c") == b"newer"


async def test_a_tombstone_deletes_nothing_and_gives_way_to_a_newer_one() -> None:
    async with laid() as bed:
        await bed.put("a", b"here", 1)
        await bed.store.delete("b", 9, tombstone=True)
        lines = [HEAD] + [
            json.dumps({"path": path, "version": 5, "deleted": True}).encode() + b"\n"
            for path in ("a", "b")
        ]
        lines.append(b'{"end":true,"files":0,"tombstones":2}\n')
        assert await imported(bed, lines) == ImportReport(tombstones=1, older=1)
        assert await bed.get("a") == b"here"
        assert not (await bed.put("b", b"old", 9, imported=True)).done


async def test_what_is_deleted_while_it_is_exported_is_in_it() -> None:
    async with laid() as bed:
        await fill(bed)
        out: list[bytes] = []

        async def write(data: bytes) -> None:
            if len(out) == 1:  # the head is written, and the files are read
                await bed.store.delete("a", 5, tombstone=True)
            out.append(data)

        assert await export(bed.metadata, write) == (4, 1)
        lines = b"".join(out).splitlines(keepends=True)
    assert [line for line in lines if b'"path":"a"' in line and b"deleted" in line]


async def test_an_export_of_the_first_version() -> None:
    async with laid() as bed:
        await fill(bed)
        bucket = bed.bucket
    lines = [b'{"format":"parparchik dedup","version":1}\n']
    for path, (version_s, data) in FILES.items():
        lines.append(
            json.dumps(
                {
                    "path": path, "version": version_s, "digest": digest_of(data),
                    "key": bed.key(data), "logical_bytes": len(data), "stored_bytes": 1,
                }
            ).encode() + b"\n"
        )  # fmt: skip
    async with laid(bucket=bucket) as bed:
        assert await imported(bed, lines) == ImportReport(imported=4)
        await all_there(bed)


@pytest.mark.parametrize(
    "cut",
    [
        lambda lines: lines[:-1],
        lambda lines: lines[:3],
        lambda lines: lines[:1],
        lambda lines: [*lines[:2], *lines[3:]],
        lambda lines: [*lines[:-1], lines[-1][:20]],
    ],
    ids=["the end", "more", "all", "in the middle", "within the end"],
)
async def test_a_part_is_not_taken_for_the_whole(
    cut: Callable[[list[bytes]], list[bytes]],
) -> None:
    """A disk that was full when the backup was made; lines that somebody took out."""
    async with laid() as bed:
        await fill(bed)
        lines = cut(await exported(bed))
        report = await imported(bed, lines)
        assert not report.is_whole
        files = sum(b'"path"' in line for line in lines)
        assert (report.imported, report.bad) == (files, 0)


async def test_content_at_another_key_is_copied() -> None:
    """It may not be referred to where it lies: there it might be garbage."""
    async with laid() as bed:
        metadata = bed.metadata
        assert isinstance(metadata, FakeMetadata)
        for _, data in FILES.values():
            metadata.deleted_at[bed.key(data)] = bed.now()
        await fill(bed)
        lines = await exported(bed)
        bucket = bed.bucket
    assert all("-" in key for key in bucket.objects)
    async with laid(bucket=bucket) as bed:
        assert (await imported(bed, lines, parallel=4)).imported == 4
        await all_there(bed)
        bed.late_s = 2 * DAY_S
        await bed.cleaner().clean()
        assert set(bucket.objects) == {bed.key(data) for _, data in FILES.values()}


async def test_what_is_garbage_is_not_referred_to() -> None:
    async with laid() as bed:
        await fill(bed)
        lines = await exported(bed)
        for path, (version_s, _) in FILES.items():
            await bed.store.delete(path, version_s)
        bed.late_s = 2 * DAY_S
        metadata = bed.metadata
        assert isinstance(metadata, FakeMetadata)
        await metadata.discard_orphans(older_than_s=bed.now(), now_s=bed.now(), limit=10)
        assert len(metadata.waste) == 3
        assert (await imported(bed, lines)).imported == 4
        await bed.cleaner().clean()
        await all_there(bed)


async def test_newer_versions_stay() -> None:
    async with laid() as bed:
        await fill(bed)
        lines = await exported(bed)
        await bed.put("a", b"newer", 6)
        assert await imported(bed, lines) == ImportReport(imported=3, older=1)
        assert await bed.get("a") == b"newer"


async def test_content_that_is_not_there_is_told_of() -> None:
    async with laid() as bed:
        await fill(bed)
        lines = await exported(bed)
        bucket = bed.bucket
    del bucket.objects[bed.key(b"two " * 100)]
    async with laid(bucket=bucket) as bed:
        report = await imported(bed, lines)
        assert (report.imported, report.missing, report.bad) == (3, 1, 0)
        assert report.reasons == ((3, f"S3 does not have the content {digest_of(b'two ' * 100)}"),)
        assert await bed.get("b/c") is None
        assert isinstance(bed.metadata, FakeMetadata)
        assert bed.metadata.claims == {}


async def test_content_that_is_another_is_not_taken_for_it() -> None:
    async with laid() as bed:
        await fill(bed)
        lines = await exported(bed)
        bucket = bed.bucket
    key, other = bed.key(b"two " * 100), bed.key(b"one " * 100)
    whole = bucket.objects[key]
    bucket.objects[key] = bucket.objects[other]
    async with laid(bucket=bucket) as bed:
        assert (await imported(bed, lines)).missing == 1
        assert await bed.get("b/c") is None
    # As it says, but not what it is, and at another key: it would have to be copied.
    bucket.put(key + "-01234567", b"junk", headers=whole.representation.headers)
    del bucket.objects[key]
    moved = [line.replace(key.encode(), f"{key}-01234567".encode()) for line in lines]
    async with laid(bucket=bucket) as bed:
        assert (await imported(bed, moved)).bad == 1
        assert await bed.get("b/c") is None
        assert key not in bucket.objects


GOOD = {"path": "a", "version": 1, "digest": "ab" * 32}


@pytest.mark.parametrize(
    "line",
    [
        b"junk", b"[]", b"{}", b"\xff",
        json.dumps({**GOOD, "digest": "../" + "0" * 61}).encode(),
        json.dumps({**GOOD, "digest": "AB" * 32}).encode(),
        json.dumps({**GOOD, "version": "1"}).encode(),
        json.dumps({**GOOD, "version": 1.5}).encode(),
        json.dumps({**GOOD, "path": None}).encode(),
        json.dumps({"path": "a", "version": 1}).encode(),
        json.dumps({"path": "a", "version": 1, "deleted": "yes"}).encode(),
        json.dumps({"path": "a", "version": 2**63, "deleted": True}).encode(),
        json.dumps({"path": "", "version": 1, "deleted": True}).encode(),
        json.dumps({"path": "a/../b", "version": 1, "deleted": True}).encode(),
        json.dumps({**GOOD, "path": ""}).encode(),
        json.dumps({**GOOD, "path": "a/../b"}).encode(),
        json.dumps({**GOOD, "path": "/a"}).encode(),
    ],
)  # fmt: skip
async def test_a_bad_line_is_told_of_and_the_rest_goes_on(line: bytes) -> None:
    async with laid() as bed:
        await fill(bed)
        lines = await exported(bed)
        report = await imported(bed, [*lines[:2], line + b"\n", b"\n", *lines[2:]])
        assert (report.imported, report.bad) == (4, 1)
        assert report.reasons[0][0] == 3


async def test_a_path_that_contradicts_is_told_of() -> None:
    async with laid() as bed:
        await fill(bed)
        lines = await exported(bed)
        lines.append(lines[1].replace(b'"path":"a"', b'"path":"a/b"'))
        report = await imported(bed, lines, parallel=1)
        assert (report.imported, report.bad) == (4, 1)


@pytest.mark.parametrize(
    "head",
    [
        b"", b"junk\n", b"{}\n", HEAD.replace(b"2", b"3"), HEAD.replace(b"2", b"0"),
        HEAD.replace(b"parparchik", b"another"),
    ],
)  # fmt: skip
async def test_what_is_no_export(head: bytes) -> None:
    async with laid() as bed:
        with pytest.raises(BadExport):
            await imported(bed, [head] if head else [])


async def test_an_outage_ends_it() -> None:
    async with laid() as bed:
        await fill(bed)
        lines = await exported(bed)
        bucket = bed.bucket
    async with laid(bucket=bucket) as bed:
        bucket.failing["stat"] = lambda: Unavailable("500")
        with pytest.raises(Unavailable):
            await imported(bed, lines)
        bucket.failing.clear()
        assert isinstance(bed.metadata, FakeMetadata)
        bed.metadata.broken = True
        with pytest.raises(MetadataUnavailable):
            await imported(bed, lines)
        bed.metadata.broken = False
        assert (await imported(bed, lines)).imported == 4
        await all_there(bed)
