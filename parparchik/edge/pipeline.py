"""The requests of one connection, in their order: what can be answered at once is written at once
and together, and what S3 must be asked for holds back what comes behind it.
"""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from time import perf_counter

import structlog
import trio

from parparchik.access import Record
from parparchik.edge.answering import Answering, body_of
from parparchik.edge.connection import After, Connection, State
from parparchik.edge.framing import HEAD_END, Refusal
from parparchik.edge.head import Unsound, check_beginning
from parparchik.edge.holding import Holding
from parparchik.edge.limits import Limits
from parparchik.edge.memo import Understood
from parparchik.edge.statistics import Counts
from parparchik.edge.streaming import Due, Streaming
from parparchik.edge.table import Table
from parparchik.errors import ParparchikError
from parparchik.model import Answer, Unfinished
from parparchik.routes import failure, problem

LARGEST_WRITE_BYTES = 65_536
ANSWERS_AT_A_TIME = 16
"""For one connection; whoever sends more in one piece waits for its next turn, or a few clients
that pipeline would have the edge to themselves."""
_NOT_HTTP_1 = (b"\x16", b"PRI ")  # a TLS ClientHello, HTTP/2

log = structlog.get_logger(__name__)


class Pipeline:
    """Lives as long as one run of the reactor. While `draining` every answer is a connection's
    last; once `ended` there is no connection, and no task begins any more."""

    def __init__(
        self,
        table: Table,
        nursery: trio.Nursery,
        answering: Answering,
        limits: Limits,
        counts: Counts,
    ) -> None:
        self._streaming = Streaming(
            table, nursery, answering, counts, go_on=self._read_on, resume=self._resume
        )
        self._holding = Holding(table, nursery)
        self.draining = False
        self.ended = False
        self.queued: deque[Connection] = deque()
        self._table = table
        self._nursery = nursery
        self._answering = answering
        self._limits = limits
        self._counts = counts

    def receive(self, connection: Connection, data: bytes, began_s: float) -> None:
        """Answer what `data`, behind what was there already, makes whole."""
        if connection.received:
            connection.received += data
        else:
            connection.received = data
            connection.since_s = self._table.now_s
            connection.seen_bytes = 0
        self.go_on(connection, began_s)

    def go_on(self, connection: Connection, began_s: float) -> None:
        """Answer what has been received, as far as that goes without waiting and in one turn."""
        if not connection.received or connection.state is not State.READING:
            return
        if connection.needed_bytes:
            if len(connection.received) < connection.needed_bytes:
                return
            self._holding.let_go(connection)
        if self._answer_some(connection, began_s) and connection.state is State.READING:
            connection.state = State.QUEUED
            self.queued.append(connection)

    def end(self, connection: Connection) -> None:
        """Its client sends no more."""
        if connection.needed_bytes:
            # Of a request that has begun: as one whose body ends too early it is on record.
            self._holding.give_away(connection)
        else:
            self._table.close(connection)

    def next_turns(self, began_s: float) -> None:
        """Go on with the connections that are queued now."""
        for _ in range(len(self.queued)):
            connection = self.queued.popleft()
            if connection.state is State.QUEUED:
                connection.state = State.READING
                self._table.watch(connection, select.EPOLLIN)
                self.go_on(connection, began_s)

    def wait(self, connection: Connection, known: Understood, began_s: float) -> None:
        """Answer one request that S3 must be asked for; the connection is not read meanwhile."""
        connection.state = State.WAITING
        tell = partial(self._tell, connection, known, began_s)
        try:
            # A trace goes with a task.
            begun = known.trace is None and known.question.answer_soon(tell)
        except Exception:  # `answer` says what the client gets
            log.exception("request failed")
            begun = False
        if not begun:
            self._nursery.start_soon(self._await, connection, known, began_s, known.question.answer)

    def give_once(
        self, connection: Connection, known: Understood, answer: Answer, began_s: float
    ) -> None:
        """Write an answer that cannot be kept; the connection goes on behind it."""
        request_id = known.request_id or self._answering.new_id()
        self._give_once(connection, Due(known, answer, request_id, After.READ, began_s, b""))

    def refuse(self, connection: Connection, refusal: Refusal, began_s: float) -> bytes:
        """The connection's last answer, recorded."""
        self._counts.refused[refusal.reason] += 1
        response, record, request_id = self._answering.refuse(refusal)
        record.add(perf_counter() - began_s, connection.client, request_id)
        return response

    async def _take_turns(self) -> None:
        while self.queued:
            await trio.lowlevel.checkpoint()
            self.next_turns(perf_counter())
            self._answering.access.flush()

    def _answer_some(self, connection: Connection, began_s: float) -> bool:
        """One write's worth of answers; whether more can be answered at once."""
        data = connection.received
        pieces: list[bytes] = []
        given: list[tuple[Record, bytes]] = []
        size_bytes = position = held_bytes = 0
        limited = self._answering.limiter is not None
        after = After.READ
        missed: Understood | None = None
        once: tuple[Understood, Answer, bytes] | None = None
        while (
            position < len(data)
            and after is After.READ
            and len(pieces) < ANSWERS_AT_A_TIME
            and size_bytes < LARGEST_WRITE_BYTES
        ):
            try:
                end = self._end_of_head(connection, data, position)
                if end < 0:
                    break
                known = self._answering.understand(data[position:end]) if end else None
            except Unsound as unsound:
                refusal = Refusal(unsound.status, unsound.reason)
                pieces.append(self.refuse(connection, refusal, began_s))
                after = After.LINGER
                break
            if known is None:
                after = After.HAND_OVER
                break
            if known.deed is not None:
                head_end, end = end, end + known.deed.body_bytes
                if end > len(data):
                    if self._holding.has_room():
                        held_bytes = end - position
                    else:
                        after = After.HAND_OVER
                    break
                known.deed.take(data[head_end:end])
            if limited and not connection.counted:
                known = self._answering.within_limits(known, connection.client)
            connection.counted = False
            answer = self._answering.answer_nowait(known)
            if answer is None:
                if pieces:  # these are written first; then this one is asked again
                    connection.counted = limited
                else:
                    missed, position = known, end
                break
            if known.ends or self.draining:
                after = After.LINGER
            request_id = known.request_id or self._answering.new_id()
            position = end
            if not self._answering.prepare(known, answer):
                once = known, answer, request_id
                break
            ends = after is After.LINGER
            pieces.append(self._answering.render(known, request_id, ends=ends))
            given.append((known.record, request_id))
            size_bytes += len(pieces[-1])
        if position:
            connection.since_s, connection.seen_bytes = self._table.now_s, 0
        connection.received = b"" if after is After.LINGER else data[position:]
        if held_bytes:
            self._holding.hold(connection, held_bytes)
        if once is None:
            self._table.finish(connection, b"".join(pieces), after)
        else:
            known, answer, request_id = once
            due = Due(known, answer, request_id, after, began_s, b"".join(pieces))
            self._give_once(connection, due)
        for record, request_id in given:
            record.add(perf_counter() - began_s, connection.client, request_id)
        if missed is not None:
            self.wait(connection, missed, began_s)
        answered = bool(pieces) or once is not None
        return answered and bool(connection.received) and after is After.READ

    def _end_of_head(self, connection: Connection, data: bytes, start: int) -> int:
        """Where the head that begins at `start` ends; -1 while that has not come, 0 where it is
        for others to read. Raises Unsound."""
        if not (start or connection.answered) and data.startswith(_NOT_HTTP_1):
            return 0
        end = data.find(HEAD_END, start)
        if end < 0:
            rest = data[start:]
            check_beginning(rest, 0 if start else connection.seen_bytes)
            connection.seen_bytes = len(rest)
            return 0 if len(rest) > self._limits.max_head_bytes else -1
        end += len(HEAD_END)
        return 0 if end - start > self._limits.max_head_bytes else end

    def _tell(
        self,
        connection: Connection,
        known: Understood,
        began_s: float,
        outcome: Answer | Unfinished[Answer],
    ) -> None:
        """S3 has been asked without a task of ours. Called by who asked: nothing may be raised."""
        try:
            if isinstance(outcome, Unfinished) and not self.ended:
                self._nursery.start_soon(self._await, connection, known, began_s, outcome.finish)
                return
            request_id = known.request_id or self._answering.new_id()
            if isinstance(outcome, Answer):
                self._give(connection, known, outcome, request_id, began_s)
            else:
                self._gone(connection, known, request_id, began_s)
        except Exception:
            log.exception("connection failed")
            if isinstance(outcome, Answer) and outcome.content is not None:
                outcome.content.close()
            self._table.close(connection)

    async def _await(
        self,
        connection: Connection,
        known: Understood,
        began_s: float,
        ask: Callable[[], Awaitable[Answer]],
    ) -> None:
        request_id = known.request_id or self._answering.new_id()
        self._answering.access.begin(request_id, known.trace)
        try:
            answer = await ask()
        except ParparchikError as error:
            answer = failure(error, kind="other")
        except Exception:  # the client is owed an answer, whatever failed
            log.exception("request failed")
            answer = problem(500)
        self._give(connection, known, answer, request_id, began_s)

    def _give(
        self,
        connection: Connection,
        known: Understood,
        answer: Answer,
        request_id: bytes,
        began_s: float,
    ) -> None:
        """The answer that a connection has been waiting for."""
        answering = self._answering
        if connection.state is State.CLOSED:
            if answer.content is not None:
                answer.content.close()
            self._gone(connection, known, request_id, began_s)
        else:
            answering.dates.tick()
            ends = known.ends or self.draining
            after = After.LINGER if ends else After.READ
            connection.state = State.READING
            connection.since_s = self._table.now_s
            if ends:
                connection.received = b""
            if answering.prepare(known, answer):
                response = answering.render(known, request_id, ends=ends)
                self._table.finish(connection, response, after)
                known.record.add(perf_counter() - began_s, connection.client, request_id)
            else:
                due = Due(known, answer, request_id, after, began_s, b"")
                self._give_once(connection, due)
            self._resume(connection)
            answering.access.flush()

    def _gone(
        self, connection: Connection, known: Understood, request_id: bytes, began_s: float
    ) -> None:
        record = self._answering.gone(known)
        record.add(perf_counter() - began_s, connection.client, request_id)
        self._answering.access.flush()

    def _give_once(self, connection: Connection, due: Due) -> None:
        known, answer, request_id, after, began_s, before = due
        content = answer.content
        if content is not None and known.wants_body and answer.has_body:
            self._streaming.start(connection, content, due)
            return
        if content is not None:
            content.close()
        ends = after is After.LINGER
        head = before + self._answering.render_head(
            answer, request_id, ends=ends, chunked=known.knows_chunks
        )
        body = body_of(known, answer)
        self._table.finish(connection, head, after, body)
        record = self._answering.record(known, answer, len(body))
        record.add(perf_counter() - began_s, connection.client, request_id)

    def _read_on(self, connection: Connection) -> None:
        """Go on behind an answer that the client has taken: the reactor, which next looks at what
        is queued."""
        self._table.watch(connection, select.EPOLLIN)
        self.go_on(connection, perf_counter())

    def _resume(self, connection: Connection) -> None:
        """Go on behind an answer that came when the reactor was at something else."""
        if connection.state is State.READING:
            self._read_on(connection)
        if connection.state is State.QUEUED:
            # The reactor sleeps, perhaps: nothing that it watches tells it of this.
            self._nursery.start_soon(self._take_turns)
