"""Who stores with a claim and who without one, cleaners, and an S3, each a step at a time and in
any order: S3 has what a file refers to, and nobody is about to delete it.

What arrives at S3 may be late: an upload for as long as it likes, a DELETE for less than a day.
The metadata is the fake, with which the others are compared elsewhere. Random walks find
here what rules of hypothesis, each as likely as the others, come upon too seldom.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import TypeVar

import pytest

from parparchik.dedup.types import Blob, Claim, Sight
from parparchik.errors import ClaimLost
from tests.dedup.fake_metadata import FakeMetadata
from tests.dedup.metadata_scene import DAY, KEYS, LIFE, NOW, digest

T = TypeVar("T")

WALKS = 150
STEPS = 60


@dataclass
class Writer:
    """One PUT under way. Where there is no blob yet, it has to store one before it can refer."""

    content: str
    path: str
    since_s: float
    there: Sight | Claim
    has_stored: bool = False

    @property
    def claim(self) -> Claim | None:
        return self.there if isinstance(self.there, Claim) else None

    @property
    def blob(self) -> Blob:
        size = len(self.content)
        return self.there.blob or Blob(digest(self.content), self.there.key, size, size + 20)


@dataclass(frozen=True)
class Batch:
    """Keys that a cleaner has chosen, to delete them."""

    keys: Sequence[str]
    since_s: float


class Walk:
    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.metadata = FakeMetadata(KEYS)
        self.objects: set[str] = set()
        self.now = NOW
        self.writers: list[Writer] = []
        self.batches: list[Batch] = []
        self.strays: list[str] = []
        self.trace: list[str] = []
        self.actions: Sequence[Callable[[], object]] = (
            *(self.begin, self.begin, self.store, self.store, self.refer, self.refer),
            *(self.choose, self.delete_at_s3, self.collect, self.compare, self.sweep),
            *(self.give_up, self.delete, self.lose, self.time_passes),
        )

    def step(self) -> None:
        action = self.chance.choice(self.actions)
        self.trace.append(action.__name__)
        action()
        for _, name in self.metadata.files.values():
            key = self.metadata.stored[name].key
            assert name in self.metadata.lost or key in self.objects, f"gone: {self.trace}"
            assert key not in self.metadata.waste, f"about to go: {self.trace}"

    @staticmethod
    def do(ask: Callable[[], Awaitable[T]]) -> T:
        """What never waits needs no loop."""
        waiting = ask().__await__()
        try:
            next(waiting)
        except StopIteration as done:
            value: T = done.value
            return value
        raise AssertionError("it waits")

    def time_passes(self) -> None:
        self.now += self.chance.choice((1.0, LIFE, DAY / 3))

    # -- who stores ---------------------------------------------------------------------------

    def begin(self) -> None:
        content, path = self.chance.choice("xxxy"), self.chance.choice("ab")
        there: Sight | Claim
        if self.chance.random() < 0.3:
            claim = partial(self.metadata.claim, digest(content), now_s=self.now, life_s=LIFE)
            there = self.do(claim)
        else:
            look = partial(self.metadata.look, path, digest(content), now_s=self.now)
            there = self.do(look)
        self.writers.append(Writer(content, path, self.now, there))

    def store(self) -> None:
        if self.writers:
            self.arrive(self.chance.choice(self.writers))

    def arrive(self, writer: Writer) -> None:
        if writer.there.blob is None:
            self.objects.add(writer.there.key)
            writer.has_stored = True

    def refer(self) -> None:
        ready = [
            writer
            for writer in self.writers
            if (writer.has_stored or writer.there.blob) and self.now < writer.since_s + DAY
        ]
        if not ready:
            return
        writer = self.chance.choice(ready)
        version, imported = self.chance.choice((2, 2, 2, 1)), self.chance.random() < 0.2
        put = partial(self.metadata.put, writer.path, version, writer.blob, writer.claim)
        try:
            self.do(partial(put, now_s=self.now, imported=imported))
        except ClaimLost:
            self.leave(writer)
        self.writers.remove(writer)

    def leave(self, writer: Writer) -> None:
        if writer.claim is not None:
            self.do(partial(self.metadata.release, writer.claim))
        elif writer.there.blob is None:
            self.do(partial(self.metadata.unknown, [writer.there.key]))

    def give_up(self) -> None:
        """S3 may have got all of it nevertheless."""
        if self.writers:
            writer = self.chance.choice(self.writers)
            self.writers.remove(writer)
            self.leave(writer)
            if self.chance.random() < 0.5:
                self.arrive(writer)

    def delete(self) -> None:
        path = self.chance.choice("ab")
        self.do(partial(self.metadata.delete, path, 2, tombstone=True, now_s=self.now))

    # -- who cleans ---------------------------------------------------------------------------

    def choose(self) -> None:
        older_s = self.now + self.chance.choice((0.5, -LIFE))
        discard = partial(self.metadata.discard_orphans, older_than_s=older_s, now_s=self.now)
        self.do(partial(discard, limit=100))
        keys = self.do(partial(self.metadata.garbage, limit=100))
        if keys:
            self.batches.append(Batch(keys, self.now))

    def delete_at_s3(self) -> Batch | None:
        """The same DELETE may have come before, and may come again."""
        self.batches = [batch for batch in self.batches if self.now < batch.since_s + DAY]
        if not self.batches:
            return None
        batch = self.chance.choice(self.batches)
        self.objects.difference_update(batch.keys)
        return batch

    def collect(self) -> None:
        batch = self.delete_at_s3()
        if batch is not None:
            self.do(partial(self.metadata.collected, batch.keys, now_s=self.now))

    def compare(self) -> None:
        """However young they are."""
        known = {blob.key for blob in self.metadata.stored.values()}
        self.strays = sorted(self.objects - known)

    def sweep(self) -> None:
        self.do(partial(self.metadata.unknown, self.strays))

    def lose(self) -> None:
        """S3 loses it, and is asked."""
        blob = self.metadata.stored.get(digest("x"))
        if blob is not None and self.chance.random() < 0.3:
            self.objects.discard(blob.key)
            self.do(partial(self.metadata.mark_lost, blob, now_s=self.now))


@pytest.mark.parametrize("seed", range(10))
def test_no_file_is_broken(seed: int) -> None:
    for number in range(WALKS):
        walk = Walk(seed * WALKS + number)
        for _ in range(STEPS):
            walk.step()
        assert walk.do(walk.metadata.integrity) == []
