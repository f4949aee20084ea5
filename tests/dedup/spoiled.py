"""Other hands in the database of a Metadata: what no change of ours does, done to each of them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Protocol

from parparchik.dedup.redis_scripts import version_text
from parparchik.dedup.types import Metadata
from tests.dedup.fake_metadata import FakeMetadata
from tests.dedup.metadata_scene import KEYS, NOW, delete, put
from tests.dedup.metadata_stores import FILE_NAME
from tests.dedup.redis_process import RedisProcess, shared_redis


class Hands(Protocol):
    def mark_orphan(self, digest: str) -> None: ...

    def unmark_orphan(self, digest: str) -> None: ...

    def add_garbage(self, key: str) -> None: ...

    def add_file(self, path: str, digest: str) -> None: ...

    def drop_blob(self, digest: str) -> None: ...


class FakeHands:
    def __init__(self, metadata: FakeMetadata) -> None:
        self._it = metadata

    def mark_orphan(self, digest: str) -> None:
        self._it.orphaned_at[digest] = NOW

    def unmark_orphan(self, digest: str) -> None:
        del self._it.orphaned_at[digest]

    def add_garbage(self, key: str) -> None:
        self._it.waste.add(key)

    def add_file(self, path: str, digest: str) -> None:
        self._it.files[path] = (1, digest)

    def drop_blob(self, digest: str) -> None:
        del self._it.stored[digest]


class SqliteHands:
    def __init__(self, file: Path) -> None:
        self._file = file

    def mark_orphan(self, digest: str) -> None:
        self._do("UPDATE blobs SET orphaned_at = ? WHERE digest = ?", NOW, digest)

    def unmark_orphan(self, digest: str) -> None:
        self._do("UPDATE blobs SET orphaned_at = NULL WHERE digest = ?", digest)

    def add_garbage(self, key: str) -> None:
        self._do("INSERT INTO garbage (key) VALUES (?)", key)

    def add_file(self, path: str, digest: str) -> None:
        self._do("INSERT INTO files SELECT ?, 1, id FROM blobs WHERE digest = ?", path, digest)

    def drop_blob(self, digest: str) -> None:
        self._do("DELETE FROM blobs WHERE digest = ?", digest)

    def _do(self, statement: str, *values: object) -> None:
        with closing(sqlite3.connect(self._file, isolation_level=None)) as connection:
            assert connection.execute(statement, values).rowcount == 1


class RedisHands:
    def __init__(self, server: RedisProcess) -> None:
        self._server = server

    def mark_orphan(self, digest: str) -> None:
        self.do("ZADD", "orphans", f"{NOW}", digest)

    def unmark_orphan(self, digest: str) -> None:
        self.do("ZREM", "orphans", digest)

    def add_garbage(self, key: str) -> None:
        self.do("ZADD", "garbage", "0", key)

    def add_file(self, path: str, digest: str) -> None:
        self.do("HSET", "files", path, f"{version_text(1)} {digest}")
        self.do("ZADD", "paths", "0", path)
        self.do("ZADD", "refs", "0", f"{digest} {path}")

    def drop_blob(self, digest: str) -> None:
        for command, name in (("HDEL", "blobs"), ("ZREM", "digests")):
            self.do(command, name, digest)

    def do(self, command: str, name: str, *words: str) -> str:
        key = f"{{parparchik:{KEYS.bucket}/{KEYS.prefix}}}:{name}"
        answer = self._server.ask(command, key, *words)
        assert not answer.startswith("-"), answer
        return answer


async def fill(metadata: Metadata) -> None:
    """A file each of `x` and `y`, two of `both`, and an orphan `z`."""
    for path, content in (("a", "x"), ("b/c", "y"), ("b/d", "both"), ("e", "both"), ("f", "z")):
        await put(metadata, path, 1, content)
    await delete(metadata, "f", 1, tombstone=True)


def hands_in(metadata: Metadata, directory: Path) -> Hands:
    if isinstance(metadata, FakeMetadata):
        return FakeHands(metadata)
    file = directory / FILE_NAME
    return SqliteHands(file) if file.exists() else RedisHands(shared_redis())
