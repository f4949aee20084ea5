"""The load itself, over HTTP/1.1: one task, one epoll, connections as plain objects.

It has to outrun a server that answers 100,000 requests a second on the other core, so an answer
that is as expected costs a comparison, two system calls and a few counters; all else (connecting,
pieces, errors, closing) is done aside. No pipelining: a connection has one request under way.

Open loop: requests are due at a constant rate, whatever the server does. One that finds no free
connection is sent late, and its latency still counts from when it was due: a server that stalls
is charged for everybody who would have come meanwhile (no coordinated omission).
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable

import trio

from bench.load.answer import BadAnswer, Shot, judge, read_head, shots
from bench.load.client import WOULD_BLOCK, Client, Sockets, State
from bench.load.histogram import Histogram
from bench.load.outcome import ErrorKind, Outcome
from bench.load.plan import Plan

TICK_NS = 25_000_000
PROGRESS_NS = 250_000_000
SWEEP_NS = 100_000_000
LINGER_NS = 1_000_000_000
SPIN_NS = 1_500_000  # epoll sleeps by the millisecond; what is due sooner is waited for awake
_RECV_BYTES = 65_536
_BATCH = 256

OnProgress = Callable[[int, int], object]
"""Called with requests and errors so far: first when the measuring begins, with (0, 0)."""

clock = time.perf_counter_ns


class Http1Load:
    """One process's share of a plan."""

    def __init__(self, plan: Plan, process: int, processes: int, sockets: Sockets) -> None:
        self._plan = plan
        self._sockets = sockets
        self._shots = shots(plan, process, processes)
        self._clients = [Client() for _ in range(plan.connections)]
        self._idle = list(self._clients)
        self._broken: list[Client] = []  # could not connect: tried again at the next tick
        self._errors: Counter[ErrorKind] = Counter()
        self._statuses: dict[int, int] = {}

    async def run(self, on_progress: OnProgress | None = None) -> Outcome:
        """Warm up, fire, and say what came of it. Closes its sockets."""
        try:
            return await self._run(on_progress or (lambda _requests, _errors: None))
        finally:
            self._sockets.close_all()

    async def _run(self, on_progress: OnProgress) -> Outcome:
        plan, idle, sockets, statuses = self._plan, self._idle, self._sockets, self._statuses
        poll, by_fd, next_shot = sockets.epoll.poll, sockets.by_fd, self._shots.__next__
        keep_alive, asked = plan.keep_alive, State.ASKED
        interval_ns = round(1e9 / plan.rate_per_s) if plan.rate_per_s else 0
        histogram = Histogram()
        counts = histogram.counts
        total_ns = longest_ns = requests = 0
        now = due_ns = last_answer_ns = measured_from_ns = clock()
        warm_until_ns = now + round(plan.warm_up_s * 1e9)
        warming, left, end_ns = True, math.inf, math.inf
        next_tick = progress_ns = sweep_ns = now
        cpu_s = time.process_time()

        while True:
            events = poll(0, _BATCH)
            now = clock()
            if now >= next_tick:
                next_tick = now + TICK_NS
                idle += self._broken
                self._broken.clear()
                if warming and now >= warm_until_ns:
                    warming = False
                    measured_from_ns = due_ns = last_answer_ns = now
                    cpu_s = time.process_time()
                    total_ns = longest_ns = requests = 0
                    counts[:] = [0] * len(counts)
                    self._forget_warm_up()
                    left = plan.budget
                    if plan.duration_s is not None:
                        # What was due within the duration may still be answered after it.
                        grace_s = plan.timeout_s if interval_ns else 0.0
                        end_ns = now + round((plan.duration_s + grace_s) * 1e9)
                elif now >= end_ns or (left <= 0 and len(idle) == len(self._clients)):
                    break
                if now >= sweep_ns:
                    self._sweep(now)
                    sweep_ns = now + SWEEP_NS
                if not warming and now >= progress_ns:
                    on_progress(requests, self._errors.total())
                    progress_ns = now + PROGRESS_NS
                await trio.lowlevel.checkpoint()
                continue  # the sweep may have closed what the events are about

            for fd, _ in events:
                client = by_fd[fd]
                if client.state is asked:
                    try:
                        data = client.recv(_RECV_BYTES)
                    except OSError as error:
                        self._cannot_read(client, error)
                        continue
                    shot = client.shot
                    if not (
                        len(data) == shot.length
                        and data.startswith(shot.prefix)
                        and data.startswith(shot.tail, shot.head_end)
                    ):
                        right = self._take(client, data)
                        if right is None:
                            continue
                    else:
                        right = True
                else:
                    right = self._advance(client)
                    if right is None:
                        continue
                now = clock()
                if right:
                    taken_ns = now - client.started_ns
                    shift = taken_ns.bit_length() - 8
                    if shift > 0:
                        counts[(shift << 7) + (taken_ns >> shift)] += 1
                    else:
                        counts[taken_ns] += 1
                    total_ns += taken_ns
                    if taken_ns > longest_ns:  # noqa: PLR1730  a call costs more
                        longest_ns = taken_ns
                    requests += 1
                    status = client.shot.status
                    statuses[status] = statuses.get(status, 0) + 1
                last_answer_ns = now
                if not keep_alive:
                    sockets.leave(client)
                if left <= 0 or client.sock is None or (interval_ns and due_ns > now):
                    client.state = State.IDLE
                    idle.append(client)
                    continue
                left -= 1
                client.shot = shot = next_shot()
                client.sent_ns = client.started_ns = now
                if interval_ns:
                    client.started_ns = due_ns
                    due_ns += interval_ns
                client.state = asked
                try:
                    client.send(shot.request)
                except OSError:
                    self._fail(client, "reset")

            while idle and left > 0 and (not interval_ns or due_ns <= now):
                client = idle.pop()
                left -= 1
                client.shot = next_shot()
                client.sent_ns = client.started_ns = now
                if interval_ns:
                    client.started_ns = due_ns
                    due_ns += interval_ns
                client.counts = True
                self._begin(client)

            if not events:
                wake_ns = next_tick
                if interval_ns and left > 0 and idle:
                    wake_ns = min(wake_ns, due_ns - SPIN_NS)
                if wake_ns > now:
                    with trio.move_on_after((wake_ns - now) / 1e9):
                        await trio.lowlevel.wait_readable(sockets.epoll.fileno())

        if interval_ns:
            # Never sent, or never answered: whoever was due then has waited in vain.
            waiting = len(self._clients) - len(idle) - len(self._broken)
            self._errors["time-out"] += int(max(left, 0)) + waiting
        open_ended = plan.duration_s is not None and not interval_ns and left > 0
        histogram.max_ns, histogram.total_ns = longest_ns, total_ns
        return Outcome(
            requests=requests,
            seconds=((now if open_ended else last_answer_ns) - measured_from_ns) / 1e9,
            cpu_s=time.process_time() - cpu_s,
            latency=histogram,
            errors=+self._errors,
            statuses=Counter(statuses),
        )

    def _forget_warm_up(self) -> None:
        self._errors.clear()
        self._statuses.clear()
        for client in self._clients:
            if client.state is not State.IDLE:
                # Its answer will not be compared with the known one, but come to `_take`.
                client.counts = False
                client.shot = Shot(client.shot.ask, client.shot.request)

    def _begin(self, client: Client) -> None:
        """Send the client's request, on a new connection where it has none."""
        try:
            if client.sock is None:
                self._sockets.open(client)
                return
        except OSError:
            self._fail(client, "connect")
            return
        client.state = State.ASKED
        try:
            client.send(client.shot.request)
        except OSError:
            self._fail(client, "reset")

    def _advance(self, client: Client) -> bool | None:
        """A client that is not just waiting for an answer has something to do; as `_take`."""
        if client.state is State.CONNECTING:
            try:
                usable = self._sockets.advance(client)
            except OSError:
                self._fail(client, "connect")
                return None
            if usable:
                self._begin(client)
            return None
        try:
            data = client.recv(_RECV_BYTES)
        except OSError as error:
            self._cannot_read(client, error)
            return None
        if client.state is State.READING:
            return self._take(client, data)
        # Idle or lingering: nothing is expected but the end.
        self._sockets.close(client)
        if data and client.state is State.IDLE:
            self._errors["bad answer"] += 1
        return None

    def _take(self, client: Client, data: bytes) -> bool | None:
        """Bytes that are not simply the known answer. Returns whether a whole answer is right and
        counts; None when the client's request is not over, or is over without an answer."""
        if not data:
            self._fail(client, "short answer" if client.held else "reset")
            return None
        client.held = whole = client.held + data if client.held else data
        client.state = State.READING
        try:
            answer = client.answer = client.answer or read_head(whole)
            complete = answer is not None and client.is_complete(answer, data)
        except BadAnswer:
            self._fail(client, "bad answer")
            return None
        if answer is None or not complete:
            return None
        answer, body = client.whole(answer)
        client.forget_answer()
        wrong = judge(client.shot, answer, body)
        if wrong is None and client.counts and not answer.chunked and not answer.closes:
            client.shot.learn(whole, answer)
        if wrong is not None and client.counts:
            self._errors[wrong] += 1
            self._statuses[answer.status] = self._statuses.get(answer.status, 0) + 1
        right = wrong is None and client.counts
        client.counts = True
        if answer.closes and self._plan.keep_alive:
            self._sockets.leave(client)
        return right

    def _cannot_read(self, client: Client, error: OSError) -> None:
        if isinstance(error, WOULD_BLOCK):
            return
        if client.state in (State.IDLE, State.LINGERING):
            self._sockets.close(client)
        else:
            self._fail(client, "short answer" if client.held else "reset")

    def _fail(self, client: Client, kind: ErrorKind) -> None:
        """The client's request is over, without a whole answer."""
        if client.counts:
            self._errors[kind] += 1
        client.counts = True
        self._sockets.close(client)
        client.state = State.IDLE
        self._broken.append(client)

    def _sweep(self, now: int) -> None:
        oldest_ns = now - round(self._plan.timeout_s * 1e9)
        for client in self._clients:
            if client.state is not State.IDLE and client.sent_ns < oldest_ns:
                self._fail(client, "connect" if client.state is State.CONNECTING else "time-out")
        if not self._plan.keep_alive:
            for client in list(self._sockets.by_fd.values()):
                if client.state is State.LINGERING and client.sent_ns < now - LINGER_NS:
                    self._sockets.close(client)
