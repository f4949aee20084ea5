"""The store against a model of it: what files there are after any sequence of operations, some of
them at the same time, some broken off by a crash, with cleaning in between."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from parparchik.dedup.keys import Keys
from parparchik.dedup.order import ORDER, Operation
from parparchik.dedup.receive import NOTHING_EXPECTED
from parparchik.dedup.sqlite import SqliteMetadata
from parparchik.dedup.sqlite_connection import Database
from parparchik.dedup.types import File, Metadata
from parparchik.dedup.verify import Verifier
from parparchik.errors import MetadataUnavailable, PathConflict, Unavailable, UpstreamError
from tests.dedup.bed import DAY_S, Bed, digest_of, hint, laid, limits_of
from tests.dedup.metadata_stores import Opened, opened_fake, opened_redis
from tests.fakes_bytes import BytesAsked

CONTENTS = (b"", b"one" * 99, b"two" * 99, b"three" * 99)
Files = dict[str, tuple[int, bytes]]


@dataclass(frozen=True)
class PutFile:
    path: str
    version_s: int
    data: bytes
    gzip: bool
    hinted: bool

    async def act(self, bed: Bed) -> None:
        expected = hint(self.data) if self.hinted else NOTHING_EXPECTED
        with suppress(PathConflict):
            await bed.put(self.path, self.data, self.version_s, gzip=self.gzip, expected=expected)

    def apply(self, files: Files) -> Files:
        above = {"/".join(self.path.split("/")[:n]) for n in range(1, self.path.count("/") + 1)}
        below = [path for path in files if path.startswith(f"{self.path}/")]
        stored = files.get(self.path, (self.version_s, b""))[0]
        if above & set(files) or below or stored > self.version_s:
            return files
        return {**files, self.path: (self.version_s, self.data)}


@dataclass(frozen=True)
class DeleteFile:
    path: str
    version_s: int

    async def act(self, bed: Bed) -> None:
        await bed.store.delete(self.path, self.version_s)

    def apply(self, files: Files) -> Files:
        if files.get(self.path, (self.version_s + 1, b""))[0] > self.version_s:
            return files
        return {path: file for path, file in files.items() if path != self.path}


@dataclass(frozen=True)
class Clean:
    """Some time later."""

    later_s: float

    async def act(self, bed: Bed) -> None:
        bed.late_s += self.later_s
        await bed.cleaner().clean()

    def apply(self, files: Files) -> Files:
        return files


@dataclass(frozen=True)
class Lose:
    """S3 loses a content; a reader, or verifying, finds that, and whoever has the content uploads
    it again, to a path of its own."""

    data: bytes
    verify: bool

    async def act(self, bed: Bed) -> None:
        file = await self._a_file(bed)
        if file is None or bed.bucket.objects.pop(file.blob.key, None) is None:
            return
        if self.verify:
            assert (await Verifier(bed.metadata, bed.bucket, now=bed.now).verify()).missing == 1
        else:
            with pytest.raises(UpstreamError, match="missing"):
                await bed.get(file.path)
        await bed.put(file.path, self.data, file.version_s)

    async def _a_file(self, bed: Bed) -> File | None:
        files = [file async for page in bed.store.list("", until_s=100) for file in page]
        digest = digest_of(self.data)
        return next((file for file in files if file.blob.digest == digest), None)

    def apply(self, files: Files) -> Files:
        return files


Act = PutFile | DeleteFile | Clean


@dataclass(frozen=True)
class Crash:
    """While it is done, after a step, if that is one of its steps."""

    act: Act
    operation: Operation
    step: str


@dataclass(frozen=True)
class AtOnce:
    """In one process, or, `apart`, in two. Whatever time passes has passed before: claims are not
    renewed while it jumps."""

    acts: tuple[Act, Act]
    apart: bool

    async def act(self, bed: Bed, other: Bed) -> None:
        bed.late_s += sum(act.later_s for act in self.acts if isinstance(act, Clean))
        other.late_s = bed.late_s
        async with trio.open_nursery() as nursery:
            for act, place in zip(self.acts, (bed, other if self.apart else bed), strict=True):
                nursery.start_soon((Clean(0.0) if isinstance(act, Clean) else act).act, place)


paths = st.sampled_from(["a", "b", "a/x", "a/x/y", "c"])
versions = st.integers(-2, 3)
acts: st.SearchStrategy[Act] = st.one_of(
    st.builds(PutFile, paths, versions, st.sampled_from(CONTENTS), st.booleans(), st.booleans()),
    st.builds(DeleteFile, paths, versions),
    st.builds(Clean, st.sampled_from([0.0, 60.0, 3700.0, 2 * DAY_S])),
)
crashes = st.builds(
    lambda act, step: Crash(act, step.operation, step.name), acts, st.sampled_from(ORDER)
)
pairs = st.builds(AtOnce, st.tuples(acts, acts), st.booleans())
losses = st.builds(Lose, st.sampled_from(CONTENTS), st.booleans())
sequences = st.lists(st.one_of(acts, acts, crashes, pairs, losses), max_size=14)
Sequence = list[Act | Crash | AtOnce | Lose]


class Killed(BaseException):
    """What nobody handles, as with a kill."""


class Cut:
    """A Metadata that can be cut off: then nothing that is done to it has any effect."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self.is_off = False

    def __getattr__(self, name: str) -> Any:
        if self.is_off and name in ("look_soon", "put_soon"):
            return lambda *_, **__: False
        if self.is_off:
            return _away_in_pages if name in ("list", "blobs", "tombstones") else _away
        return getattr(self._metadata, name)


