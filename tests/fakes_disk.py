"""A disk in memory: pieces are anonymous files. What it is asked to save can be held back, and may
fail."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import trio

from parparchik.cache import PieceName, Record
from parparchik.content import ObjectName


@dataclass
class FakePiece:
    fd: int
    offset: int
    size_bytes: int
    disk: FakeDisk

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            self.disk.opened -= 1


class FakeDisk:
    """`at` is awaited at the points "saving" (before it is kept) and "opening"; where there is one
    no piece is opened at once. `full`: nothing more is kept. `opened` counts pieces that are open,
    `saved` what was kept so far."""

    def __init__(self) -> None:
        self.files: dict[tuple[ObjectName, str], tuple[Record, dict[int, int]]] = {}
        self.forgotten: dict[ObjectName, int] = {}
        self.at: Callable[[str, PieceName], Awaitable[None]] | None = None
        self.full = False
        self.opened = 0
        self.opens = 0
        self.saved: list[PieceName] = []

    def record(self, name: ObjectName, coding: str) -> Record | None:
        kept = self.files.get((name, coding))
        return kept[0] if kept is not None else None

    def has(self, piece: PieceName, record: Record) -> bool:
        kept = self.files.get((piece.name, piece.coding))
        return kept is not None and _same(kept[0], record) and piece.number in kept[1]

    async def open(self, piece: PieceName, record: Record) -> FakePiece | None:
        if self.at is not None:
            await self.at("opening", piece)
        await trio.lowlevel.checkpoint()
        return self._open(piece, record)

    def open_nowait(self, piece: PieceName, record: Record) -> FakePiece | None:
        return self._open(piece, record) if self.at is None else None

    def _open(self, piece: PieceName, record: Record) -> FakePiece | None:
        if not self.has(piece, record):
            return None
        fd = os.dup(self.files[piece.name, piece.coding][1][piece.number])
        self.opened += 1
        self.opens += 1
        return FakePiece(fd, 0, os.fstat(fd).st_size, self)

    async def save(self, piece: PieceName, record: Record, blocks: Sequence[bytes]) -> bool:
        before = self.forgotten.get(piece.name, 0)
        if self.at is not None:
            await self.at("saving", piece)
        await trio.lowlevel.checkpoint()
        if self.full or self.forgotten.get(piece.name, 0) != before:
            return False
        kept = self.files.get((piece.name, piece.coding))
        if kept is None or not _same(kept[0], record):
            if kept is not None:
                self._close(kept[1])
            kept = self.files[piece.name, piece.coding] = (record, {})
        fd = os.memfd_create("piece")
        with os.fdopen(os.dup(fd), "wb") as file:
            file.writelines(blocks)
        if piece.number in kept[1]:
            os.close(kept[1][piece.number])
        kept[1][piece.number] = fd
        self.saved.append(piece)
        return True

    def forget(self, name: ObjectName) -> None:
        self.forgotten[name] = self.forgotten.get(name, 0) + 1
        for of in [of for of in self.files if of[0] == name]:
            self._close(self.files.pop(of)[1])

    async def forget_prefix(self, bucket: str, prefix: str) -> int:
        names = {
            name for name, _ in self.files if name.bucket == bucket and name.key.startswith(prefix)
        }
        for name in names:
            self.forget(name)
        await trio.lowlevel.checkpoint()
        return len(names)

    async def settle(self) -> bool:
        await trio.lowlevel.checkpoint()
        return True

    def confirm(self, name: ObjectName, coding: str, record: Record) -> None:
        kept = self.files.get((name, coding))
        if kept is not None and _same(kept[0], record):
            self.files[name, coding] = (record, kept[1])

    def drop(self, piece: PieceName) -> None:
        """As where there was no room left."""
        _, files = self.files[piece.name, piece.coding]
        os.close(files.pop(piece.number))
        if not files:
            del self.files[piece.name, piece.coding]

    def close(self) -> None:
        for _, files in self.files.values():
            self._close(files)
        self.files.clear()

    def _close(self, files: dict[int, int]) -> None:
        for fd in files.values():
            os.close(fd)


def _same(one: Record, other: Record) -> bool:
    return replace(one, confirmed_at_s=0) == replace(other, confirmed_at_s=0)
