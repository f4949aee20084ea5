"""From a request's head to the bytes of its answer. Knows questions, and no connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import structlog

from parparchik.access import CLIENT_GONE, AccessLog, RateLimiter, Record, RequestIds
from parparchik.edge.clock import DateClock
from parparchik.edge.deed import Act
from parparchik.edge.framing import Refusal
from parparchik.edge.head import Head, parse_head
from parparchik.edge.limits import Limits
from parparchik.edge.memo import Announced, Memo, Understood
from parparchik.edge.refusing import refuse
from parparchik.edge.render import CHUNKED, ENDS, GOES_ON, render_beginning
from parparchik.edge.understand import Ask, may_be_kept, understand
from parparchik.errors import ParparchikError
from parparchik.model import Answer
from parparchik.routes import failure, problem

LARGEST_KEPT_BYTES = 4_096
"""Of bodies: whoever makes them counts their bytes, and may have let go of one that is kept with a
head."""

log = structlog.get_logger(__name__)


_NONE: Mapping[bytes, Understood] = MappingProxyType({})


class Failed:
    """A question that could not be asked."""

    def answer_nowait(self) -> Answer:
        return problem(500)

    def answer_soon(self, then: object) -> bool:
        return False

    async def answer(self) -> Answer:
        return problem(500)


class TooMany:
    """A request that is not asked, since its client asks too often."""

    def __init__(self, refusal: Answer) -> None:
        self._refusal = refusal

    def answer_nowait(self) -> Answer:
        return self._refusal

    def answer_soon(self, then: object) -> bool:
        return False

    async def answer(self) -> Answer:
        return self._refusal


def failed(head: Head) -> Understood:
    method = head.method.decode("ascii")
    ends = not head.keep_alive or bool(head.content_length)  # what follows is its body
    return Understood(Failed(), method, head.target, ends=ends, request_id=b"")


class Answering:
    """What is asked, and how that is written and recorded. `renew` changes whom is asked."""

    def __init__(
        self,
        *,
        ask: Ask,
        act: Act,
        access: AccessLog,
        request_ids: RequestIds,
        limits: Limits,
        limiter: RateLimiter | None = None,
    ) -> None:
        self.access = access
        self.memo = Memo()
        self.dates = DateClock()
        self.new_id = request_ids.new
        self._ask = ask
        self._act = act
        self._limits = limits
        self._limit(limiter)

    def renew(
        self, ask: Ask, act: Act, access: AccessLog, limiter: RateLimiter | None = None
    ) -> None:
        self._ask = ask
        self._act = act
        self.access = access
        self._limit(limiter)
        self.memo.clear()

    def _limit(self, limiter: RateLimiter | None) -> None:
        self.limiter = limiter
        # Heads that may be answered by their bytes alone: none where each request has to be
        # counted as its client's.
        self.at_once: Mapping[bytes, Understood] = self.memo.young if limiter is None else _NONE

    def understand(self, head: bytes) -> Understood | None:
        """What a whole head asks; None where others answer it. Raises Unsound."""
        known = self.memo.get(head)
        if known is None:
            parsed = parse_head(head)
            try:
                known = understand(parsed, self._ask, self._act, self._limits)
            except Exception:  # the client is owed an answer, whatever failed
                log.exception("request failed")
                return failed(parsed)
            if known is not None and known.deed is None and may_be_kept(parsed):
                self.memo.offer(head, known)
        return known

    def within_limits(self, known: Understood, client: str) -> Understood:
        """`known`, counted as a request of whoever has connected from `client`; or, where it is one
        too many, one that is answered with that."""
        if self.limiter is None:
            return known
        refusal = self.limiter.refuse(client, known.api_key, known.forwarded_for)
        if refusal is None:
            return known
        return Understood(
            *(TooMany(refusal), known.method, known.target),
            ends=known.ends,
            request_id=known.request_id,
            forwarded_for=known.forwarded_for,
            knows_chunks=known.knows_chunks,
            trace=known.trace,
        )

    def answer_nowait(self, known: Understood) -> Answer | None:
        """The answer from memory. The client is owed one, whatever fails."""
        try:
            return known.answer_nowait()
        except ParparchikError as error:
            return failure(error, kind="other")
        except Exception:
            log.exception("request failed")
            return problem(500)

    def prepare(self, known: Understood, answer: Answer) -> bool:
        """Make ready what is the same whenever `known` is answered with `answer`. False: it is
        written once, and not from there."""
        if answer is known.answer:
            return True
        if answer.content is not None or answer.open_ended or len(answer.body) > LARGEST_KEPT_BYTES:
            return False
        known.answer = answer
        known.beginning = render_beginning(answer)
        known.body = body_of(known, answer)
        known.record = self.record(known, answer, len(known.body))
        return True

    def render(self, known: Understood, request_id: bytes, *, ends: bool) -> bytes:
        """The response that was prepared; `known.record` records it."""
        return known.beginning + request_id + self._end(ends) + known.body

    def render_head(
        self, answer: Answer, request_id: bytes, *, ends: bool, chunked: bool = True
    ) -> bytes:
        """A response without its body, which is `chunked` where that may be and must."""
        return self._head(render_beginning(answer), answer, request_id, ends=ends, chunked=chunked)

    def _head(
        self, beginning: bytes, answer: Answer, request_id: bytes, *, ends: bool, chunked: bool
    ) -> bytes:
        end = self._end(ends)
        if answer.open_ended and chunked:
            last = ENDS if ends else GOES_ON
            end = end.removesuffix(last) + CHUNKED + last
        return beginning + request_id + end

    def announced_head(
        self, announced: Announced, request_id: bytes, *, ends: bool, chunked: bool
    ) -> bytes:
        """`render_head` of what was announced."""
        answer = announced.answer
        return self._head(announced.beginning, answer, request_id, ends=ends, chunked=chunked)

    def announce(self, known: Understood, answer: Answer) -> Announced:
        """What is said of an answer with content, which need not be made anew each time."""
        announced = known.announced
        if announced is None or not announced.is_of(answer):
            said = replace(answer, content=None)
            record = self.record(known, answer, answer.size_bytes)
            announced = known.announced = Announced(said, render_beginning(answer), record)
        return announced

    def _end(self, ends: bool) -> bytes:
        return self.dates.ends if ends else self.dates.goes_on

    def refuse(self, refusal: Refusal) -> tuple[bytes, Record, bytes]:
        """(response, its record, request id): the last answer of a connection. Of what was
        refused nothing is certain, so nothing of it is written down."""
        answer = refuse(refusal)
        request_id = self.new_id()
        response = render_beginning(answer) + request_id + self.dates.ends + answer.body
        record = self.access.prepare(
            method="",
            target=b"",
            status=answer.status,
            kind=answer.kind,
            size_bytes=len(answer.body),
        )
        return response, record, request_id

    def gone(self, known: Understood) -> Record:
        """The record of a request whose client did not wait for the answer."""
        return self.record(known, Answer(CLIENT_GONE), 0)

    def record(self, known: Understood, answer: Answer, size_bytes: int) -> Record:
        """The record of an answer of which a body of `size_bytes` was sent."""
        location = next((value for name, value in answer.headers if name == b"location"), b"")
        return self.access.prepare(
            method=known.method,
            target=known.target,
            status=answer.status,
            kind=answer.kind,
            location=location,
            size_bytes=size_bytes,
            headers=answer.headers,
            forwarded_for=known.forwarded_for,
            trace=known.trace,
        )


def body_of(known: Understood, answer: Answer) -> bytes:
    """The ready body that `known` is to be answered with."""
    return answer.body if known.wants_body and answer.has_body else b""