async def _away(*_: object, **__: object) -> None:
    raise MetadataUnavailable("killed")


async def _away_in_pages(*_: object, **__: object) -> AsyncIterator[None]:
    raise MetadataUnavailable("killed")
    yield


async def crash(bed: Bed, crash: Crash) -> None:
    """From that step on, nothing that is done to S3 or the metadata has any effect."""
    metadata = bed.metadata
    assert isinstance(metadata, Cut)

    async def gone(point: str, asked: BytesAsked) -> None:
        raise Unavailable("killed")

    def on_step(operation: Operation, name: str) -> None:
        if (operation, name) == (crash.operation, crash.step):
            metadata.is_off, bed.bucket.at = True, gone
            if not bed.is_soon:  # what no task does comes to its own end
                raise Killed

    bed.on_step = on_step
    try:
        await crash.act.act(bed)
    except BaseExceptionGroup as group:
        _, others = group.split(Killed)
        if others is not None:
            raise
    except (Killed, Unavailable):
        pass
    metadata.is_off, bed.bucket.at, bed.on_step = False, None, None


async def seen(bed: Bed) -> Files:
    """All files, read."""
    found: Files = {}
    async for page in bed.store.list("", until_s=100):
        for file in page:
            data = await bed.get(file.path)
            assert data is not None
            found[file.path] = (file.version_s, data)
    return found


async def play(metadata: Metadata, sequence: Sequence, memory_bytes: int) -> None:
    cut: Any = Cut(metadata)
    limits = limits_of(memory_bytes)
    async with laid(cut, limits=limits) as bed, laid(cut, bed.bucket, limits) as other:
        files: Files = {}
        for event in sequence:
            if isinstance(event, Crash):
                await crash(bed, event)
                possible = [files, event.act.apply(files)]
            elif isinstance(event, AtOnce):
                await event.act(bed, other)
                first, second = event.acts
                possible = [second.apply(first.apply(files)), first.apply(second.apply(files))]
            else:
                await event.act(bed)
                possible = [event.apply(files)]
            found = await seen(bed)
            assert found in possible
            files = found
        bed.late_s += 3 * DAY_S
        report = await bed.cleaner().clean()
        assert (report.failed, report.missing) == (0, 0)
        assert await seen(bed) == files
        totals = await bed.metadata.totals()
        contents = {data for _, data in files.values()}
        assert (totals.files, totals.blobs) == (len(files), len(contents))
        assert (totals.orphans, totals.garbage, totals.lost) == (0, 0, 0)
        assert await bed.metadata.integrity() == []
        assert totals.logical_bytes == sum(len(data) for _, data in files.values())
        if contents:  # else nobody can tell whose the objects are that nobody knows of
            assert len(bed.bucket.objects) == len(contents)


async def opened_and_played(opened: Opened, *how: Any) -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with opened(Path(directory), Keys()) as metadata:
            await play(metadata, *how)


@asynccontextmanager
async def opened_sqlite(directory: Path, keys: Keys) -> AsyncIterator[Metadata]:
    """Power does not fail here, so no fsync is waited for."""
    database = Database(directory / "metadata.db", synchronous="normal")
    store = await SqliteMetadata.open(database, keys)
    try:
        yield store
    finally:
        await store.close()


# Of "mixed", what comes as gzip is small, and the rest is not.
sizes = pytest.mark.parametrize(
    ("memory_bytes", "is_soon"),
    [(1 << 20, False), (100, False), (10, False), (1 << 20, True), (100, True)],
    ids=["in memory", "mixed", "large", "without a task", "mixed, without a task"],
)


@sizes
@given(sequence=sequences)
@settings(max_examples=300, deadline=None)
def test_the_store_does_as_its_model(memory_bytes: int, is_soon: bool, sequence: Sequence) -> None:
    played(opened_fake, sequence, memory_bytes, is_soon)


@sizes
@given(sequence=sequences)
@settings(max_examples=60, deadline=None)
def test_the_store_on_sqlite_does_as_its_model(
    memory_bytes: int, is_soon: bool, sequence: Sequence
) -> None:
    played(opened_sqlite, sequence, memory_bytes, is_soon)


@sizes
@given(sequence=sequences)
@settings(max_examples=60, deadline=None)
def test_the_store_on_redis_does_as_its_model(
    memory_bytes: int, is_soon: bool, sequence: Sequence
) -> None:
    played(opened_redis, sequence, memory_bytes, is_soon)


def played(opened: Opened, sequence: Sequence, memory_bytes: int, is_soon: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Bed, "is_soon", is_soon)
        trio.run(opened_and_played, opened, sequence, memory_bytes)
