"""The load over HTTP/2: a task for each connection, framing by h2.

h2 is what bounds this: some thousands of requests a second for a process. It is the library that
Hypercorn answers with, so what is measured is a server and a client of the same kind.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import trio

from bench.load.answer import Answer, Shot, judge, shots
from bench.load.http1 import OnProgress
from bench.load.outcome import ErrorKind, Outcome
from bench.load.plan import BadPlan, Plan

PROGRESS_S = 0.25
_RECV_BYTES = 65_536
_RETRY_S = 0.025

clock = time.perf_counter_ns


@dataclass(slots=True)
class _Reply:
    """What came of the answer on a stream."""

    status: int = 0
    location: bytes | None = None


class Http2Load:
    """As Http1Load; a connection has one request under way."""

    def __init__(self, plan: Plan, process: int, processes: int, address: tuple[str, int]) -> None:
        if not plan.keep_alive:
            raise BadPlan("HTTP/2 connections are kept: leave --no-keep-alive out")
        self._plan = plan
        self._address = address
        self._shots = shots(plan, process, processes)
        self._headers = (
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", plan.target.authority),
        )
        self._outcome = Outcome()
        self._measuring = False
        self._left: float = float("inf")
        self._due_ns = 0
        self._interval_ns = round(1e9 / plan.rate_per_s) if plan.rate_per_s else 0

    async def run(self, on_progress: OnProgress | None = None) -> Outcome:
        plan = self._plan
        async with trio.open_nursery() as nursery:
            self._due_ns = clock()
            async with trio.open_nursery() as clients:
                for _ in range(plan.connections):
                    clients.start_soon(self._client)
                await trio.sleep(plan.warm_up_s)
                started_ns, cpu_s = clock(), time.process_time()
                self._begin_measuring(started_ns)
                if on_progress is not None:
                    nursery.start_soon(self._report, on_progress)
                if plan.duration_s is not None:
                    grace_s = plan.timeout_s if self._interval_ns else 0.0
                    clients.cancel_scope.deadline = trio.current_time() + plan.duration_s + grace_s
            nursery.cancel_scope.cancel()
        outcome = self._outcome
        if self._interval_ns:
            outcome.errors["time-out"] += max(int(self._left), 0)
        outcome.seconds = (clock() - started_ns) / 1e9
        outcome.cpu_s = time.process_time() - cpu_s
        outcome.errors = +outcome.errors
        return outcome

    def _begin_measuring(self, now_ns: int) -> None:
        plan = self._plan
        self._outcome = Outcome(errors=Counter(), statuses=Counter())
        self._measuring, self._due_ns = True, now_ns
        self._left = plan.budget

    async def _report(self, on_progress: OnProgress) -> None:
        while True:
            on_progress(self._outcome.requests, self._outcome.error_count)
            await trio.sleep(PROGRESS_S)

    async def _client(self) -> None:
        """One connection after another, until no request is left."""
        while self._left > 0:
            try:
                stream = await self._connect()
            except (OSError, trio.BrokenResourceError, trio.TooSlowError):
                self._left -= 1
                self._outcome.errors["connect"] += 1
                await trio.sleep(_RETRY_S)
                continue
            async with stream:
                await self._converse(stream)

    async def _connect(self) -> trio.SSLStream[trio.SocketStream]:
        target = self._plan.target
        with trio.fail_after(self._plan.timeout_s):
            stream = trio.SSLStream(
                await trio.open_tcp_stream(*self._address),
                target.tls_context(),
                server_hostname=target.host,
                https_compatible=True,
            )
            try:
                await stream.do_handshake()
            except BaseException:
                await trio.aclose_forcefully(stream)
                raise
        if stream.selected_alpn_protocol() != "h2":
            await trio.aclose_forcefully(stream)
            raise OSError("the server does not speak HTTP/2")
        return stream

    async def _converse(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        connection = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding=None)
        )
        connection.initiate_connection()
        while self._left > 0:
            now_ns = clock()
            if self._interval_ns:
                if self._due_ns > now_ns:
                    await trio.sleep((self._due_ns - now_ns) / 1e9)
                    continue
                started_ns = self._due_ns
                self._due_ns += self._interval_ns
            else:
                started_ns = now_ns
            self._left -= 1
            outcome, shot = self._outcome, next(self._shots)
            error: ErrorKind | None
            try:
                with trio.fail_after(self._plan.timeout_s):
                    answer = await self._exchange(stream, connection, shot)
                error = judge(shot, answer)
                outcome.statuses[answer.status] += 1
            except trio.TooSlowError:
                error, answer = "time-out", None
            except (trio.BrokenResourceError, EOFError):
                error, answer = "reset", None
            except h2.exceptions.ProtocolError:
                error, answer = "bad answer", None
            if outcome is self._outcome:  # else it began in the warm-up
                if error is None:
                    outcome.requests += 1
                    outcome.latency.record(clock() - started_ns)
                else:
                    outcome.errors[error] += 1
            if answer is None:
                return

    async def _exchange(
        self,
        stream: trio.SSLStream[trio.SocketStream],
        connection: h2.connection.H2Connection,
        shot: Shot,
    ) -> Answer:
        """One request and its answer. Raises EOFError where the server ends it."""
        number = connection.get_next_available_stream_id()
        connection.send_headers(number, [*self._headers, (":path", shot.ask.path)], end_stream=True)
        await stream.send_all(connection.data_to_send())
        reply = _Reply()
        while True:
            data = await stream.receive_some(_RECV_BYTES)
            if not data:
                raise EOFError
            ended = False
            for event in connection.receive_data(bytes(data)):
                match event:
                    case h2.events.ResponseReceived():
                        for name, value in event.headers or ():
                            if name == b":status":
                                reply.status = int(value)
                            elif name == b"location":
                                reply.location = bytes(value)
                    case h2.events.DataReceived():
                        connection.acknowledge_received_data(
                            event.flow_controlled_length or 0, number
                        )
                    case h2.events.StreamEnded():
                        ended = True
                    case h2.events.StreamReset() | h2.events.ConnectionTerminated():
                        raise EOFError
            if outgoing := connection.data_to_send():
                await stream.send_all(outgoing)
            if ended:
                return Answer(reply.status, reply.location, 0, 0, 0, closes=False)
