"""The metadata store that the settings name, open for as long as a task of ours runs.

What stands on it is put together before. Until it is open, everything waits, for a moment, and
raises MetadataUnavailable then.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar
from urllib.parse import urlsplit

import trio
from outcome import Error, Outcome

from parparchik.dedup.faults import Fault
from parparchik.dedup.keys import Keys
from parparchik.dedup.parting import pages_closed
from parparchik.dedup.redis import RedisMetadata
from parparchik.dedup.redis_server import check_redis
from parparchik.dedup.sqlite import SqliteMetadata
from parparchik.dedup.sqlite_connection import Database
from parparchik.dedup.types import Blob, Claim, File, Metadata, Sight, Tombstone, Totals, Written
from parparchik.errors import ConfigError, MetadataUnavailable, UpstreamError

PATIENCE_S = 5.0
"""For the database to be opened, at the start."""

T = TypeVar("T")


Opened = AbstractAsyncContextManager[Metadata]


def opener_of(url: str, keys: Keys) -> Callable[[], Opened]:
    """What opens the store at `url` (see DedupConfig), each time anew. Raises ConfigError where
    that cannot work at all."""
    make = _BY_SCHEME.get(url.partition(":")[0])
    if make is None:
        known = ", ".join(f"{scheme}://" for scheme in _BY_SCHEME)
        raise ConfigError(f"PARPARCHIK_DEDUP_METADATA: this edition has no store but {known}")
    return make(url, keys)


def _sqlite(url: str, keys: Keys) -> Callable[[], Opened]:
    return partial(_opened_sqlite, Database(sqlite_file(url)), keys)


@asynccontextmanager
async def _opened_sqlite(database: Database, keys: Keys) -> AsyncIterator[Metadata]:
    metadata = await SqliteMetadata.open(database, keys)
    try:
        yield metadata
    finally:
        with trio.CancelScope(shield=True):
            await metadata.close()


def _redis(url: str, keys: Keys) -> Callable[[], Opened]:
    check_redis(url)
    return partial(RedisMetadata.open, url, place_of(url), keys)


def sqlite_file(url: str) -> Path:
    """Raises ConfigError where its directory is missing: a database in a directory that was not
    mounted would be an empty one."""
    file = Path(url.removeprefix("sqlite:///")).absolute()
    if not file.parent.is_dir():
        slashes = "" if url.startswith("sqlite:////") else "; sqlite://// begins an absolute path"
        raise ConfigError(
            f"PARPARCHIK_DEDUP_METADATA: the directory {file.parent} does not exist{slashes}"
        )
    if file.is_dir():
        raise ConfigError(f"PARPARCHIK_DEDUP_METADATA: {file} is a directory, not a database")
    return file


_BY_SCHEME: Mapping[str, Callable[[str, Keys], Callable[[], Opened]]] = MappingProxyType(
    {"sqlite": _sqlite, "redis": _redis, "rediss": _redis}
)


def place_of(url: str) -> str:
    """What messages may call it: without a password."""
    if url.startswith("sqlite:"):
        return url
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


@dataclass(slots=True)
class Asked:
    """How often, how often in vain, and how long all together that took."""

    count: int = 0
    errors: int = 0
    seconds: float = 0.0


class OpenedMetadata:
    """`Metadata` of what the settings name, while `run` runs. `asked` is by operation."""

    def __init__(self, url: str, keys: Keys) -> None:
        """Raises ConfigError."""
        self._url = url
        self._opener = opener_of(url, keys)
        self._metadata: Metadata | None = None
        self._is_open = trio.Event()
        self.asked: dict[str, Asked] = {}

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        async with self._opener() as metadata:
            self._metadata = metadata
            self._is_open.set()
            try:
                task_status.started()
                await trio.sleep_forever()
            finally:
                self._metadata = None
                self._is_open = trio.Event()

    async def _open(self) -> Metadata:
        if self._metadata is None:
            with trio.move_on_after(PATIENCE_S):
                await self._is_open.wait()
        if self._metadata is None:
            raise MetadataUnavailable(f"the dedup database {place_of(self._url)} is not open")
        return self._metadata

    def state(self) -> int | None:
        """As `recent.Watched` has it; of Redis, which would have to be asked, it is never known."""
        metadata = self._metadata
        return metadata.state() if isinstance(metadata, SqliteMetadata) else None

    @property
    def is_prompt(self) -> bool:
        return self._metadata is not None and self._metadata.is_prompt

    async def get(self, path: str) -> File | None:
        return await self._ask("get", lambda metadata: metadata.get(path))

    async def look(self, path: str, digest: str, *, now_s: float) -> Sight:
        return await self._ask("look", lambda metadata: metadata.look(path, digest, now_s=now_s))

    def look_soon(
        self, path: str, digest: str, *, now_s: float, then: Callable[[Outcome[Sight]], None]
    ) -> bool:
        metadata, tell = self._metadata, self._counting("look", then)
        return metadata is not None and metadata.look_soon(path, digest, now_s=now_s, then=tell)

    async def claim(self, digest: str, *, now_s: float, life_s: float) -> Claim:
        return await self._ask(
            "claim", lambda metadata: metadata.claim(digest, now_s=now_s, life_s=life_s)
        )

    async def renew(self, claim: Claim, *, now_s: float, life_s: float) -> bool:
        return await self._ask(
            "renew", lambda metadata: metadata.renew(claim, now_s=now_s, life_s=life_s)
        )

    async def release(self, claim: Claim) -> None:
        await self._ask("release", lambda metadata: metadata.release(claim))

    async def put(
        self,
        path: str,
        version_s: int,
        blob: Blob,
        claim: Claim | None,
        *,
        now_s: float,
        imported: bool = False,
    ) -> Written:
        return await self._ask(
            "put",
            lambda metadata: metadata.put(
                path, version_s, blob, claim, now_s=now_s, imported=imported
            ),
        )

    def put_soon(
        self,
        path: str,
        version_s: int,
        blob: Blob,
        *,
        now_s: float,
        then: Callable[[Outcome[Written]], None],
    ) -> bool:
        metadata, tell = self._metadata, self._counting("put", then)
        return metadata is not None and metadata.put_soon(
            path, version_s, blob, now_s=now_s, then=tell
        )

    async def delete(self, path: str, version_s: int, *, tombstone: bool, now_s: float) -> Written:
        return await self._ask(
            "delete",
            lambda metadata: metadata.delete(path, version_s, tombstone=tombstone, now_s=now_s),
        )

    async def tombstone(self, path: str) -> int | None:
        return await self._ask("tombstone", lambda metadata: metadata.tombstone(path))

    async def bury(self, path: str, version_s: int) -> bool:
        return await self._ask("bury", lambda metadata: metadata.bury(path, version_s))

    async def tombstones(self) -> AsyncIterator[Sequence[Tombstone]]:
        metadata = await self._open()
        async with pages_closed(metadata.tombstones()) as pages:
            async for page in pages:
                yield page

    async def list(self, folder: str, *, until_s: int) -> AsyncIterator[Sequence[File]]:
        metadata = await self._open()
        async with pages_closed(metadata.list(folder, until_s=until_s)) as pages:
            async for page in pages:
                yield page

    async def has_below(self, folder: str) -> bool:
        return await self._ask("has_below", lambda metadata: metadata.has_below(folder))

    async def discard_orphans(self, *, older_than_s: float, now_s: float, limit: int) -> int:
        return await self._ask(
            "discard_orphans",
            lambda metadata: metadata.discard_orphans(
                older_than_s=older_than_s, now_s=now_s, limit=limit
            ),
        )

    async def garbage(self, *, limit: int) -> Sequence[str]:
        return await self._ask("garbage", lambda metadata: metadata.garbage(limit=limit))

    async def collected(self, keys: Sequence[str], *, now_s: float) -> None:
        await self._ask("collected", lambda metadata: metadata.collected(keys, now_s=now_s))

    async def unknown(self, keys: Sequence[str]) -> Sequence[str]:
        return await self._ask("unknown", lambda metadata: metadata.unknown(keys))

    async def blobs(self) -> AsyncIterator[Sequence[Blob]]:
        metadata = await self._open()
        async with pages_closed(metadata.blobs()) as pages:
            async for page in pages:
                yield page

    async def mark_lost(self, blob: Blob, *, now_s: float) -> bool:
        return await self._ask("mark_lost", lambda metadata: metadata.mark_lost(blob, now_s=now_s))

    async def restate(self, blob: Blob, stored_bytes: int) -> bool:
        return await self._ask("restate", lambda metadata: metadata.restate(blob, stored_bytes))

    async def mark_sound(self, blob: Blob) -> bool:
        return await self._ask("mark_sound", lambda metadata: metadata.mark_sound(blob))

    async def lead(self, owner: str, *, now_s: float, life_s: float) -> bool:
        return await self._ask(
            "lead", lambda metadata: metadata.lead(owner, now_s=now_s, life_s=life_s)
        )

    async def totals(self) -> Totals:
        return await self._ask("totals", lambda metadata: metadata.totals())

    async def integrity(self) -> Sequence[Fault]:
        return await self._ask("integrity", lambda metadata: metadata.integrity())

    async def mend(self, *, now_s: float) -> int:
        return await self._ask("mend", lambda metadata: metadata.mend(now_s=now_s))

    async def check(self) -> None:
        await self._ask("check", lambda metadata: metadata.check())

    def _counting(
        self, operation: str, then: Callable[[Outcome[T]], None]
    ) -> Callable[[Outcome[T]], None]:
        began_s = trio.current_time()

        def tell(came: Outcome[T]) -> None:
            asked = self.asked.setdefault(operation, Asked())
            asked.count += 1
            asked.seconds += trio.current_time() - began_s
            asked.errors += isinstance(came, Error) and isinstance(came.error, UpstreamError)
            then(came)

        return tell

    async def _ask(self, operation: str, ask: Callable[[Metadata], Awaitable[T]]) -> T:
        asked = self.asked.setdefault(operation, Asked())
        asked.count += 1
        began_s = trio.current_time()
        try:
            return await ask(await self._open())
        except UpstreamError:
            asked.errors += 1
            raise
        finally:
            asked.seconds += trio.current_time() - began_s
