"""Several processes on one bucket, as far as manifests go."""

from __future__ import annotations

from collections.abc import Sequence

from parparchik.registry import Registry
from parparchik.registry.entries import pack
from parparchik.registry.writer import ManifestWriter
from tests.fakes import FakeBucket


class Process:
    """One registry and its writer on a bucket that others write to as well."""

    def __init__(self, store: FakeBucket) -> None:
        self.registry = Registry([store.bucket])
        self.writer = ManifestWriter(self.registry, [store], 1.0)
        self.file = self.writer.files[0]

    async def begin(self) -> None:
        for rows in await self.file.read() or ():
            self.registry.load(0, rows)
        self.file.adopt(None)

    def add(self, *keys: str) -> None:
        for key in keys:
            self.registry.put(key, pack(0, 1, 1))

    @property
    def keys(self) -> set[str]:
        return {key for rows in self.registry.slices() for key, _ in rows}


async def processes(store: FakeBucket, count: int) -> Sequence[Process]:
    all_of_them = [Process(store) for _ in range(count)]
    for process in all_of_them:
        await process.begin()
    return all_of_them
