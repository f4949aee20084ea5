"""A load of large bodies, over HTTP/1.1: a task for each connection, and no body is ever kept.

What it costs is copying, not counting requests: so it is plain Trio, and bytes are counted as they
come and go. Of an answer, head and length are judged; what is in it is not, for whoever looks at
every byte is slower than who sends it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import trio

from bench.load.answer import Answer, BadAnswer, ChunkedBody, Shot, judge, read_head
from bench.load.deck import Ask
from bench.load.http1 import OnProgress
from bench.load.outcome import ErrorKind, Outcome
from bench.load.plan import BadPlan, Plan

PIECE_BYTES = 1 << 18
PROGRESS_S = 0.25
BROKEN_S = 0.025  # a server that cannot be reached is not asked in a tight loop

clock = time.perf_counter_ns


class _ShortAnswer(Exception):
    """The connection ended within an answer."""


class BulkLoad:
    """One process's share of a plan. The warm-up has connections of its own."""

    def __init__(self, plan: Plan, process: int, processes: int) -> None:
        self._plan = plan
        self._asks: Iterator[Ask] = plan.deck.deal(process, processes)
        self._zeros = memoryview(bytes(PIECE_BYTES))
        self._tls = plan.target.tls_context() if plan.target.tls else None
        self._outcome = Outcome()
        self._left = math.inf

    async def run(self, on_progress: OnProgress | None = None) -> Outcome:
        """Warm up, fire, and say what came of it. Raises BadPlan where requests run out."""
        plan = self._plan
        if plan.warm_up_s:
            await self._fire(plan.warm_up_s, math.inf, lambda _requests, _errors: None)
        say = on_progress or (lambda _requests, _errors: None)
        return await self._fire(plan.duration_s or math.inf, plan.budget, say)

    async def _fire(self, seconds: float, budget: float, say: OnProgress) -> Outcome:
        """For so long, or until so many requests were answered."""
        outcome = self._outcome = Outcome()
        self._left = budget
        over, ended = trio.Event(), 0
        refused: list[BadPlan] = []

        async def connection() -> None:
            nonlocal ended
            try:
                await self._connection()
            except BadPlan as error:
                refused.append(error)
            ended += 1
            if refused or ended == self._plan.connections:
                over.set()

        say(0, 0)
        from_ns, cpu_s = clock(), time.process_time()
        end_s = trio.current_time() + seconds
        async with trio.open_nursery() as nursery:
            for _ in range(self._plan.connections):
                nursery.start_soon(connection)
            while not over.is_set() and trio.current_time() < end_s:
                with trio.move_on_at(min(trio.current_time() + PROGRESS_S, end_s)):
                    await over.wait()
                say(outcome.requests, outcome.error_count)
            outcome.seconds = (clock() - from_ns) / 1e9
            outcome.cpu_s = time.process_time() - cpu_s
            nursery.cancel_scope.cancel()
        if refused:
            raise refused[0]
        return outcome

    async def _connection(self) -> None:
        """One request after the other, on a new connection whenever one is of no more use."""
        while self._left > 0:
            try:
                with trio.fail_after(self._plan.timeout_s):
                    stream = await self._connect()
            except (OSError, trio.BrokenResourceError, trio.TooSlowError):
                self._left -= 1
                self._outcome.errors["connect"] += 1
                await trio.sleep(BROKEN_S)
                continue
            try:
                while self._left > 0:
                    self._left -= 1
                    if not await self._request(stream):
                        break
            finally:
                await trio.aclose_forcefully(stream)

    async def _connect(self) -> trio.abc.Stream:
        target = self._plan.target
        stream = await trio.open_tcp_stream(target.host, target.port)
        if self._tls is None:
            return stream
        encrypted = trio.SSLStream(stream, self._tls, server_hostname=target.host)
        await encrypted.do_handshake()
        return encrypted

    async def _request(self, stream: trio.abc.Stream) -> bool:
        """Whether the connection can be used again. Raises BadPlan where requests run out."""
        ask = next(self._asks, None)
        if ask is None:
            raise BadPlan("the scenario has no more requests: give a shorter --duration")
        outcome, begun_ns = self._outcome, clock()
        failed: ErrorKind
        try:
            with trio.fail_after(self._plan.timeout_s):
                await self._send(stream, ask)
                answer = await self._receive(stream)
        except trio.TooSlowError:
            failed = "time-out"
        except (OSError, trio.BrokenResourceError):
            failed = "reset"
        except _ShortAnswer:
            failed = "short answer"
        except BadAnswer:
            failed = "bad answer"
        else:
            outcome.statuses[answer.status] += 1
            if wrong := judge(Shot(ask, b""), answer):
                outcome.errors[wrong] += 1
            else:
                outcome.requests += 1
                outcome.latency.record(clock() - begun_ns)
            return not answer.closes
        outcome.errors[failed] += 1
        return False

    async def _send(self, stream: trio.abc.Stream, ask: Ask) -> None:
        method = "PUT" if ask.put_bytes else "GET"
        length = f"Content-Length: {ask.put_bytes}\r\n" if ask.put_bytes else ""
        await stream.send_all(
            f"{method} {ask.path} HTTP/1.1\r\nHost: {self._plan.target.authority}\r\n"
            f"User-Agent: parparchik-bench\r\n{length}\r\n".encode("ascii")
        )
        left = ask.put_bytes
        while left > 0:
            piece = self._zeros[:left]
            await stream.send_all(piece)
            self._outcome.body_bytes += len(piece)
            left -= len(piece)

    async def _receive(self, stream: trio.abc.Stream) -> Answer:
        """The answer, when all of it has come. Raises BadAnswer, _ShortAnswer, OSError and
        trio.BrokenResourceError."""
        held = b""
        while (answer := read_head(held)) is None:
            held += await self._piece(stream, begun=bool(held))
        come_bytes = len(held) - answer.head_bytes
        self._outcome.body_bytes += come_bytes
        if answer.chunked:
            chunks = ChunkedBody()
            chunks.feed(held)
            while not chunks.complete:
                piece = await self._piece(stream, begun=True)
                self._outcome.body_bytes += len(piece)
                chunks.feed(piece)
            return chunks.whole(answer)
        left = answer.length - len(held)
        while left > 0:
            piece = await self._piece(stream, begun=True)
            self._outcome.body_bytes += len(piece)
            left -= len(piece)
        if left < 0:
            raise BadAnswer("more than one answer")
        return answer

    async def _piece(self, stream: trio.abc.Stream, *, begun: bool) -> bytes:
        piece = await stream.receive_some(PIECE_BYTES)
        if not piece:
            raise _ShortAnswer if begun else trio.BrokenResourceError
        return piece if isinstance(piece, bytes) else bytes(piece)
