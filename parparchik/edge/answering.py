"""From a request's head to the bytes of its answer. Knows questions, and no connection."""

from __future__ import annotations

from collections.abc import Container

import structlog

from parparchik.access import CLIENT_GONE, AccessLog, Record, RequestIds
from parparchik.edge.clock import DateClock
from parparchik.edge.framing import Refusal
from parparchik.edge.head import Head, parse_head
from parparchik.edge.limits import Limits
from parparchik.edge.memo import Memo, Understood
from parparchik.edge.render import problem, refuse, render_beginning
from parparchik.edge.understand import Ask, may_be_kept, understand
from parparchik.model import Answer

log = structlog.get_logger(__name__)


class Failed:
    """A question that could not be asked."""

    def answer_nowait(self) -> Answer:
        return problem(500)

    def answer_soon(self, then: object) -> bool:
        return False

    async def answer(self) -> Answer:
        return problem(500)


def failed(head: Head) -> Understood:
    method = head.method.decode("ascii")
    return Understood(Failed(), method, head.target, ends=not head.keep_alive, request_id=b"")


class Answering:
    """What is asked, and how that is written and recorded. `renew` changes whom is asked."""

    def __init__(
        self,
        *,
        ask: Ask,
        reserved: Container[bytes],
        access: AccessLog,
        request_ids: RequestIds,
        limits: Limits,
    ) -> None:
        self.access = access
        self.memo = Memo()
        self.dates = DateClock()
        self.new_id = request_ids.new
        self._ask = ask
        self._reserved = reserved
        self._limits = limits

    def renew(self, ask: Ask, access: AccessLog) -> None:
        self._ask = ask
        self.access = access
        self.memo.clear()

    def understand(self, head: bytes) -> Understood | None:
        """What a whole head asks; None where others answer it. Raises Unsound."""
        known = self.memo.get(head)
        if known is None:
            parsed = parse_head(head)
            try:
                known = understand(parsed, self._ask, self._reserved, self._limits)
            except Exception:  # the client is owed an answer, whatever failed
                log.exception("request failed")
                return failed(parsed)
            if known is not None and may_be_kept(parsed):
                self.memo.offer(head, known)
        return known

    def answer_nowait(self, known: Understood) -> Answer | None:
        """The answer from memory. The client is owed one, whatever fails."""
        try:
            return known.answer_nowait()
        except Exception:
            log.exception("request failed")
            return problem(500)

    def prepare(self, known: Understood, answer: Answer) -> None:
        """Make ready what is the same whenever `known` is answered with `answer`."""
        if answer is known.answer:
            return
        known.answer = answer
        known.beginning = render_beginning(answer)
        known.body = answer.body if known.wants_body else b""
        known.record = self._record(known.method, known.target, answer)

    def render(self, known: Understood, answer: Answer, request_id: bytes, *, ends: bool) -> bytes:
        """The response; `known.record` records it."""
        self.prepare(known, answer)
        end = self.dates.ends if ends else self.dates.goes_on
        return known.beginning + request_id + end + known.body

    def refuse(self, refusal: Refusal) -> tuple[bytes, Record, bytes]:
        """(response, its record, request id): the last answer of a connection. Of what was
        refused nothing is certain, so nothing of it is written down."""
        answer = refuse(refusal)
        request_id = self.new_id()
        response = render_beginning(answer) + request_id + self.dates.ends + answer.body
        return response, self._record("", b"", answer), request_id

    def gone(self, known: Understood) -> Record:
        """The record of a request whose client did not wait for the answer."""
        return self._record(known.method, known.target, Answer(CLIENT_GONE))

    def _record(self, method: str, target: bytes, answer: Answer) -> Record:
        location = next((value for name, value in answer.headers if name == b"location"), b"")
        return self.access.prepare(
            method=method,
            target=target,
            status=answer.status,
            kind=answer.kind,
            location=location,
        )
