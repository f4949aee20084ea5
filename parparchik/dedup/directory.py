"""A filetracker server's directory, read without the server: its `links` point to blobs in gzip.

The version of a file is when its link was modified. Nothing may be changed while it is read.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Self

import trio

from parparchik.dedup.parting import pages_closed
from parparchik.dedup.upstream import Fetched, Known
from parparchik.errors import UpstreamError

_PAGE = 1000
_READ_BYTES = 1 << 18


class FiletrackerDirectory:
    """`migration.Source`."""

    def __init__(self, directory: Path) -> None:
        self._links = directory / "links"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        pass

    async def paths(self) -> AsyncIterator[str]:
        found = _walk(self._links)
        while page := await trio.to_thread.run_sync(_take, found):
            for path in page:
                yield path

    async def stat(self, path: str) -> Known | None:
        return await trio.to_thread.run_sync(self._stat, path)

    @asynccontextmanager
    async def fetch(self, path: str) -> AsyncIterator[Fetched | None]:
        known = await self.stat(path)
        if known is None:
            yield None
            return
        try:
            file = await trio.to_thread.run_sync(self._open, path)
        except OSError as error:
            raise UpstreamError(f"its content cannot be read: {error.strerror}") from error
        try:
            async with pages_closed(_pieces(file)) as pieces:
                yield Fetched(known, pieces)
        finally:
            file.close()

    def _stat(self, path: str) -> Known | None:
        link = self._links / path
        try:
            version_s = int(link.lstat().st_mtime // 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UpstreamError(f"the link cannot be read: {error.strerror}") from error
        return Known(version_s, gzip=True, size_bytes=None, logical_bytes=None)

    def _open(self, path: str) -> BinaryIO:
        return (self._links / path).open("rb")


def _walk(links: Path) -> Iterator[str]:
    for folder, _, names in os.walk(links, onerror=_raise):
        for name in names:
            yield os.path.relpath(os.path.join(folder, name), links)


def _raise(error: OSError) -> None:
    raise UpstreamError(f"the links cannot be read: {error.strerror}") from error


def _take(found: Iterator[str]) -> list[str]:
    return list(islice(found, _PAGE))


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    while piece := await trio.to_thread.run_sync(file.read, _READ_BYTES):
        yield piece
