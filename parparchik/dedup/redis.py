"""Metadata in Redis or Valkey (6 or newer), for processes on several hosts.

Every method is one Lua script (`redis_files`, `redis_cleaning`), which Redis runs and replicates
as one step. How durable that is says the server's `appendfsync`: with `always` every change that
was acknowledged; with `everysec` all but those of the last second before the power failed.
A file with content of its own takes about 1.2 kB of memory. The server is one of its own or a
primary behind one address: its replicas and Sentinel are not asked who that is.

A failover to a replica that was behind loses the last changes, in their order, whole ones. What
that means:

- Lost `put`: the file is not there, or has its older content, which S3 still has, as orphans are
  kept for the cleaner's grace. The blob is unknown, and is collected by the sweep.
- Lost `delete`: the file is there again, with a blob that S3 still has: before an object is deleted
  `garbage` waits until every replica that is connected has what made it garbage. Only a replica
  that had no connection then can bring back what S3 has not got any more: `clean` and `verify`
  report such blobs as missing.
- Lost claim: `put` raises ClaimLost, and storing begins anew.
- `put` without a claim, after a `look` at what is lost: the blob that was seen, or stored at the
  key that was free, is added as a new one. S3 has it: what was made garbage since then is garbage
  here, too, or is not deleted, but for the same replica that had no connection.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

from outcome import Outcome

from parparchik.dedup import redis_cleaning as cleaning
from parparchik.dedup import redis_files as files
from parparchik.dedup.bounds import NEWEST_S, OLDEST_S, check_path, check_version
from parparchik.dedup.faults import Fault
from parparchik.dedup.keys import REST_S, Keys
from parparchik.dedup.redis_inspection import Inspection
from parparchik.dedup.redis_scripts import version_of, version_text
from parparchik.dedup.redis_server import Advice, RedisServer
from parparchik.dedup.types import Blob, Claim, File, Sight, Tombstone, Totals, Written
from parparchik.errors import ClaimLost, MetadataUnavailable, PathConflict

PAGE = 500

_CONFLICTS = {
    "folder": "a folder has that name",
    "file": "a file has the name of a folder above it",
}
BATCH = 1000  # of what one script changes: nobody else is served meanwhile


class RedisMetadata:
    """A Metadata. Open it with `open`.

    Every method raises MetadataUnavailable when the server cannot do it, and those that take a path
    or a version raise BadTarget for what cannot be one.
    """

    __slots__ = ("_keys", "_server")

    def __init__(self, server: RedisServer, keys: Keys) -> None:
        self._server = server
        self._keys = keys

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, place: str, keys: Keys) -> AsyncIterator[Self]:
        """`place` is what messages call it. The database may hold several stores, of different
        buckets or prefixes. Raises ConfigError."""
        name = f"parparchik:{keys.bucket}/{keys.prefix}"
        async with RedisServer.open(url, place, name) as server:
            yield cls(server, keys)

    # -- files ----------------------------------------------------------------------------------

    @property
    def is_prompt(self) -> bool:
        return False

    async def get(self, path: str) -> File | None:
        check_path(path)
        found = await self._server.read(files.GET, path)
        return None if found is None else _file(path, *found)

    async def look(self, path: str, digest: str, *, now_s: float) -> Sight:
        check_path(path)
        while True:
            free = (self._keys.plain(digest), self._keys.another(digest))
            asked = (path, digest, *free, _time(now_s - REST_S))
            came, *seen = await self._server.read(files.LOOK, *asked)
            if came in _CONFLICTS:
                raise PathConflict(_CONFLICTS[came])
            if came == "seen":
                key, blob, version = seen
                return Sight(_version(version), None if blob is None else _blob(digest, blob), key)

    def look_soon(
        self, path: str, digest: str, *, now_s: float, then: Callable[[Outcome[Sight]], None]
    ) -> bool:
        return False

    async def claim(self, digest: str, *, now_s: float, life_s: float) -> Claim:
        token = secrets.token_hex(16)
        while True:
            free = (self._keys.plain(digest), self._keys.another(digest))
            times = (_time(now_s + life_s), _time(now_s - REST_S))
            found = await self._server.run(files.CLAIM, digest, *free, token, *times)
            if found is not None:
                key, blob = found
                return Claim(token, digest, key, None if blob is None else _blob(digest, blob))

    async def renew(self, claim: Claim, *, now_s: float, life_s: float) -> bool:
        times = (_time(now_s), _time(now_s + life_s))
        return bool(await self._server.run(files.RENEW, claim.token, *times))

    async def release(self, claim: Claim) -> None:
        await self._server.run(files.RELEASE, claim.token)

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
        check_path(path)
        check_version(version_s)
        what = (path, version_text(version_s), blob.digest, blob.key)
        sizes = (str(blob.logical_bytes), str(blob.stored_bytes))
        token = "" if claim is None else claim.token
        how = (token, _time(now_s), _flag(imported), _time(now_s - REST_S))
        came, *version = await self._server.run(files.PUT, *what, *sizes, *how)
        if came == "lost":
            raise ClaimLost("storing took longer than its claim on the content held; try again")
        if came == "waste":
            raise ClaimLost("what was stored was taken for garbage meanwhile; try again")
        if came == "gone":
            raise ClaimLost("what S3 had of the content was lost meanwhile; try again")
        if came in _CONFLICTS:
            raise PathConflict(_CONFLICTS[came])
        return _written(came, *version)

    def put_soon(
        self,
        path: str,
        version_s: int,
        blob: Blob,
        *,
        now_s: float,
        then: Callable[[Outcome[Written]], None],
    ) -> bool:
        return False

    async def delete(self, path: str, version_s: int, *, tombstone: bool, now_s: float) -> Written:
        check_path(path)
        check_version(version_s)
        what = (path, version_text(version_s), _flag(tombstone), _time(now_s))
        return _written(*await self._server.run(files.DELETE, *what))

    async def tombstone(self, path: str) -> int | None:
        check_path(path)
        found = await self._server.read(files.TOMBSTONE, path)
        return None if found is None else version_of(found)

    async def bury(self, path: str, version_s: int) -> bool:
        check_path(path)
        check_version(version_s)
        return bool(await self._server.run(files.BURY, path, version_text(version_s)))

    async def tombstones(self) -> AsyncIterator[Sequence[Tombstone]]:
        cursor = ""
        while cursor != "0":
            cursor, rows = await self._server.read(files.TOMBSTONES, cursor or "0", str(PAGE))
            pairs = zip(rows[::2], rows[1::2], strict=True)
            if page := [Tombstone(path, version_of(version)) for path, version in pairs]:
                yield page

    async def list(self, folder: str, *, until_s: int) -> AsyncIterator[Sequence[File]]:
        check_path(folder)
        until = version_text(max(OLDEST_S, min(until_s, NEWEST_S)))
        after, high = _below(folder)
        looked_at = PAGE
        while looked_at == PAGE:
            found = await self._server.read(files.LIST, after, high, str(PAGE), until)
            looked_at, last, *rows = found
            after = f"({last}"
            page = [_file(*rows[at : at + 3]) for at in range(0, len(rows), 3)]
            if page:
                yield page

    async def has_below(self, folder: str) -> bool:
        check_path(folder)
        return bool(await self._server.read(files.HAS_BELOW, *_below(folder)))

    # -- cleaning -------------------------------------------------------------------------------

    async def discard_orphans(self, *, older_than_s: float, now_s: float, limit: int) -> int:
        while await self._server.run(cleaning.EXPIRE, _time(now_s), str(BATCH)) == BATCH:
            pass
        discarded = 0
        while discarded < limit:
            batch = min(BATCH, limit - discarded)
            script = cleaning.DISCARD_ORPHANS
            count = int(await self._server.run(script, _time(older_than_s), str(batch)))
            discarded += count
            if count < batch:
                break
        return discarded

    async def garbage(self, *, limit: int) -> Sequence[str]:
        """Raises MetadataUnavailable, too, while a replica is behind: promoted, it would refer to
        what is deleted."""
        if limit < 1:
            return []
        found: list[str] = await self._server.read(cleaning.GARBAGE, str(limit))
        if found:
            await self._server.replicated(cleaning.TOUCH)
        return found

    async def collected(self, keys: Sequence[str], *, now_s: float) -> None:
        # Longer than a day: the clocks of those who ask differ.
        times = (_time(now_s), _time(now_s - 2 * REST_S))
        for at in range(0, len(keys), BATCH):
            await self._server.run(cleaning.COLLECTED, *times, *keys[at : at + BATCH])

    async def unknown(self, keys: Sequence[str]) -> Sequence[str]:
        found: list[str] = []
        for at in range(0, len(keys), BATCH):
            found += await self._server.run(cleaning.UNKNOWN, *keys[at : at + BATCH])
        return found

    async def blobs(self) -> AsyncIterator[Sequence[Blob]]:
        after = "-"
        rows: list[str] = []
        while not rows or len(rows) == 2 * PAGE:
            rows = await self._server.read(cleaning.BLOBS, after, str(PAGE))
            if not rows:
                return
            yield [_blob(*rows[at : at + 2]) for at in range(0, len(rows), 2)]
            after = f"({rows[-2]}"

    async def mark_lost(self, blob: Blob, *, now_s: float) -> bool:
        what = (blob.digest, blob.key, _time(now_s))
        return bool(await self._server.run(cleaning.MARK_LOST, *what))

    async def restate(self, blob: Blob, stored_bytes: int) -> bool:
        what = (blob.digest, blob.key, str(stored_bytes))
        return bool(await self._server.run(cleaning.RESTATE, *what))

    async def mark_sound(self, blob: Blob) -> bool:
        return bool(await self._server.run(cleaning.MARK_SOUND, blob.digest, blob.key))

    async def lead(self, owner: str, *, now_s: float, life_s: float) -> bool:
        times = (_time(now_s), _time(now_s + life_s))
        return bool(await self._server.run(cleaning.LEAD, owner, *times))

    async def totals(self) -> Totals:
        return Totals(*(int(number) for number in await self._server.read(cleaning.TOTALS)))

    async def check(self) -> None:
        """Reads and writes."""
        await self._server.run(cleaning.TOUCH)

    async def advice(self) -> Sequence[Advice] | None:
        """On each of the server's settings that loses changes; None where it does not tell."""
        return await self._server.advice()

    async def integrity(self) -> Sequence[Fault]:
        """Counters are compared only where nothing changes meanwhile."""
        return await Inspection(self._server).faults()

    async def mend(self, *, now_s: float) -> int:
        return await Inspection(self._server, mends_at=_time(now_s)).mend()


def _below(folder: str) -> tuple[str, str]:
    """Between which paths those below it lie: `0` comes right after `/`."""
    return (f"[{folder}/", f"({folder}0") if folder else ("-", "+")


def _file(path: str, file: str, blob: str) -> File:
    version, _, digest = file.partition(" ")
    return File(path, version_of(version), _blob(digest, blob))


def _blob(digest: str, text: str | None) -> Blob:
    """Raises MetadataUnavailable where a file's blob is not known: the file is there, somewhere."""
    if text is None:
        raise MetadataUnavailable(
            f"the dedup database has no blob {digest}, to which files refer: restore it"
            " (`parparchik dedup import`)"
        )
    logical_bytes, stored_bytes, key = text.split(" ", 2)
    return Blob(digest, key, int(logical_bytes), int(stored_bytes))


def _written(came: Any, version: Any) -> Written:
    return Written(_version(version), done=came == "done")


def _version(text: str | None) -> int | None:
    return None if text is None else version_of(text)


def _time(seconds: float) -> str:
    return repr(float(seconds))


def _flag(is_set: bool) -> str:
    return "1" if is_set else ""
