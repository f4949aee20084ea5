"""What S3 has of an object: asked when nothing is known, or no longer for sure."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from parparchik.cache.fetch import RUN_SLICES, Fetcher
from parparchik.cache.fill import Fill
from parparchik.cache.flight import Flight
from parparchik.cache.freshness import lifetime
from parparchik.cache.generation import Entry, Generation, Heard
from parparchik.cache.judge import Judge
from parparchik.cache.passage import Passage, close
from parparchik.cache.tiers import Record
from parparchik.cache.types import Policy, Status, Wanted
from parparchik.cache.workings import Workings
from parparchik.content import Download, NotModified, Representation, Span
from parparchik.errors import OutOfRange, Truncated, Unavailable, UpstreamError


class _Pouring(NamedTuple):
    """What is still to be read when the question has been answered."""

    download: Download
    fill: Fill


class _Question(NamedTuple):
    entry: Entry
    policy: Policy
    wanted: Wanted
    alone: bool
    slice_bytes: int
    asked_at_s: float


class Asker:
    """One question at a time is asked of an object for all who come meanwhile, except by those who
    are told not to share (`alone`): what may not be kept is nobody else's."""

    __slots__ = (
        "_background",
        "_config",
        "_counters",
        "_fetcher",
        "_judge",
        "_now",
        "_shelf",
        "_slots",
    )

    def __init__(self, fetcher: Fetcher, judge: Judge, workings: Workings) -> None:
        self._fetcher = fetcher
        self._judge = judge
        self._config = workings.config
        self._shelf = workings.shelf
        self._slots = workings.slots
        self._background = workings.background
        self._counters = workings.counters
        self._now = workings.now

    def begin(self, entry: Entry, policy: Policy, wanted: Wanted, *, alone: bool) -> Flight[Heard]:
        """Ask on behalf of the caller, to whom a passage belongs. Raises Unavailable."""
        flight: Flight[Heard] = Flight()
        self._background.start(self._run, entry, flight, policy, wanted, alone)
        if not alone:
            entry.flight = flight
        return flight

    async def _run(
        self, entry: Entry, flight: Flight[Heard], policy: Policy, wanted: Wanted, alone: bool
    ) -> None:
        try:
            await self._slots.acquire()
            try:
                heard, pouring = await self._ask(entry, policy, wanted, alone)
                entry.failed_at_s = None
                self._land(entry, flight, heard)
                if pouring is not None:
                    pouring.fill.opened.land(None)
                    await pouring.fill.pour(pouring.download)
            finally:
                self._slots.release()
            if heard.passage is not None:
                await heard.passage.attend()
        except UpstreamError as error:
            self._counters.errors += 1
            entry.failed_at_s = self._now()
            flight.fail(error)
        finally:
            flight.fail(Unavailable("the cache is closing down"))
            self._over(entry, flight)

    def _land(self, entry: Entry, flight: Flight[Heard], heard: Heard) -> None:
        flight.land(heard)
        self._over(entry, flight)

    def _over(self, entry: Entry, flight: Flight[Heard]) -> None:
        if entry.flight is flight:
            entry.flight = None
        self._shelf.memory.sweep(entry)

    async def _ask(
        self, entry: Entry, policy: Policy, wanted: Wanted, alone: bool
    ) -> tuple[Heard, _Pouring | None]:
        source = self._fetcher.source(entry)
        known = entry.generation
        asked_at_s = self._now()
        if wanted == "head":
            return await self._stat(entry, policy), None
        etag = ""
        if known is not None and not alone and self._judge.has_beginning(known, wanted):
            etag = known.representation.etag
        slice_bytes = known.slice_bytes if known is not None else self._config.slice_bytes
        span = wanted if isinstance(wanted, Span) else None
        if span is not None and not alone:
            span = _aligned(span, slice_bytes)
        self._counters.requests += 1
        try:
            answer = await source.open(entry.name.key, span=span, if_none_match=etag)
        except OutOfRange:  # so there is an object, shorter than that
            return await self._stat(entry, policy), None
        if answer is None:
            return self._absent(entry, asked_at_s), None
        if isinstance(answer, NotModified):
            if known is None:
                raise Truncated("S3 says not modified where nothing was known")
            self._shelf.confirm(known, _with(known.representation, answer), asked_at_s)
            return Heard("REVALIDATED", known, known.representation), None
        try:
            question = _Question(entry, policy, wanted, alone, slice_bytes, asked_at_s)
            return self._opened(question, answer)
        except BaseException:
            await close(answer)
            raise

    async def _stat(self, entry: Entry, policy: Policy) -> Heard:
        asked_at_s = self._now()
        self._counters.requests += 1
        representation = await self._fetcher.source(entry).stat(entry.name.key)
        if representation is None:
            return self._absent(entry, asked_at_s)
        if not lifetime(representation, policy, asked_at_s).kept:
            return self._unkept(entry, representation, None)
        known = entry.generation
        generation = self._adopt(entry, representation, asked_at_s, self._config.slice_bytes)
        status: Status = "REVALIDATED" if generation is known else "MISS"
        return Heard(status, generation, representation)

    def _opened(self, question: _Question, download: Download) -> tuple[Heard, _Pouring | None]:
        entry, policy, wanted, alone, slice_bytes, asked_at_s = question
        representation = download.representation
        if not lifetime(representation, policy, asked_at_s).kept:
            return self._unkept(entry, representation, download), None
        too_large = wanted == "whole" and representation.size_bytes > self._config.max_object_bytes
        if too_large or alone:
            self._adopt(entry, representation, asked_at_s, slice_bytes)
            return Heard("BYPASS", None, representation, Passage(download)), None
        generation = self._adopt(entry, representation, asked_at_s, slice_bytes)
        first = wanted.first // generation.slice_bytes if isinstance(wanted, Span) else 0
        sent = download.span
        last = (sent.last + 1) // generation.slice_bytes - 1
        if sent.last == representation.size_bytes - 1:
            last = generation.count - 1
        beyond = sent.last >= representation.size_bytes
        if sent.first > first * generation.slice_bytes or last < first or beyond:
            raise Truncated(f"S3 sent {sent} where piece {first} was asked for")
        fill = self._fetcher.fill(generation, first, last)
        return Heard("MISS", generation, representation), _Pouring(download, fill)

    def _adopt(
        self, entry: Entry, representation: Representation, at_s: float, slice_bytes: int
    ) -> Generation:
        """The generation that S3 had when it was asked: the one that is known, or a new one, in its
        place where that was not confirmed later."""
        known = entry.generation
        if known is not None and known.is_same(representation):
            self._shelf.confirm(known, representation, at_s)
            return known
        record = Record(representation, at_s, slice_bytes)
        generation = Generation(entry, record, self._fetcher)
        if known is not None and at_s < known.confirmed_at_s:
            return generation
        self._shelf.replace(entry, generation)
        if entry.live:
            self._shelf.memory.may_exist(entry.name)
        return generation

    def _absent(self, entry: Entry, at_s: float) -> Heard:
        known = entry.generation
        if known is None or at_s >= known.confirmed_at_s:
            self._shelf.replace(entry, None)
            if entry.live:
                self._shelf.memory.absent(entry.name, at_s)
        return Heard("MISS")

    def _unkept(
        self, entry: Entry, representation: Representation, download: Download | None
    ) -> Heard:
        known = entry.generation
        if known is not None and not known.is_same(representation):
            self._shelf.replace(entry, None)
        entry.passing = representation
        self._shelf.memory.charge(entry)
        passage = Passage(download) if download is not None else None
        return Heard("BYPASS", None, representation, passage)


def _aligned(span: Span, slice_bytes: int) -> Span:
    """Whole slices, from the one that the span begins in; no more than one request asks for."""
    first = span.first // slice_bytes * slice_bytes
    slices = min(span.last // slice_bytes - span.first // slice_bytes + 1, RUN_SLICES)
    return Span(first, first + slices * slice_bytes - 1)


def _with(representation: Representation, said: NotModified) -> Representation:
    """With the headers of a 304 in place of those it had (RFC 9111 section 3.2), and its age."""
    names = {name for name, _ in said.headers}
    if not names and said.age_s == representation.age_s:
        return representation
    kept = tuple(header for header in representation.headers if header[0] not in names)
    headers = tuple(sorted(kept + said.headers))
    return replace(representation, headers=headers, age_s=said.age_s)
