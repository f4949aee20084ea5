"""What is in memory is stored without a claim, by two processes and a cleaner, each a step at a
time and in any order: whatever is listed can be read, and nothing is left in the end."""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from itertools import combinations
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from parparchik.dedup.blobs import is_of
from parparchik.dedup.receive import NOTHING_EXPECTED
from parparchik.dedup.verify import Verifier
from parparchik.errors import ClaimLost, Unavailable
from tests.dedup.bed import DAY_S, Bed, digest_of, hint, laid, limits_of
from tests.dedup.fake_metadata import FakeMetadata
from tests.dedup.turns import Stepped, Turns
from tests.fakes_bytes import FakeBytes, FakeUpload

pytestmark = pytest.mark.usefixtures("each_way")

DATA = b"the same, packed by several " * 300
OTHER = b"something else " * 300


class Scene:
    """Three processes. `small` has all uploads in memory, without a claim."""

    def __init__(self, turns: Turns, metadata: FakeMetadata, beds: tuple[Bed, Bed, Bed]) -> None:
        self.turns = turns
        self.metadata = metadata
        self.one, self.two, self.cleaning = beds
        self.bucket = self.one.bucket
        self.wanted: dict[str, bytes] = {}

    async def put(self, bed: Bed, path: str, data: bytes, version_s: int, level: int) -> None:
        """As gzip of a level, 0: as it is. It may be told to come again. What is large is
        announced, and goes straight to S3."""
        body = gzip.compress(data, level, mtime=0) if level else data
        upload = FakeUpload(body, size_bytes=len(body))
        is_large = len(body) > bed.limits.spool.memory_bytes
        expected = hint(data) if is_large else NOTHING_EXPECTED
        with suppress(ClaimLost, Unavailable):
            await bed.put(path, data, version_s, gzip=bool(level), upload=upload, expected=expected)
            self.wanted[path] = data

    async def delete(self, path: str, version_s: int) -> None:
        if (await self.two.store.delete(path, version_s)).done:
            self.wanted.pop(path, None)

    async def clean(self, skew_s: float = 2.0) -> None:
        self.cleaning.late_s = skew_s
        await self.cleaning.cleaner(owner="cleaner", grace_s=0).clean()

    def check(self) -> None:
        """What is listed is at S3, of its size, or saying what it is; what was acknowledged is
        listed."""
        metadata = self.metadata
        for path, (_, digest) in metadata.files.items():
            blob = metadata.stored[digest]
            found = self.bucket.objects[blob.key]
            assert digest_of(gzip.decompress(found.data)) == digest, path
            assert is_of(found.representation, blob)
            assert blob.key not in metadata.waste
        for path, data in self.wanted.items():
            assert metadata.files[path][1] == digest_of(data)

    async def end(self) -> None:
        """Read as clients read it, by each process; then clean."""
        self.bucket.at = None
        for bed in (self.one, self.two):
            for path in sorted(self.metadata.files):
                stored = await bed.get(path, gzip=True)
                assert stored is not None
                file = await bed.store.stat(path)
                assert file is not None
                assert file.blob.stored_bytes == len(stored)
                assert digest_of(gzip.decompress(stored)) == file.blob.digest
        report = await Verifier(self.metadata, self.bucket).verify()
        assert (report.bad_blobs, report.failed, report.faults) == ((), 0, ())
        for days in (3, 6):  # what was put is of another day than what rests
            self.cleaning.late_s = days * DAY_S
            await self.cleaning.cleaner().clean()
        contents = {digest for _, digest in self.metadata.files.values()}
        totals = await self.metadata.totals()
        assert (totals.blobs, totals.orphans, totals.garbage) == (len(contents), 0, 0)
        if contents:
            assert len(self.bucket.objects) == len(contents)
            assert totals.stored_bytes == sum(len(o.data) for o in self.bucket.objects.values())
        assert self.metadata.claims == {}
        assert self.bucket.reading == 0


Play = Callable[[Scene], Awaitable[object]]


async def played(
    order: Iterable[int], prepare: Play, *plays: Play, sizes: tuple[int, int] = (1 << 20, 1 << 20)
) -> Scene:
    metadata, bucket = FakeMetadata(), FakeBytes()
    checks: list[Callable[[], object]] = []
    turns = Turns(iter(order), checks)
    stepped: Any = Stepped(metadata, turns)
    async with (
        laid(stepped, bucket, limits_of(sizes[0])) as one,
        laid(stepped, bucket, limits_of(sizes[1])) as two,
        laid(stepped, bucket) as cleaning,
    ):
        scene = Scene(turns, metadata, (one, two, cleaning))
        await prepare(scene)
        checks.append(scene.check)
        bucket.at = turns.at
        await turns.play(*(partial(play, scene) for play in plays))
        await scene.end()
    return scene


