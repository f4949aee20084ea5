"""Words for the suite over every Metadata: short names, and times and keys of its own."""

from __future__ import annotations

import hashlib

from parparchik.dedup.keys import Keys
from parparchik.dedup.types import Blob, Claim, Metadata, Written

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
