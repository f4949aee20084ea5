"""Requests that were made once and are sent again and again, and what S3 answered to them.

A signature costs as much as the rest of a HEAD, and S3 accepts it for a quarter of an hour. And
what S3 says of an object is nearly always what it said before, but for the date and the number of
the answer: without these the bytes are the same, and then so is the `ObjectHead`, the very same
object, and nothing is parsed.

Kept is what S3 has said to be there: a flood of keys that nobody has leaves nothing behind. All
buckets share one limit, in bytes; what was signed longest ago goes first.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache

from parparchik.model import ObjectHead
from parparchik.s3.sigv4 import Credentials

SIGNATURE_LIFE_S = 180.0  # leaves most of S3's fifteen minutes to clocks that differ
KEPT_LIFE_S = 2 * SIGNATURE_LIFE_S  # after its signature; who is not asked for is forgotten
KEPT_MAX_BYTES = 160 << 20  # some 100,000 keys of ordinary length

_HEAD_END = b"\r\n\r\n"
_OVERHEAD_BYTES = 750  # of one that is kept: objects, their places in two tables, its ObjectHead

# What may differ from one answer to the next and says nothing of the object or the connection.
_VOLATILE = re.compile(rb"(\r\n(?:date|keep-alive|x-[a-z-]*id(?:-2)?): )[ -~]*", re.IGNORECASE)
_PLAIN = bytes(range(0x20, 0x7F))

Spans = tuple[tuple[int, int], ...]


class Prepared:
    """The request for one key, and the last answer that said that it is there."""

    __slots__ = (
        "_answer",
        "_head",
        "_home",
        "_shelf",
        "_telling",
        "credentials",
        "kept_bytes",
        "key",
        "request",
        "signed_s",
    )

    def __init__(self, key: str, shelf: Shelf, home: dict[str, Prepared]) -> None:
        """Kept, it can be found in `home` under its key."""
        self.key = key
        self.request = b""
        self.credentials: Credentials | None = None
        self.signed_s = 0.0
        self.kept_bytes = 0
        self._answer = b""
        self._telling: Spans = ()  # where in it is what is not volatile
        self._head: ObjectHead | None = None
        self._shelf = shelf
        self._home = home

    def sign(self, request: bytes, credentials: Credentials, now_s: float) -> None:
        self.request, self.credentials, self.signed_s = request, credentials, now_s
        if self.kept_bytes:
            self.keep()

    def learn(self, answer: bytes, head: ObjectHead) -> None:
        """`answer`, with nothing behind its head, left the connection usable."""
        self._answer, self._telling, self._head = answer, _telling(answer), head
        self.keep()

    def recognise(self, answer: bytes) -> ObjectHead | None:
        """What it says, if it is the one that was learnt."""
        learnt, head = self._answer, self._head
        if head is None:
            return None
        if len(answer) != len(learnt):  # a number may have got another digit
            if not _say_the_same(answer, learnt):
                return None
            self.learn(answer, head)
            return head
        for start, end in self._telling:
            if answer[start:end] != learnt[start:end]:
                return None
        # What is volatile must be plain text, in which no line and no head can end.
        same = answer.translate(None, _PLAIN) == learnt.translate(None, _PLAIN)
        return head if same else None

    def keep(self) -> None:
        """S3 has said that the object is there."""
        self._home[self.key] = self
        self._shelf.keep(self, len(self.request) + len(self._answer) + _OVERHEAD_BYTES)

    def drop(self) -> None:
        self.kept_bytes = 0
        if self._home.get(self.key) is self:
            del self._home[self.key]


def _telling(answer: bytes) -> Spans:
    ends = [0]
    for found in _VOLATILE.finditer(answer):
        ends += (found.end(1), found.end())
    return _shared((*zip(ends[::2], [*ends[1::2], len(answer)], strict=True),))


@lru_cache(maxsize=1024)
def _shared(spans: Spans) -> Spans:
    """One object for all that are equal: a server's answers are much alike."""
    return spans


def _say_the_same(answer: bytes, learnt: bytes) -> bool:
    """The head must end where the answer does: else what lies beyond could pass for something
    volatile."""
    return answer.find(_HEAD_END) == len(answer) - len(_HEAD_END) and _VOLATILE.sub(
        rb"\1", answer
    ) == _VOLATILE.sub(rb"\1", learnt)


class Shelf:
    """All that is kept; what was signed, or changed, longest ago comes first."""

    __slots__ = ("_max_bytes", "_order", "size_bytes")

    def __init__(self, max_bytes: int = KEPT_MAX_BYTES) -> None:
        self.size_bytes = 0
        self._max_bytes = max_bytes
        self._order: OrderedDict[Prepared, None] = OrderedDict()

    def keep(self, prepared: Prepared, size_bytes: int) -> None:
        """Put it last; it counts as `size_bytes`."""
        self.size_bytes += size_bytes - prepared.kept_bytes
        prepared.kept_bytes = size_bytes
        self._order[prepared] = None
        self._order.move_to_end(prepared)
        while self.size_bytes > self._max_bytes:
            self._drop_oldest()
        for _ in range(2):  # never many at once, and yet sooner than they get more
            oldest = next(iter(self._order), prepared)
            if oldest.signed_s + KEPT_LIFE_S > prepared.signed_s:
                return
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        prepared, _ = self._order.popitem(last=False)
        self.size_bytes -= prepared.kept_bytes
        prepared.drop()


class PreparedRequests:
    """Those of one bucket. `sign` makes a request for a key; `credentials` must return the same
    object as long as the credentials stay the same."""

    __slots__ = ("_credentials", "_kept", "_now", "_shelf", "_sign")

    def __init__(
        self,
        sign: Callable[[str, Credentials, float], bytes],
        *,
        credentials: Callable[[], Credentials],
        now: Callable[[], float],
        shelf: Shelf,
    ) -> None:
        self._sign = sign
        self._credentials = credentials
        self._now = now
        self._shelf = shelf
        self._kept: dict[str, Prepared] = {}

    def get(self, key: str) -> Prepared:
        """One that S3 accepts now. Raises what `credentials` raises."""
        credentials, now_s = self._credentials(), self._now()
        prepared = self._kept.get(key)
        if (
            prepared is not None
            and prepared.credentials is credentials
            # Nor from the future: a clock that was set back has signed for another time.
            and 0 <= now_s - prepared.signed_s < SIGNATURE_LIFE_S
        ):
            return prepared
        if prepared is None:
            prepared = Prepared(key, self._shelf, self._kept)
        prepared.sign(self._sign(key, credentials, now_s), credentials, now_s)
        return prepared
