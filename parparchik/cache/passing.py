"""What the cache gives of an object that it does not keep: bytes straight from S3."""

from __future__ import annotations

from parparchik.cache.generation import Changed
from parparchik.cache.lending import Lending
from parparchik.cache.passage import Passage, close
from parparchik.cache.types import Status
from parparchik.cache.workings import Workings
from parparchik.content import (
    Download,
    NotModified,
    ObjectBytes,
    ObjectName,
    Representation,
    Span,
)
from parparchik.errors import OutOfRange, PreconditionFailed, Truncated, UpstreamError
from parparchik.model import Content


class Passed:
    """For who asked, and once: of a second span S3 is asked anew."""

    __slots__ = (
        "_begun",
        "_confirmed_at_s",
        "_passage",
        "_source",
        "_workings",
        "fresh_for_s",
        "name",
        "representation",
    )

    def __init__(
        self,
        name: ObjectName,
        representation: Representation,
        passage: Passage | None,
        source: ObjectBytes,
        *,
        fresh_for_s: float,
        workings: Workings,
    ) -> None:
        self.name = name
        self.representation = representation
        self.fresh_for_s = fresh_for_s
        self._begun = False  # some of its bytes have been asked for
        self._passage = passage
        self._source = source
        self._workings = workings
        self._confirmed_at_s = workings.now()

    @property
    def status(self) -> Status:
        return "BYPASS"

    @property
    def age_s(self) -> int:
        passing_s = max(0, int(self._workings.now() - self._confirmed_at_s))
        return self.representation.age_s + passing_s

    @property
    def body(self) -> bytes | None:
        return None

    def content(self, span: Span) -> Content:
        download = self._passage.take(span) if self._passage is not None else None
        self._begun = self._begun or download is not None
        return Through(self, span, download)

    def content_nowait(self, span: Span) -> None:
        return None

    async def open(self, span: Span) -> Download:
        """That span of this very object. Raises Changed where it is another by now, or nobody can
        tell whether it is."""
        mine = self.representation
        if self._begun and not mine.recognizable:
            raise Changed("nothing says whether the object is still what it was")
        self._begun = True
        etag = "" if mine.etag.startswith("W/") else mine.etag
        self._workings.counters.requests += 1
        try:
            answer = await self._source.open(self.name.key, span=span, if_match=etag)
        except (PreconditionFailed, OutOfRange):
            answer = None
        if answer is None or isinstance(answer, NotModified):
            raise Changed("the object has changed while it was read")
        its = answer.representation
        trouble: UpstreamError | None = None
        if not mine.is_same(its):
            trouble = Changed("the object has changed while it was read")
        elif answer.span.first > span.first or answer.span.last < span.last:
            trouble = Truncated(f"S3 sent {answer.span} where {span} was asked for")
        if trouble is not None:
            await close(answer)
            raise trouble
        return answer

    @property
    def lending(self) -> Lending:
        return self._workings.lending

    def went(self, fetched_bytes: int, read_bytes: int) -> None:
        self._workings.counters.fetched_bytes += fetched_bytes
        self._workings.counters.read_bytes += read_bytes

    def part(self, download: Download) -> None:
        """Close it, by and by."""
        try:
            self._workings.background.start(close, download)
        except UpstreamError:
            return  # the cache is closed, and with it what its downloads came by


class Through:
    """A span of a download, or, where that is None, of one that is asked for when it is read."""

    __slots__ = ("_at", "_closed", "_download", "_end", "_passed", "_sent_at")

    def __init__(self, passed: Passed, span: Span, download: Download | None) -> None:
        self._passed = passed
        self._at = span.first
        self._end = span.last + 1
        self._download: Download | None = None
        self._sent_at = 0  # what the download sends next
        self._closed = False
        if download is not None:
            self._borrow(download)

    async def read(self) -> bytes | memoryview | None:
        if self._closed or self._at >= self._end:
            return None
        if self._download is None:
            self._borrow(await self._passed.open(Span(self._at, self._end - 1)))
        self._passed.lending.works(self)
        wanted = await self._read()
        self._passed.lending.rests(self)
        return wanted

    def let_go(self) -> None:
        download, self._download = self._download, None
        if download is not None:
            self._passed.lending.give_back(self)
            self._passed.part(download)

    def close(self) -> None:
        self._closed = True
        self.let_go()

    def _borrow(self, download: Download) -> None:
        self._download = download
        self._sent_at = download.span.first
        self._passed.lending.lend(self)

    async def _read(self) -> bytes | memoryview:
        while True:
            block = await self._download.read() if self._download is not None else b""
            if not block:
                raise Truncated("S3 sent less than it had announced")
            skip = self._at - self._sent_at
            self._sent_at += len(block)
            if skip >= len(block):
                self._passed.went(len(block), 0)
                continue
            wanted = memoryview(block)[skip : skip + self._end - self._at]
            self._at += len(wanted)
            self._passed.went(len(block), len(wanted))
            return block if len(wanted) == len(block) else wanted
