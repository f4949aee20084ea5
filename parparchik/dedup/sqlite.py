"""Metadata in a SQLite database: one file on a local disk, shared by all processes of this host.

Durability and order come from SQLite's transactions; this module decides which thread runs what.
Changes go through one writer per process (`sqlite_writer`), reads through a few connections beside
it (`sqlite_readers`). What they say in SQL is in `sqlite_files` and `sqlite_cleaning`.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Self

import trio
from outcome import Outcome

from parparchik.dedup import sqlite_cleaning as cleaning
from parparchik.dedup import sqlite_files as files
from parparchik.dedup import sqlite_integrity as integrity
from parparchik.dedup.bounds import NEWEST_S, OLDEST_S, check_path, check_version
from parparchik.dedup.faults import Fault
from parparchik.dedup.keys import Keys
from parparchik.dedup.sqlite_changes import Changes
from parparchik.dedup.sqlite_connection import Database
from parparchik.dedup.sqlite_readers import Readers
from parparchik.dedup.sqlite_writer import Change, Writer
from parparchik.dedup.types import Blob, Claim, File, Sight, Tombstone, Totals, Written
from parparchik.errors import MetadataUnavailable

PAGE = 1000
READERS = 4


class SqliteMetadata:
    """A Metadata. Open it with `open`, in each process anew; `close` it at the end.

    Every method raises MetadataUnavailable when the database cannot do it, and those that take a
    path or a version raise BadTarget for what cannot be one.
    """

    __slots__ = ("_changes", "_database", "_inode", "_keys", "_readers", "_writer")

    def __init__(self, database: Database, keys: Keys) -> None:
        self._database = database
        self._keys = keys
        self._writer = Writer(database)
        self._readers = Readers(database, READERS)
        self._changes = Changes(database)
        self._inode = database.file.stat().st_ino

    @classmethod
    async def open(cls, database: Database, keys: Keys) -> Self:
        """Create the file or bring it up to date. Raises ConfigError, MetadataUnavailable."""
        await trio.to_thread.run_sync(database.create)
        metadata = cls(database, keys)
        await trio.to_thread.run_sync(metadata._changes.open)
        return metadata

    async def close(self) -> None:
        """Changes that wait are made; reading has to have ended."""
        self._changes.close()
        await self._writer.close()
        await self._readers.close()

    def state(self) -> int | None:
        """As `recent.Watched` has it."""
        return self._changes.state()

    @property
    def is_prompt(self) -> bool:
        return True

    async def get(self, path: str) -> File | None:
        check_path(path)
        return await self._readers.ask(partial(files.get, path=path))

    async def look(self, path: str, digest: str, *, now_s: float) -> Sight:
        return await self._writer.do(self._look(path, digest, now_s))

    def look_soon(
        self, path: str, digest: str, *, now_s: float, then: Callable[[Outcome[Sight]], None]
    ) -> bool:
        return self._writer.do_soon(self._look(path, digest, now_s), then)

    def _look(self, path: str, digest: str, now_s: float) -> Change[Sight]:
        """With the changes that wait it costs a third of a way to a thread of its own."""
        check_path(path)
        return partial(files.look, keys=self._keys, path=path, digest=digest, now_s=now_s)

    async def claim(self, digest: str, *, now_s: float, life_s: float) -> Claim:
        change = partial(files.claim, keys=self._keys, digest=digest, now_s=now_s, life_s=life_s)
        return await self._writer.do(change)

    async def renew(self, claim: Claim, *, now_s: float, life_s: float) -> bool:
        change = partial(files.renew, claim=claim, now_s=now_s, life_s=life_s)
        return await self._writer.do(change)

    async def release(self, claim: Claim) -> None:
        await self._writer.do(partial(files.end_claim, digest=claim.digest, token=claim.token))

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
        token = claim.token if claim else None
        return await self._writer.do(
            _put(File(path, version_s, blob), token, now_s, imported=imported)
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
        return self._writer.do_soon(_put(File(path, version_s, blob), None, now_s), then)

    async def delete(self, path: str, version_s: int, *, tombstone: bool, now_s: float) -> Written:
        check_path(path)
        check_version(version_s)
        change = partial(
            files.delete, path=path, version_s=version_s, with_tombstone=tombstone, now_s=now_s
        )
        return await self._writer.do(change)

    async def tombstone(self, path: str) -> int | None:
        check_path(path)
        return await self._readers.ask(partial(files.tombstone, path=path))

    async def bury(self, path: str, version_s: int) -> bool:
        check_path(path)
        check_version(version_s)
        return await self._writer.do(partial(files.bury, path=path, version_s=version_s))

    async def tombstones(self) -> AsyncIterator[Sequence[Tombstone]]:
        page: Sequence[Tombstone] = ()
        while not page or len(page) == PAGE:
            after = page[-1].path if page else ""
            page = await self._readers.do(partial(files.tombstones_page, after=after, limit=PAGE))
            if not page:
                return
            yield page

    async def list(self, folder: str, *, until_s: int) -> AsyncIterator[Sequence[File]]:
        check_path(folder)
        until_s = max(OLDEST_S, min(until_s, NEWEST_S))
        page: Sequence[File] = ()
        while not page or len(page) == PAGE:
            after = page[-1].path if page else ""
            page = await self._readers.do(
                partial(files.list_page, folder=folder, after=after, until_s=until_s, limit=PAGE)
            )
            if not page:
                return
            yield page

    async def has_below(self, folder: str) -> bool:
        check_path(folder)
        return await self._readers.ask(partial(files.has_below, folder=folder))

    async def discard_orphans(self, *, older_than_s: float, now_s: float, limit: int) -> int:
        return await self._writer.do(
            partial(cleaning.discard_orphans, older_than_s=older_than_s, now_s=now_s, limit=limit)
        )

    async def garbage(self, *, limit: int) -> Sequence[str]:
        return await self._readers.do(partial(cleaning.garbage, limit=limit))

    async def collected(self, keys: Sequence[str], *, now_s: float) -> None:
        await self._writer.do(partial(cleaning.collected, keys=keys, now_s=now_s))

    async def unknown(self, keys: Sequence[str]) -> Sequence[str]:
        return await self._writer.do(partial(cleaning.unknown, keys=keys))

    async def blobs(self) -> AsyncIterator[Sequence[Blob]]:
        page: Sequence[Blob] = ()
        while not page or len(page) == PAGE:
            after = page[-1].digest if page else ""
            page = await self._readers.do(partial(cleaning.blobs_page, after=after, limit=PAGE))
            if not page:
                return
            yield page

    async def mark_lost(self, blob: Blob, *, now_s: float) -> bool:
        return await self._writer.do(partial(cleaning.mark_lost, blob=blob, now_s=now_s))

    async def restate(self, blob: Blob, stored_bytes: int) -> bool:
        change = partial(cleaning.restate, blob=blob, stored_bytes=stored_bytes)
        return await self._writer.do(change)

    async def mark_sound(self, blob: Blob) -> bool:
        return await self._writer.do(partial(cleaning.mark_sound, blob=blob))

    async def lead(self, owner: str, *, now_s: float, life_s: float) -> bool:
        change = partial(cleaning.lead, owner=owner, now_s=now_s, life_s=life_s)
        return await self._writer.do(change)

    async def totals(self) -> Totals:
        return await self._readers.do(cleaning.totals)

    async def check(self) -> None:
        """Reads and writes, and sees that the file is still the one that was opened."""
        await trio.to_thread.run_sync(self._check_file)
        await self._readers.do(partial(cleaning.garbage, limit=1))
        await self._writer.do(cleaning.touch)

    async def integrity(self) -> Sequence[Fault]:
        return await self._readers.do(integrity.faults)

    async def mend(self, *, now_s: float) -> int:
        return await self._writer.do(partial(integrity.mend, now_s=now_s))

    def _check_file(self) -> None:
        file = self._database.file
        try:
            same = os.stat(file).st_ino == self._inode
        except OSError as error:
            raise MetadataUnavailable(f"the dedup database {file}: {error.strerror}") from error
        if not same:
            raise MetadataUnavailable(
                f"the dedup database {file} was replaced by another file while it is in use:"
                " restart parparchik"
            )


def _put(file: File, token: str | None, now_s: float, *, imported: bool = False) -> Change[Written]:
    check_path(file.path)
    check_version(file.version_s)
    return partial(files.put, file=file, token=token, now_s=now_s, imported=imported)