async def nothing(scene: Scene) -> None:
    """The database and the bucket are empty."""


async def one_puts(scene: Scene) -> None:
    await scene.put(scene.one, "one", DATA, 1, 1)


async def two_puts(scene: Scene) -> None:
    await scene.put(scene.two, "two", DATA, 1, 9)


def test_the_two_are_of_different_sizes() -> None:
    assert len(gzip.compress(DATA, 1, mtime=0)) != len(gzip.compress(DATA, 9, mtime=0))


async def test_two_processes_store_the_same_in_every_order() -> None:
    alone = (await played([], nothing, one_puts)).turns.taken
    for first in combinations(range(2 * alone), alone):
        order = [0 if turn in first else 1 for turn in range(2 * alone)]
        scene = await played(order, nothing, one_puts, two_puts)
        assert set(scene.wanted) == {"one", "two"}
        assert len(scene.bucket.objects) == 1


@pytest.mark.parametrize("sizes", [(1 << 20, 10), (10, 1 << 20)], ids=["two claims", "one claims"])
async def test_beside_one_who_claims_in_every_order(sizes: tuple[int, int]) -> None:
    turns = [(await played([], nothing, play, sizes=sizes)).turns.taken
             for play in (one_puts, two_puts)]  # fmt: skip
    for first in combinations(range(sum(turns)), turns[0]):
        order = [0 if turn in first else 1 for turn in range(sum(turns))]
        scene = await played(order, nothing, one_puts, two_puts, sizes=sizes)
        assert set(scene.wanted) == {"one", "two"}
        assert len(scene.bucket.objects) == 1


async def an_orphan(scene: Scene) -> None:
    await scene.put(scene.one, "kept", OTHER, 1, 0)
    await scene.put(scene.one, "old", DATA, 1, 6)
    await scene.delete("old", 1)


async def a_stray(scene: Scene) -> None:
    """One was killed before it could refer to it."""
    await scene.put(scene.one, "kept", OTHER, 1, 0)
    scene.bucket.put(scene.one.key(DATA), gzip.compress(DATA, 6, mtime=0))


async def a_loss(scene: Scene) -> None:
    await scene.put(scene.one, "kept", OTHER, 1, 0)
    await scene.put(scene.one, "old", DATA, 1, 6)
    await scene.metadata.mark_lost(scene.metadata.stored[digest_of(DATA)], now_s=scene.one.now())


async def clean(scene: Scene) -> None:
    await scene.clean()


async def hours_ahead(scene: Scene) -> None:
    await scene.clean(5 * 3600.0)


async def hours_behind(scene: Scene) -> None:
    await scene.clean(-5 * 3600.0)


async def delete_one(scene: Scene) -> None:
    await scene.delete("one", 1)


async def overwrite(scene: Scene) -> None:
    await scene.put(scene.two, "one", OTHER, 1, 3)


async def fails_to_store(scene: Scene) -> None:
    """S3 has it, and does not say so."""
    stores = scene.bucket.store

    async def fail(*args: Any) -> str:
        await stores(*args)
        raise Unavailable("500")

    class Failing:
        def __getattr__(self, name: str) -> Any:
            return fail if name == "store" else getattr(scene.bucket, name)

    bucket: Any = Failing()
    stepped: Any = Stepped(scene.metadata, scene.turns)
    async with laid(stepped, bucket) as bed:
        await scene.put(bed, "fails", DATA, 1, 4)


@pytest.mark.parametrize("prepare", [nothing, an_orphan, a_stray, a_loss])
@given(
    plays=st.lists(
        st.sampled_from((clean, hours_ahead, hours_behind, delete_one, overwrite, fails_to_store)),
        max_size=2,
    ),
    order=st.lists(st.integers(0, 3), max_size=120),
    claims=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_whatever_else_goes_on(
    prepare: Play, plays: list[Play], order: list[int], claims: bool
) -> None:
    async def play() -> None:
        sizes = (1 << 20, 10 if claims else 1 << 20)
        await played(order, prepare, one_puts, two_puts, *plays, sizes=sizes)

    trio.run(play)
