"""Objects in another coding: made once, and kept beside what they were made from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace

import trio

from parparchik.cache.counters import Counters
from parparchik.cache.fill import Fill
from parparchik.cache.flight import Flight
from parparchik.cache.found import Giver, Kept
from parparchik.cache.generation import Changed, Generation
from parparchik.cache.slots import Slots
from parparchik.cache.tiers import Record
from parparchik.cache.types import Absent, Coding
from parparchik.cache.workings import Workings
from parparchik.content import Representation, Span
from parparchik.errors import Unavailable, UpstreamError
from parparchik.model import FileBlock
from parparchik.rfc import coded_etag, parse_etag

Make = Callable[[Sequence[bytes]], bytes]

AT_ONCE = 4
"""As many are being made at a time: each has its whole source in memory."""
BLOCK_BYTES = 1 << 20

_NONE = Absent()


class Variants:
    """They belong to the generation that they were made from and go with it."""

    __slots__ = (
        "_apart",
        "_background",
        "_counters",
        "_giver",
        "_making",
        "_max_bytes",
        "_shelf",
        "_slots",
        "_turns",
    )

    def __init__(self, giver: Giver, workings: Workings) -> None:
        config = workings.config
        self._max_bytes = config.compress_max_bytes
        self._shelf = workings.shelf
        self._giver = giver
        self._background = workings.background
        self._counters = workings.counters
        self._apart = Counters()  # what is made here has not been fetched
        self._slots = Slots(config.max_fills)  # nor does it need a request to S3
        self._turns = trio.Semaphore(AT_ONCE)
        self._making: dict[tuple[Generation, Coding], Flight[Generation | None]] = {}

    def find_nowait(self, found: object, coding: Coding) -> Kept | Absent | None:
        if not isinstance(found, Kept) or not self._has_room(found.generation):
            return _NONE
        source = found.generation
        if coding not in source.variants:
            return None
        variant = source.variants[coding]
        if variant is None:
            return _NONE
        piece = variant.pieces.get(0)
        if piece is not None:
            self._shelf.touch(variant, piece)
        return found.variant(coding, variant) if self._shelf.has_all(variant) else None

    async def find(self, found: object, coding: Coding, make: Make) -> Kept | None:
        if not isinstance(found, Kept) or not self._has_room(found.generation):
            return None
        source = found.generation
        if coding not in source.variants:
            self._recall(source, coding, make)
        variant = source.variants.get(coding)
        if variant is not None:
            await self._shelf.load(variant)
        if variant is None and coding in source.variants:
            return None
        if variant is None or not self._shelf.has_all(variant):
            flight = self._making.get((source, coding))
            if flight is None:
                flight = Flight()
                self._background.start(self._make, source, coding, make, flight)
                self._making[source, coding] = flight
            variant = await flight.wait()
        return found.variant(coding, variant) if variant is not None else None

    async def remake(self, variant: Generation, make: Make, digest: bytes) -> bytes:
        """What it consisted of; Changed where it has become something else."""
        data = await self._made(variant.source or variant, make)
        if hashlib.sha256(data).digest() != digest:
            raise Changed("the variant cannot be made again as it was")
        return data

    def fill(self, variant: Generation, first: int, last: int) -> Fill:
        return Fill(variant, first, last, self._shelf, slots=self._slots, counters=self._apart)

    def start_remaking(self, variant: Generation, fill: Fill, make: Make, digest: bytes) -> None:
        self._background.start(self._refill, variant, fill, make, digest)

    def _has_room(self, source: Generation) -> bool:
        return not source.coding and source.size_bytes <= self._max_bytes

    def _recall(self, source: Generation, coding: Coding, make: Make) -> None:
        """Know again what the disk has of it."""
        etag = source.representation.etag
        record = self._shelf.record(source.entry.name, coding) if source.current else None
        if record is not None and etag and record.source_etag == etag:
            supply = _Again(self, make, b"")
            source.variants[coding] = Generation(source.entry, record, supply, coding=coding)

    async def _make(
        self, source: Generation, coding: Coding, make: Make, flight: Flight[Generation | None]
    ) -> None:
        try:
            data = await self._made(source, make)
            self._counters.original_bytes += source.size_bytes
            if len(data) >= source.size_bytes:
                self._counters.coded_bytes += source.size_bytes
                source.variants[coding] = None
                return
            self._counters.coded_bytes += len(data)
            # One piece: whoever has its file open has all of it, also when it is outdated, and
            # nothing is left that it could be made of again.
            record = Record(
                _coded(source.representation, coding, len(data)),
                source.confirmed_at_s,
                max(source.slice_bytes, len(data)),
                source.representation.etag,
            )
            supply = _Again(self, make, hashlib.sha256(data).digest())
            variant = Generation(source.entry, record, supply, coding=coding)
            source.variants[coding] = variant
            fill = self.fill(variant, 0, variant.count - 1)
            fill.opened.land(None)
            flight.land(variant)
            await fill.pour(_Ready(record.representation, data))
        except UpstreamError as error:
            flight.fail(error)
        finally:
            del self._making[source, coding]
            flight.land(None)  # where nothing else came of it: as it is, then

    async def _refill(self, variant: Generation, fill: Fill, make: Make, digest: bytes) -> None:
        try:
            data = await self.remake(variant, make, digest)
            fill.opened.land(None)
            await fill.pour(_Ready(variant.representation, data))
        except UpstreamError as error:
            fill.end(error)
        finally:
            fill.end(Unavailable("the cache is closing down"))

    async def _made(self, source: Generation, make: Make) -> bytes:
        async with self._turns:
            reader = self._giver.read(source, Span(0, source.size_bytes - 1))
            blocks: list[bytes] = []
            try:
                while (block := await reader.read()) is not None:
                    if isinstance(block, FileBlock):
                        blocks.append(await trio.to_thread.run_sync(_from_file, block))
                    else:
                        blocks.append(bytes(block))
            finally:
                reader.close()
            return await trio.to_thread.run_sync(make, blocks)


class _Again:
    """A variant's supply: what is missing of it is made again. An empty `digest`: it came from a
    disk and cannot be told from another."""

    __slots__ = ("_digest", "_make", "_variants")

    def __init__(self, variants: Variants, make: Make, digest: bytes) -> None:
        self._variants = variants
        self._make = make
        self._digest = digest

    def begin(self, generation: Generation, first: int, last: int) -> Fill:
        fill = self._variants.fill(generation, first, generation.count - 1)
        try:
            self._variants.start_remaking(generation, fill, self._make, self._digest)
        except UpstreamError as error:
            fill.end(error)
            raise
        return fill

    async def fetch(self, generation: Generation, span: Span) -> bytes:
        data = await self._variants.remake(generation, self._make, self._digest)
        return data[span.first : span.last + 1]


class _Ready:
    """A download of what is here already."""

    __slots__ = ("_at", "_data", "representation", "span")

    def __init__(self, representation: Representation, data: bytes) -> None:
        self.representation = representation
        self.span = Span(0, len(data) - 1)
        self._data = data
        self._at = 0

    async def read(self) -> bytes:
        block = self._data[self._at : self._at + BLOCK_BYTES]
        self._at += len(block)
        return block

    async def aclose(self) -> None:
        self._data = b""


def _coded(representation: Representation, coding: Coding, size_bytes: int) -> Representation:
    etag = parse_etag(representation.etag)
    headers = [header for header in representation.headers if header[0] != "content-encoding"]
    return replace(
        representation,
        size_bytes=size_bytes,
        etag=str(coded_etag(etag, coding)) if etag is not None else "",
        headers=tuple(sorted([*headers, ("content-encoding", coding)])),
    )


def _from_file(block: FileBlock) -> bytes:
    return os.pread(block.fd, block.size_bytes, block.offset)
