"""Words for the suite over every Metadata: short names, and times and keys of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import pytest
import trio
from outcome import Outcome

from parparchik.dedup.keys import Keys
from parparchik.dedup.types import Blob, Claim, Metadata, Sight, Written

KEYS = Keys("store/", 2)
NOW = 1_700_000_000.0
LIFE = 60.0
DAY = 24 * 3600.0
ALL = 2**63 - 1


def digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


async def claim(metadata: Metadata, content: str, now: float = NOW) -> Claim:
    return await metadata.claim(digest(content), now_s=now, life_s=LIFE)


def blob_at(claim: Claim, content: str) -> Blob:
    return claim.blob or Blob(claim.digest, claim.key, len(content), len(content) + 20)


async def put(
    metadata: Metadata,
    path: str,
    version: int,
    content: str,
    now: float = NOW,
    imported: bool = False,
) -> Written:
    held = await claim(metadata, content, now)
    blob = blob_at(held, content)
    return await metadata.put(path, version, blob, held, now_s=now, imported=imported)


async def delete(metadata: Metadata, path: str, version: int, tombstone: bool = False) -> Written:
    return await metadata.delete(path, version, tombstone=tombstone, now_s=NOW)


async def listed(metadata: Metadata, folder: str = "", until: int = ALL) -> list[str]:
    return [file.path for page in [p async for p in metadata.list(folder, until_s=until)]
            for file in page]  # fmt: skip


async def discard(metadata: Metadata, older: float, now: float, limit: int = 100) -> int:
    return await metadata.discard_orphans(older_than_s=older, now_s=now, limit=limit)


async def content_of(metadata: Metadata, path: str) -> str | None:
    file = await metadata.get(path)
    return None if file is None else file.blob.digest


# -- without a claim -----------------------------------------------------------------------------


class Way:
    """`is_soon`: what needs no claim goes without a task, where it can."""

    is_soon: ClassVar[bool] = False


async def told(begin: Callable[..., bool]) -> Outcome[Any] | None:
    """What it comes to, later and once; None where nothing was begun."""
    came: list[Outcome[Any]] = []
    is_told = trio.Event()

    def then(outcome: Outcome[Any]) -> None:
        came.append(outcome)
        is_told.set()

    if not begin(then=then):
        return None
    assert came == [], "never before it returns"
    with trio.fail_after(10):
        await is_told.wait()
    (only,) = came
    return only


async def look(metadata: Metadata, path: str = "a", content: str = "x", now: float = NOW) -> Sight:
    if Way.is_soon:
        came = await told(partial(metadata.look_soon, path, digest(content), now_s=now))
        if came is not None:
            sight: Sight = came.unwrap()
            return sight
    return await metadata.look(path, digest(content), now_s=now)


def stored_at(sight: Sight, content: str = "x", extra: int = 20) -> Blob:
    """Where there was no blob: that of `content`, as a gzip that is `extra` bytes longer."""
    return sight.blob or Blob(digest(content), sight.key, len(content), len(content) + extra)


async def refer(
    metadata: Metadata,
    path: str,
    version: int,
    blob: Blob,
    *,
    now: float = NOW,
    imported: bool = False,
) -> Written:
    if Way.is_soon and not imported:
        came = await told(partial(metadata.put_soon, path, version, blob, now_s=now))
        if came is not None:
            written: Written = came.unwrap()
            return written
    return await metadata.put(path, version, blob, None, now_s=now, imported=imported)


async def put_small(
    metadata: Metadata, path: str, version: int = 1, content: str = "x", now: float = NOW
) -> Blob:
    """As a store does it; what was stored or seen."""
    blob = stored_at(await look(metadata, path, content, now), content)
    assert (await refer(metadata, path, version, blob, now=now)).done
    return blob


async def blob_of(metadata: Metadata, path: str) -> Blob:
    return (await metadata.get(path) or pytest.fail("gone")).blob


async def known(metadata: Metadata) -> list[Blob]:
    return [blob async for page in metadata.blobs() for blob in page]


async def garbage(metadata: Metadata) -> list[str]:
    return sorted(await metadata.garbage(limit=99))


async def everything(metadata: Metadata) -> object:
    """All that a method that raises leaves as it is."""
    files = [file async for page in metadata.list("", until_s=2**63 - 1) for file in page]
    dead = {dead async for page in metadata.tombstones() for dead in page}
    return files, await known(metadata), await garbage(metadata), dead, await metadata.totals()


async def collect(metadata: Metadata, now: float = NOW) -> list[str]:
    """As the cleaner does it: S3 has deleted all garbage."""
    keys = await garbage(metadata)
    await metadata.collected(keys, now_s=now)
    return keys


async def make_garbage(metadata: Metadata, blob: Blob, now: float = NOW) -> None:
    """Of a blob that no file has."""
    assert await discard(metadata, now + DAY, now) == 1
    assert blob.key in await garbage(metadata)
