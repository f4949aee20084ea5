"""What the buckets hold, by listing: for a registry without manifests, and for `/list?sync=true`.

All buckets are listed in parallel into one picture, which is applied only when every listing
ended well: half a picture would look like a thousand deletions.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import trio

from parparchik.errors import UpstreamError
from parparchik.model import ObjectStore
from parparchik.registry.entries import Registry, bucket_index, pack
from parparchik.registry.progress import Progress
from parparchik.registry.verify import Resolver

_SLICE = 1000


class Picture:
    """The objects of all buckets: for every key the bucket of highest priority that has it."""

    def __init__(self) -> None:
        self.found: dict[str, int] = {}  # key -> packed
        self.duplicates: set[str] = set()

    def add(self, key: str, packed: int) -> None:
        old = self.found.setdefault(key, packed)
        if bucket_index(old) != bucket_index(packed):
            self.duplicates.add(key)
            if bucket_index(packed) < bucket_index(old):
                self.found[key] = packed


async def list_all(stores: Sequence[ObjectStore], progress: Progress) -> Picture:
    """List every bucket. Raises the first UpstreamError."""
    picture = Picture()
    failures: list[UpstreamError] = []

    async def list_bucket(index: int, store: ObjectStore) -> None:
        token: str | None = None
        while not failures:
            try:
                page = await store.list_page(token=token)
            except UpstreamError as error:
                failures.append(error)
                return
            for item in page.objects:
                if not store.bucket.reserves(item.key):
                    head = item.head
                    picture.add(item.key, pack(index, head.size_bytes, head.last_modified_s))
            progress.advance(len(page.objects))
            if page.next_token is not None and page.next_token == token:
                name = store.bucket.name
                failures.append(UpstreamError(f"the listing of bucket {name!r} goes in circles"))
            token = page.next_token
            if token is None:
                return

    async with trio.open_nursery() as nursery:
        for index, store in enumerate(stores):
            nursery.start_soon(list_bucket, index, store)
    if failures:
        raise failures[0]
    return picture


async def apply(picture: Picture, registry: Registry, resolver: Resolver, since: float) -> None:
    """Make the registry what the picture shows, in slices. What a request has verified since
    monotonic time `since`, when the listing began, is newer than the picture and stays."""
    for rows in registry.slices():
        for key, _ in rows:
            if key not in picture.found and not resolver.settled_since(key, since):
                registry.discard(key)
        await trio.lowlevel.checkpoint()
    pending = iter(picture.found.items())
    while found := list(islice(pending, _SLICE)):
        for key, packed in found:
            if not resolver.settled_since(key, since):
                registry.put(key, packed)
                registry.set_duplicate(key, key in picture.duplicates)
        await trio.lowlevel.checkpoint()
