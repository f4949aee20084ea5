"""The store against a model of it: what files there are after any sequence of operations, some of
them at the same time, some broken off by a crash, with cleaning in between."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from parparchik.dedup.order import ORDER, Operation
from parparchik.dedup.receive import NOTHING_EXPECTED
from parparchik.errors import PathConflict, Unavailable
from tests.dedup.bed import DAY_S, Bed, hint, laid, limits_of
from tests.dedup.fake_metadata import FakeMetadata
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


Act = PutFile | DeleteFile | Clean


@dataclass(frozen=True)
class Crash:
    """While it is done, after a step, if that is one of its steps."""

    act: Act
    operation: Operation
    step: str


@dataclass(frozen=True)
class AtOnce:
    """Whatever time passes has passed before: claims are not renewed while it jumps."""

    acts: tuple[Act, Act]

    async def act(self, bed: Bed) -> None:
        bed.late_s += sum(act.later_s for act in self.acts if isinstance(act, Clean))
        async with trio.open_nursery() as nursery:
            for act in self.acts:
                nursery.start_soon((Clean(0.0) if isinstance(act, Clean) else act).act, bed)


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
pairs = st.builds(AtOnce, st.tuples(acts, acts))
sequences = st.lists(st.one_of(acts, acts, crashes, pairs), max_size=14)


class Killed(BaseException):
    """What nobody handles, as with a kill."""


async def crash(bed: Bed, crash: Crash) -> None:
    """From that step on, nothing that is done to S3 or the metadata has any effect."""
    metadata = bed.metadata
    assert isinstance(metadata, FakeMetadata)

    async def gone(point: str, asked: BytesAsked) -> None:
        raise Unavailable("killed")

    def on_step(operation: Operation, name: str) -> None:
        if (operation, name) == (crash.operation, crash.step):
            metadata.broken, bed.bucket.at = True, gone
            raise Killed

    bed.on_step = on_step
    try:
        await crash.act.act(bed)
    except BaseExceptionGroup as group:
        _, others = group.split(Killed)
        if others is not None:
            raise
    except Killed:
        pass
    metadata.broken, bed.bucket.at, bed.on_step = False, None, None


async def seen(bed: Bed) -> Files:
    """All files, read."""
    found: Files = {}
    async for page in bed.store.list("", until_s=100):
        for file in page:
            data = await bed.get(file.path)
            assert data is not None
            found[file.path] = (file.version_s, data)
    return found


async def play(sequence: list[Act | Crash | AtOnce], memory_bytes: int) -> None:
    async with laid(limits=limits_of(memory_bytes)) as bed:
        files: Files = {}
        for event in sequence:
            if isinstance(event, Crash):
                await crash(bed, event)
                possible = [files, event.act.apply(files)]
            elif isinstance(event, AtOnce):
                await event.act(bed)
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
        assert (totals.orphans, totals.garbage) == (0, 0)
        assert totals.logical_bytes == sum(len(data) for _, data in files.values())
        if contents:  # else nobody can tell whose the objects are that nobody knows of
            assert len(bed.bucket.objects) == len(contents)


@pytest.mark.parametrize("memory_bytes", [1 << 20, 10], ids=["spooled", "straight"])
@given(sequence=sequences)
@settings(max_examples=300, deadline=None)
def test_the_store_does_as_its_model(
    memory_bytes: int, sequence: list[Act | Crash | AtOnce]
) -> None:
    trio.run(play, sequence, memory_bytes)
