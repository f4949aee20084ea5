"""Disk caches in a directory of the test's, and pieces for them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from parparchik.cache.disk import DiskStore
from parparchik.cache.disk.format import file_name
from parparchik.cache.tiers import OpenPiece, PieceName, Record
from parparchik.content import ObjectName, Representation

SLICE = 64 * 1024
NOW_S = 1_800_000_000.0
MIB = 1 << 20


def name(key: str, bucket: str = "bucket") -> ObjectName:
    return ObjectName(bucket, key)


def piece(key: str, index: int = 0, coding: str = "", bucket: str = "bucket") -> PieceName:
    return PieceName(name(key, bucket), coding, index)


def record(
    size_bytes: int, etag: str = "one", *, confirmed_at_s: float = NOW_S, slice_bytes: int = SLICE
) -> Record:
    representation = Representation(
        size_bytes, 1_700_000_000, f'"{etag}"', "text/plain", (("cache-control", "max-age=5"),)
    )
    return Record(representation, confirmed_at_s, slice_bytes)


def content(seed: str, size_bytes: int) -> bytes:
    """Bytes that tell of what they are the content."""
    return hashlib.shake_128(seed.encode()).digest(size_bytes)


def read(opened: OpenPiece) -> bytes:
    return os.pread(opened.fd, opened.size_bytes + 1, opened.offset)[: opened.size_bytes]


async def load(disk: DiskStore, what: PieceName, known: Record) -> bytes | None:
    """What a reader gets."""
    opened = await disk.open(what, known)
    if opened is None:
        return None
    try:
        return read(opened)
    finally:
        opened.close()


async def put(disk: DiskStore, key: str, data: bytes, etag: str = "one") -> Record:
    """Save an object of one piece."""
    known = record(len(data), etag)
    assert await disk.save(piece(key), known, [data])
    return known


@asynccontextmanager
async def running(
    directory: Path, budget_bytes: int = 64 * MIB, *, rebuilt: bool = True, **settings: Any
) -> AsyncIterator[DiskStore]:
    settings.setdefault("now", lambda: NOW_S)
    disk = DiskStore(directory, budget_bytes, **settings)
    async with trio.open_nursery() as nursery:
        await nursery.start(disk.run)
        if rebuilt:
            await until_rebuilt(disk)
        yield disk
        nursery.cancel_scope.cancel()


async def until_rebuilt(disk: DiskStore) -> None:
    """By turns, not by time: a test's clock may stand still."""
    while not disk.statistics().rebuild_done:
        await trio.lowlevel.checkpoint()


async def until_gone(path: Path) -> None:
    while path.exists():  # noqa: ASYNC240
        await trio.lowlevel.checkpoint()


DATA = content("a", 10_000)
KNOWN = record(len(DATA))


async def fill(directory: Path, *keys: str) -> list[Path]:
    """What a process leaves that has saved DATA as each of them: their files."""
    async with running(directory) as disk:
        for key in keys:
            assert await disk.save(piece(key), KNOWN, [DATA])
    return [path_of(directory, key) for key in keys]


def path_of(directory: Path, key: str, index: int = 0) -> Path:
    digits = file_name(piece(key, index))
    return directory / digits[:2] / digits[2:4] / digits


def dropped(disk: DiskStore) -> dict[str, int]:
    """How many files it threw away, by why."""
    return {why: count for why, count in disk.statistics().dropped if count}


def piece_files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.glob("??/??/*") if path.is_file())


def used_bytes(directory: Path) -> int:
    """What the pieces on disk cost, by the rule that the budget is counted by."""
    sizes = [path.stat().st_size for path in (*piece_files(directory), *directory.glob("tmp/*"))]
    return sum(-(-size // 4096) * 4096 + 4096 for size in sizes)
