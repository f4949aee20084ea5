"""Request heads that were understood, by their very bytes.

A client asks for the same file with the same head again and again: then nothing is parsed, looked
up by name or rendered twice. A head is kept from the second time on that it comes, so that a flood
of heads that all differ costs little more than parsing them and pushes nothing out. No head is kept
that has a secret or an id of its own.
"""

from __future__ import annotations

from typing import NamedTuple

from parparchik.access import Record
from parparchik.edge.deed import Deed
from parparchik.model import Answer, Question
from parparchik.rfc import TraceParent

LARGEST_HEAD_BYTES = 2_048
GENERATION = 4_096
_SEEN_MAX = 65_536


class Announced(NamedTuple):
    """How an answer with content was written last: `beginning` and, of the whole of it, `record`
    are the same for one that says the same."""

    answer: Answer
    beginning: bytes
    record: Record

    def is_of(self, answer: Answer) -> bool:
        mine = self.answer
        return (
            mine.headers is answer.headers
            and mine.length == answer.length
            and mine.status == answer.status
            and mine.kind == answer.kind
            and mine.open_ended == answer.open_ended
        )


class Understood:
    """What a head asks. `ends`: the connection does after its answer. `wants_body` is false for
    HEAD, `knows_chunks` for HTTP/1.0. `request_id` is the client's, b'' where we give one;
    `api_key` and `trace` are what it shows: no head that has either is kept. `deed` is the question
    where it has yet to be given a body: it is good for one request, and never kept.
    `answer`, `beginning`, `body` and `record` are what was answered last, as it was written: only
    what may be written again, and is small enough to lie about here. `announced`: likewise, of one
    with content."""

    __slots__ = (
        "announced",
        "answer",
        "answer_nowait",
        "api_key",
        "beginning",
        "body",
        "deed",
        "ends",
        "forwarded_for",
        "knows_chunks",
        "method",
        "question",
        "record",
        "request_id",
        "target",
        "trace",
        "wants_body",
    )

    record: Record

    def __init__(
        self,
        question: Question,
        method: str,
        target: bytes,
        *,
        ends: bool,
        request_id: bytes,
        forwarded_for: bytes = b"",
        knows_chunks: bool = True,
        api_key: bytes = b"",
        trace: TraceParent | None = None,
        deed: Deed | None = None,
    ) -> None:
        self.question = question
        self.deed = deed
        self.answer_nowait = question.answer_nowait
        self.method = method
        self.target = target
        self.ends = ends
        self.wants_body = method != "HEAD"
        self.request_id = request_id
        self.forwarded_for = forwarded_for
        self.knows_chunks = knows_chunks
        self.api_key = api_key
        self.trace = trace
        self.announced: Announced | None = None
        self.answer: Answer | None = None
        self.beginning = self.body = b""


class Memo:
    """Two generations of at most 4,096 heads: when the younger is full it becomes the older, and
    what is not asked for until the next is full is forgotten."""

    __slots__ = ("_old", "_seen", "young")

    def __init__(self) -> None:
        self.young: dict[bytes, Understood] = {}
        self._old: dict[bytes, Understood] = {}
        self._seen: set[int] = set()

    def __len__(self) -> int:
        return len(self.young) + len(self._old)

    def get(self, head: bytes) -> Understood | None:
        understood = self.young.get(head)
        if understood is None:
            understood = self._old.pop(head, None)
            if understood is not None:
                self._keep(head, understood)
        return understood

    def offer(self, head: bytes, understood: Understood) -> None:
        """Keep `head` if it is worth it."""
        if len(head) > LARGEST_HEAD_BYTES:
            return
        mark = hash(head)
        if mark in self._seen:
            self._seen.discard(mark)
            self._keep(head, understood)
            return
        if len(self._seen) >= _SEEN_MAX:
            self._seen.clear()
        self._seen.add(mark)

    def clear(self) -> None:
        self.young.clear()
        self._old.clear()

    def _keep(self, head: bytes, understood: Understood) -> None:
        if len(self.young) >= GENERATION:
            self._old = self.young.copy()
            # In place: whoever serves looks here directly.
            self.young.clear()
        self.young[head] = understood
