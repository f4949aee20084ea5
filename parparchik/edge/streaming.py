"""Answers whose bodies come as they are sent: each is written by a task of its own, which ends
with it.

The reactor reads nothing of such a connection, and tells its stream what epoll says of it. A body
that does not come to its end must not look whole: then the connection is reset.
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
from parparchik.edge.statistics import Counts
from parparchik.edge.stream import Gone, Stream
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
    """Lives as long as one run of the reactor. `resume` is called with a connection whose answer
    is whole and that may be read again."""

    def __init__(
        self,
        table: Table,
        nursery: trio.Nursery,
        answering: Answering,
        counts: Counts,
        resume: Callable[[Connection], None],
    ) -> None:
        self._table = table
        self._nursery = nursery
        self._answering = answering
        self._counts = counts
        self._resume = resume

    def start(self, connection: Connection, content: Content, due: Due) -> None:
        """Write `due.answer`, whose body is `content`; it is closed whatever happens."""
        connection.state = State.STREAMING
        connection.after = due.after
        connection.answered = True
        connection.since_s = self._table.now_s
        stream = connection.stream = Stream(self._table, connection)
        if connection.watched != select.EPOLLIN:
            stream.watch()
        self._nursery.start_soon(self._run, connection, stream, content, due)

    async def _run(
        self, connection: Connection, stream: Stream, content: Content, due: Due
    ) -> None:
        self._answering.access.begin(due.request_id, due.known.trace)
        ends = due.after is After.LINGER
        # Who does not know of chunks sees the end in the connection's: HTTP/1.0's always ends.
        chunked = due.known.knows_chunks
        head = self._answering.render_head(due.answer, due.request_id, ends=ends, chunked=chunked)
        broken: Answer | None = None
        reason = ""
        try:
            with stream.scope:
                if due.answer.open_ended:
                    await stream.write(due.before, head, content, None, chunked=chunked)
                else:
                    await stream.write(due.before, head, content, due.answer.size_bytes)
        except Gone:
            self._table.close(connection)
        except ParparchikError as error:
            broken = failure(error, kind=due.answer.kind)
            reason = str(error)
        except Exception as error:
            log.exception("request failed")
            broken, reason = problem(500, kind=due.answer.kind), type(error).__name__
        finally:
            answer = self._conclude(connection, stream, due, broken, reason)
            self._close(content)
            size_bytes = stream.body_bytes if answer is due.answer else len(answer.body)
            record = self._answering.record(due.known, answer, size_bytes)
            record.add(perf_counter() - due.began_s, connection.client, due.request_id)
            self._answering.access.flush()
        if connection.state is State.READING:
            self._resume(connection)

    def _conclude(
        self, connection: Connection, stream: Stream, due: Due, broken: Answer | None, reason: str
    ) -> Answer:
        """What was answered. `broken` is what a failure is answered with, while nothing has been
        said yet."""
        connection.stream = None
        if connection.state is State.CLOSED:
            pass
        elif stream.is_done:
            self._go_on(connection, b"", due.after)
        elif broken is None:
            self._table.close(connection)  # the client had left, or the edge ends
        elif not stream.has_begun:
            ends = due.after is After.LINGER
            head = self._answering.render_head(broken, due.request_id, ends=ends)
            self._go_on(connection, head + body_of(due.known, broken), due.after)
            return broken
        else:
            self._counts.truncated += 1
            log.warning("answer broken off", reason=reason)
            self._table.reset(connection)
        return due.answer if stream.has_begun else Answer(CLIENT_GONE)

    def _go_on(self, connection: Connection, response: bytes, after: After) -> None:
        connection.state = State.READING
        connection.since_s = self._table.now_s
        self._table.finish(connection, response, after)

    def _close(self, content: Content) -> None:
        try:
            content.close()
        except Exception:  # one answer's must not end the edge
            log.exception("content not closed")
