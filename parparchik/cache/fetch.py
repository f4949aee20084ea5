"""The pieces that are missing, from S3: by a fill for all, or a little for one reader alone."""

from __future__ import annotations

from collections.abc import Mapping

from parparchik.cache.fill import Fill
from parparchik.cache.generation import Changed, Entry, Generation
from parparchik.cache.passage import close
from parparchik.cache.workings import Workings
from parparchik.content import Download, NotModified, ObjectBytes, Span
from parparchik.errors import OutOfRange, PreconditionFailed, Truncated, Unavailable, UpstreamError

RUN_SLICES = 128
"""As many pieces as one request asks for at most."""


class Fetcher:
    """Every request says which generation it wants more of (If-Match), and what comes is looked at
    once more, for the sake of servers that do not know that condition. Where S3 has another object
    by now, the generation is forgotten, and Changed raised."""

    __slots__ = ("_background", "_counters", "_now", "_shelf", "_slots", "_sources")

    def __init__(self, sources: Mapping[str, ObjectBytes], workings: Workings) -> None:
        self._sources = sources
        self._shelf = workings.shelf
        self._slots = workings.slots
        self._background = workings.background
        self._counters = workings.counters
        self._now = workings.now

    def source(self, entry: Entry) -> ObjectBytes:
        """Raises Unavailable for a bucket that the cache was not given."""
        source = self._sources.get(entry.name.bucket)
        if source is None:
            raise Unavailable(f"the cache does not know the bucket {entry.name.bucket}")
        return source

    def fill(self, generation: Generation, first: int, last: int) -> Fill:
        return Fill(
            generation, first, last, self._shelf, slots=self._slots, counters=self._counters
        )

    def begin(self, generation: Generation, first: int, last: int) -> Fill:
        """Up to the next piece that is there, or on its way."""
        last = min(last, first + RUN_SLICES - 1, generation.count - 1)
        for index in range(first + 1, last + 1):
            if index in generation.pieces or self._shelf.has(generation, index):
                last = index - 1
                break
        fill = self.fill(generation, first, last)
        try:
            self._background.start(self._run, generation, fill)
        except UpstreamError as error:
            fill.end(error)
            raise
        return fill

    async def fetch(self, generation: Generation, span: Span) -> bytes:
        await self._slots.acquire()
        try:
            download = await self._open(generation, span)
            try:
                return await self._read(download, span)
            finally:
                await close(download)
        finally:
            self._slots.release()

    async def _run(self, generation: Generation, fill: Fill) -> None:
        try:
            await self._slots.acquire()
            try:
                wanted = Span(
                    generation.span_of(fill.first).first, generation.span_of(fill.last).last
                )
                download = await self._open(generation, wanted)
                fill.opened.land(None)
                await fill.pour(download)
            finally:
                self._slots.release()
        except UpstreamError as error:
            if not isinstance(error, Changed):
                self._counters.errors += 1
            fill.end(error)
        finally:
            fill.end(Unavailable("the cache is closing down"))

    async def _open(self, generation: Generation, span: Span) -> Download:
        """Of that generation, with that span in it."""
        entry = generation.entry
        asked_at_s = self._now()
        self._counters.requests += 1
        try:
            answer = await self.source(entry).open(
                entry.name.key,
                span=span if span.size_bytes < generation.size_bytes else None,
                if_match=generation.if_match,
            )
        except (PreconditionFailed, OutOfRange):
            answer = None
        if answer is None or isinstance(answer, NotModified):
            raise self._changed(generation)
        trouble: UpstreamError | None = None
        if not generation.is_same(answer.representation):
            trouble = self._changed(generation)
        elif answer.span.first > span.first or answer.span.last < span.last:
            trouble = Truncated(f"S3 sent {answer.span} where {span} was asked for")
        if trouble is not None:
            await close(answer)
            raise trouble
        self._shelf.confirm(generation, answer.representation, asked_at_s)
        return answer

    async def _read(self, download: Download, span: Span) -> bytes:
        data = bytearray()
        behind = span.first - download.span.first
        while len(data) < behind + span.size_bytes:
            block = await download.read()
            if not block:
                raise Truncated("S3 sent less than it had announced")
            self._counters.fetched_bytes += len(block)
            data += block
            if behind:
                gone = min(behind, len(data))
                del data[:gone]
                behind -= gone
        return bytes(data[: span.size_bytes])

    def _changed(self, generation: Generation) -> Changed:
        if generation.current:
            self._shelf.replace(generation.entry, None)
        return Changed("the object has changed while it was read")
