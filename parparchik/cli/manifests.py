"""Manifests as commands read them: nothing is kept aside, nothing written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import trio

from parparchik.errors import UpstreamError
from parparchik.model import Bucket, ObjectStore
from parparchik.registry import BadManifest, decode


@dataclass(frozen=True, slots=True)
class ReadManifest:
    """One bucket's manifest. `rows` are (key, packed) as the registry takes them, None where
    there is no manifest or none that could be read; `problem` then says why, '' for "none yet"."""

    bucket: Bucket
    rows: tuple[tuple[str, int], ...] | None
    problem: str = ""


async def read_manifests(stores: Sequence[ObjectStore]) -> tuple[ReadManifest, ...]:
    """All manifests, read in parallel, in the buckets' order. Failures are values."""
    read: dict[int, ReadManifest] = {}

    async def read_one(index: int, store: ObjectStore) -> None:
        rows: list[tuple[str, int]] = []
        try:
            found = await store.get(store.bucket.manifest_key)
            if found is None:
                read[index] = ReadManifest(store.bucket, None)
                return
            for piece in decode(found.data, store.bucket, index):
                rows += piece
        except (UpstreamError, BadManifest) as error:
            read[index] = ReadManifest(store.bucket, None, str(error))
        else:
            read[index] = ReadManifest(store.bucket, tuple(rows))

    async with trio.open_nursery() as nursery:
        for index, store in enumerate(stores):
            nursery.start_soon(read_one, index, store)
    return tuple(read[index] for index in range(len(stores)))
