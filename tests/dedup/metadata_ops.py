"""What the machines do to two stores alike, and how what came of it is compared."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from parparchik.dedup.types import Blob, Claim, Metadata, Sight
from parparchik.errors import ParparchikError
from tests.dedup.metadata_scene import ALL, LIFE, blob_at, digest

PATHS = ("a", "a/b", "a/b/c", "a-", "é")


class Pair(NamedTuple):
    """One claim, as each of the two gave it."""

    content: str
    ours: Claim
    fake: Claim


class Seen(NamedTuple):
    """What each of the two said when it was looked at, as it was stored since."""

    content: str
    ours: Sight
    fake: Sight
    extra: int  # bytes of the gzip


Mine = Callable[[Any], Any]


class Op(NamedTuple):
    """The same thing done to either: `do` is given the store, and which of a Pair or a Seen is its
    own."""

    do: Callable[[Metadata, Mine, float], Awaitable[Any]]


def put_op(pair: Pair, path: str, version: int, imported: bool) -> Op:
    async def do(store: Metadata, mine: Mine, now: float) -> Any:
        held = mine(pair)
        blob = blob_at(held, pair.content)
        return await store.put(path, version, blob, held, now_s=now, imported=imported)

    return Op(do)


def refer_op(seen: Seen, path: str, version: int, imported: bool) -> Op:
    """A put without a claim."""

    async def do(store: Metadata, mine: Mine, now: float) -> Any:
        sight: Sight = mine(seen)
        size = len(seen.content)
        blob = sight.blob or Blob(digest(seen.content), sight.key, size, size + seen.extra)
        return await store.put(path, version, blob, None, now_s=now, imported=imported)

    return Op(do)


def discard_key_op(seen: Seen) -> Op:
    """Of who gives up."""

    async def do(store: Metadata, mine: Mine, now: float) -> Any:
        return len(await store.unknown([mine(seen).key]))

    return Op(do)


def delete_op(path: str, version: int, tombstone: bool) -> Op:
    async def do(store: Metadata, mine: Mine, now: float) -> Any:
        return await store.delete(path, version, tombstone=tombstone, now_s=now)

    return Op(do)


def release_op(pair: Pair) -> Op:
    async def do(store: Metadata, mine: Mine, now: float) -> Any:
        return await store.release(mine(pair))

    return Op(do)


def renew_op(pair: Pair) -> Op:
    async def do(store: Metadata, mine: Mine, now: float) -> Any:
        return await store.renew(mine(pair), now_s=now, life_s=LIFE)

    return Op(do)


def lost_op(content: str, is_lost: bool) -> Op:
    """Of whatever blob it is: marked lost, or sound again."""

    async def do(store: Metadata, mine: Mine, now: float) -> Any:
        blobs = [blob async for page in store.blobs() for blob in page]
        return [
            await (store.mark_lost(blob, now_s=now) if is_lost else store.mark_sound(blob))
            for blob in blobs
            if blob.digest == digest(content)
        ]

    return Op(do)


def restate_op(content: str, stored_bytes: int) -> Op:
    async def do(store: Metadata, mine: Mine, now: float) -> Any:
        blobs = [blob async for page in store.blobs() for blob in page]
        return [
            await store.restate(blob, stored_bytes)
            for blob in blobs
            if blob.digest == digest(content)
        ]

    return Op(do)


def lose_there_op(what: Pair | Seen) -> Op:
    """As one step: the blob at its key, if there is one."""

    async def do(store: Metadata, mine: Mine, now: float) -> Any:
        blob = Blob(digest(what.content), mine(what).key, 0, 0)
        return await store.mark_lost(blob, now_s=now)

    return Op(do)


def restate_there_op(what: Pair | Seen) -> Op:
    async def do(store: Metadata, mine: Mine, now: float) -> Any:
        return await store.restate(Blob(digest(what.content), mine(what).key, 0, 0), 40)

    return Op(do)


def discard_op(grace: float, limit: int) -> Op:
    async def do(store: Metadata, mine: Mine, now: float) -> Any:
        return await store.discard_orphans(older_than_s=now - grace, now_s=now, limit=limit)

    return Op(do)


async def caught(do: Awaitable[Any]) -> Any:
    """What came of it; errors are compared by their class."""
    try:
        return await do
    except ParparchikError as error:
        return type(error)


async def state(store: Metadata, name: Callable[[str], str]) -> Any:
    """All that can be seen of it, with keys as `name` calls them."""

    def named(blob: Blob) -> Blob:
        return blob._replace(key=name(blob.key))

    return (
        [
            file._replace(blob=named(file.blob))
            async for page in store.list("", until_s=ALL)
            for file in page
        ],
        [named(blob) async for page in store.blobs() for blob in page],
        sorted([name(key) for key in await store.garbage(limit=10_000)]),
        [await store.tombstone(path) for path in PATHS],
        {dead async for page in store.tombstones() for dead in page},
        await store.totals(),
    )
