"""Answers whose bodies come as they are sent.

As long as the next block is at hand the reactor writes it, as much at a time as the client takes; a
block that has to be waited for makes the rest the work of a task, which ends with it. Nothing is
read of such a connection meanwhile. A body that does not come to its end must not look whole: then
the connection is reset.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

import structlog
import trio

from parparchik.access import CLIENT_GONE
from parparchik.edge.answering import Answering, body_of
from parparchik.edge.connection import After, Connection, State
from parparchik.edge.memo import Understood
from parparchik.edge.outgoing import Gone, Outgoing
from parparchik.edge.sending import ReadNowait, Sending
from parparchik.edge.statistics import Counts
from parparchik.edge.stream import Stream
from parparchik.edge.table import Table
from parparchik.errors import ParparchikError
from parparchik.model import Answer, Content
from parparchik.routes import failure, problem

log = structlog.get_logger(__name__)


class Due(NamedTuple):
    """An answer to be streamed. `before` are answers to earlier requests, not written yet."""

    known: Understood
    answer: Answer
    request_id: bytes
    after: After
    began_s: float
    before: bytes


class Streaming:
    """Lives as long as one run of the reactor. When an answer is whole and its connection may be
    read again, `go_on` is called with it by the reactor, and `resume` by anybody else."""

    def __init__(
        self,
        table: Table,
        nursery: trio.Nursery,
        answering: Answering,
        counts: Counts,
        *,
        go_on: Callable[[Connection], None],
        resume: Callable[[Connection], None],
    ) -> None:
        self._table = table
        self._nursery = nursery
        self._answering = answering
        self._counts = counts
        self._go_on_reading = go_on
        self._resume = resume

    def start(self, connection: Connection, content: Content, due: Due) -> None:
        """Write `due.answer`, whose body is `content`; it is closed whatever happens. Where all of
        it is written when this returns, the caller goes on with the connection."""
        connection.state = State.STREAMING
        connection.after = due.after
        connection.answered = True
        connection.since_s = self._table.now_s
        answer = due.answer
        # Who does not know of chunks sees the end in the connection's: HTTP/1.0's always ends.
        chunked = answer.open_ended and due.known.knows_chunks
        length = None if answer.open_ended else answer.size_bytes
        out = Outgoing(self._table, connection, length, chunked=chunked)
        # Asking the Protocol itself takes as long as all else that is done here.
        read_nowait: ReadNowait | None = getattr(content, "read_nowait", None)
        if read_nowait is None:
            self._stream(connection, content, due, out)
        else:
            self._send(connection, content, read_nowait, due, out)

    def _send(
        self,
        connection: Connection,
        content: Content,
        read_nowait: ReadNowait,
        due: Due,
        out: Outgoing,
    ) -> None:
        """As far as the body is at hand: by the reactor."""
        later = False

        def over(error: Exception | None) -> None:
            self._end(connection, content, due, out, error)
            if later:
                self._answering.access.flush()
                if connection.state is State.READING:
                    self._go_on_reading(connection)

        def wait() -> None:
            self._stream(connection, content, due, out)

        sending = Sending(self._table, connection, out, read_nowait, over=over, wait=wait)
        connection.stream = sending
        sending.begin(due.before, self._head(due))
        later = True

    def _stream(self, connection: Connection, content: Content, due: Due, out: Outgoing) -> None:
        """As it comes: by a task."""
        stream = connection.stream = Stream(self._table, connection, out)
        if connection.watched != select.EPOLLIN:
            stream.watch()
        self._nursery.start_soon(self._run, connection, stream, content, due, out)

    async def _run(
        self, connection: Connection, stream: Stream, content: Content, due: Due, out: Outgoing
    ) -> None:
        self._answering.access.begin(due.request_id, due.known.trace)
        wrong: Exception | None = None
        try:
            with stream.scope:
                await stream.write(due.before, self._head(due), content)
        except Gone:
            self._table.close(connection)
        except Exception as error:  # noqa: BLE001  what there is to tell of it is told below
            wrong = error
        finally:
            self._end(connection, content, due, out, wrong)
            self._answering.access.flush()
        if connection.state is State.READING:
            self._resume(connection)

    def _head(self, due: Due) -> bytes:
        return self._answering.announced_head(
            self._answering.announce(due.known, due.answer),
            due.request_id,
            ends=due.after is After.LINGER,
            chunked=due.known.knows_chunks,
        )

    def _end(
        self,
        connection: Connection,
        content: Content,
        due: Due,
        out: Outgoing,
        error: Exception | None,
    ) -> None:
        """Whatever has become of it."""
        answer = self._conclude(connection, due, out, error)
        self._close(content)
        answering, known = self._answering, due.known
        if answer is not due.answer:
            record = answering.record(known, answer, len(answer.body))
        elif out.is_done and not answer.open_ended:
            record = answering.announce(known, answer).record
        else:
            record = answering.record(known, answer, out.body_bytes)
        record.add(perf_counter() - due.began_s, connection.client, due.request_id)

    def _conclude(
        self, connection: Connection, due: Due, out: Outgoing, error: Exception | None
    ) -> Answer:
        """What was answered."""
        connection.stream = None
        broken, reason = self._failure(due, error)
        if connection.state is State.CLOSED:
            pass
        elif out.is_done:
            self._go_on(connection, b"", due.after)
        elif broken is None:
            self._table.close(connection)  # the client had left, or the edge ends
        elif not out.has_begun:
            ends = due.after is After.LINGER
            head = self._answering.render_head(broken, due.request_id, ends=ends)
            # Of earlier answers too what has not been written yet.
            unsaid = due.before[out.sent_bytes :] + head + body_of(due.known, broken)
            self._go_on(connection, unsaid, due.after)
            return broken
        else:
            self._counts.truncated += 1
            log.warning("answer broken off", reason=reason, request_id=due.request_id.decode())
            self._table.reset(connection)
        return due.answer if out.has_begun else Answer(CLIENT_GONE)

    def _failure(self, due: Due, error: Exception | None) -> tuple[Answer | None, str]:
        """What it is answered with as long as nothing has been said, and why."""
        if error is None:
            return None, ""
        if isinstance(error, ParparchikError):
            return failure(error, kind=due.answer.kind), str(error)
        log.error("request failed", exc_info=error, request_id=due.request_id.decode())
        return problem(500, kind=due.answer.kind), type(error).__name__

    def _go_on(self, connection: Connection, response: bytes, after: After) -> None:
        connection.state = State.READING
        connection.since_s = self._table.now_s
        self._table.finish(connection, response, after)

    def _close(self, content: Content) -> None:
        try:
            content.close()
        except Exception:  # one answer's must not end the edge
            log.exception("content not closed")
