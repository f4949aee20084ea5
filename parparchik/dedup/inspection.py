"""What the metadata store that the settings name is like, before anybody works with it.

Nothing is made and nothing is brought up to date: whoever looks need not be who will serve.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

import trio

from parparchik.dedup.keys import Keys
from parparchik.dedup.opening import opener_of, place_of, sqlite_file
from parparchik.dedup.redis import RedisMetadata
from parparchik.dedup.redis_server import check_redis
from parparchik.dedup.sqlite_schema import APPLICATION_ID, NEWEST
from parparchik.errors import ConfigError, MetadataUnavailable

# The first hundred bytes of a database file: https://www.sqlite.org/fileformat.html section 1.3.
_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\0"
_USER_VERSION_AT, _APPLICATION_ID_AT = 60, 68

_SILENT = (
    "the server does not tell its settings: see to it that appendonly is yes, appendfsync always or"
    " everysec, and maxmemory-policy noeviction"
)


@dataclass(frozen=True, slots=True)
class Inspected:
    """`found` in a few words. `is_new`: it knows of nothing yet. `doubts`: what could not be seen
    or will change, a sentence each; `dangers`: what loses changes, and what to do."""

    found: str
    is_new: bool = False
    doubts: tuple[str, ...] = ()
    dangers: tuple[str, ...] = ()


async def inspect_metadata(url: str, keys: Keys, *, may_write: bool) -> Inspected:
    """`url` as in DedupConfig. With `may_write` the store is written to, which leaves nothing.
    Raises ConfigError and MetadataUnavailable, which say what to change."""
    if url.startswith("sqlite:"):
        return await _inspect_sqlite(url, keys, may_write=may_write)
    return await _inspect_redis(url, keys, may_write=may_write)


async def _inspect_sqlite(url: str, keys: Keys, *, may_write: bool) -> Inspected:
    file = sqlite_file(url)
    version = await trio.to_thread.run_sync(_version_in, file)
    if version is None:
        if not os.access(file.parent, os.W_OK | os.X_OK):
            raise ConfigError(f"PARPARCHIK_DEDUP_METADATA: {file.parent} cannot be written to")
        return Inspected(f"{file}: none yet, the first start makes it", is_new=True)
    if version > NEWEST:
        raise ConfigError(
            f"{file} has version {version}, written by a newer parparchik; this one knows up to"
            f" {NEWEST}: run the newer one, or restore a backup from before the upgrade"
        )
    if version < NEWEST:
        doubt = f"the next start makes version {NEWEST} of it, which older programs cannot read"
        return Inspected(f"{file}, version {version}", doubts=(doubt,))
    if not may_write:
        return Inspected(f"{file}, version {version}")
    async with opener_of(url, keys)() as metadata:
        await metadata.check()
    return Inspected(f"{file}, version {version}, can be written")


def _version_in(file: Path) -> int | None:
    """As the file itself says: a connection would leave files beside it. None: there is none."""
    try:
        with file.open("rb") as opened:
            header = opened.read(_HEADER_BYTES)
    except FileNotFoundError:
        header = b""
    except OSError as error:
        raise MetadataUnavailable(f"the dedup database {file}: {error.strerror}") from error
    if not header:
        return None
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise ConfigError(f"{file} is no SQLite database: name another file for the dedup store")
    (version,) = struct.unpack_from(">I", header, _USER_VERSION_AT)
    (owner,) = struct.unpack_from(">I", header, _APPLICATION_ID_AT)
    if owner != APPLICATION_ID:
        raise ConfigError(
            f"{file} is a database of another program; name a file of its own for the dedup store"
        )
    return int(version)


async def _inspect_redis(url: str, keys: Keys, *, may_write: bool) -> Inspected:
    check_redis(url)
    seen: Inspected | MetadataUnavailable
    async with RedisMetadata.open(url, place_of(url), keys) as metadata:
        try:
            seen = await _ask_redis(metadata, place_of(url), may_write=may_write)
        except MetadataUnavailable as error:
            seen = error  # to be raised outside of its nursery, as what it is
    if isinstance(seen, MetadataUnavailable):
        raise seen
    return seen


async def _ask_redis(metadata: RedisMetadata, place: str, *, may_write: bool) -> Inspected:
    if may_write:
        await metadata.check()
    totals = await metadata.totals()
    advice = await metadata.advice()
    return Inspected(
        f"{place}, files: {totals.files}{', can be written' if may_write else ''}",
        is_new=totals.files + totals.blobs == 0,
        doubts=(_SILENT,) if advice is None else (),
        dangers=tuple(f"{one.sentence}, not {one.value!r}" for one in advice or ()),
    )
