"""One worker process, as its parent holds it."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Sequence
from functools import partial

import msgspec
import structlog
import trio

from parparchik import __version__
from parparchik.content import ObjectName
from parparchik.errors import ParparchikError, Unavailable
from parparchik.metrics import Family
from parparchik.server.peered_caches import PeeredCaches
from parparchik.server.shared_cache import Outdated
from parparchik.server.tls import Pem
from parparchik.server.workers import messages as m
from parparchik.server.workers.caches import Parts, Worker
from parparchik.server.workers.channel import Channel
from parparchik.server.workers.faults import to_message
from parparchik.server.workers.frames import BrokenFrame
from parparchik.server.workers.hub import Hub, Port
from parparchik.server.workers.turns import Turns

EXIT_LIMIT_S = 5.0
"""For a process to end whose channel has; also what a stopping one has beyond its grace."""

KILL_LIMIT_S = 5.0
"""For the kernel to end a process that was killed."""

NUMBERS_LIMIT_S = 1.0
"""A worker that does not answer a scrape in time is counted as it was."""

log = structlog.get_logger(__name__)


class Member:
    """Runs one process and talks to it. `pem` is what it shows where TLS is spoken, `instance` what
    it is called among the peers of the server. Is `caches.Worker`."""

    def __init__(
        self,
        number: int,
        hub: Hub,
        caches: PeeredCaches[Worker],
        *,
        parts: Parts | None = None,
        pem: Pem | None = None,
        instance: str = "",
    ) -> None:
        self.number = number
        self.parts = parts
        self.joined = False
        self.up = trio.Event()
        self.ended = trio.Event()
        self.told_to_stop = False
        self.families: Sequence[Family] = ()  # as it told them last
        self._hub = hub
        self._caches = caches
        self._pem = pem
        self._instance = instance
        self._channel: Channel | None = None
        self._process: trio.Process | None = None

    async def run(
        self,
        command: Sequence[str],
        config: bytes,
        environ: dict[str, str],
        sockets: Sequence[socket.socket],
        turns: Turns,
    ) -> int:
        """Start the process, serve it until it ends; returns its exit code (negative: a signal).
        Raises OSError when it cannot be started."""
        try:
            descriptors = [each.fileno() for each in sockets]
            ours, theirs = socket.socketpair()
            with theirs:
                self._process = process = await trio.lowlevel.open_process(
                    command,
                    stdin=theirs,
                    stderr=subprocess.PIPE,
                    pass_fds=[*descriptors, turns.descriptor],
                    # Of its own: what a terminal sends to ours is for the parent alone.
                    process_group=0,
                )
            ours.setblocking(False)
            stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
            channel = self._channel = Channel(stream, m.ToParent, m.AnswersOfWorkers)
            channel.post(
                m.Setup(
                    *(__version__, self.number, config, environ),
                    *(descriptors, turns.descriptor, turns.size, self._pem),
                    instance=self._instance,
                )
            )
            if self.told_to_stop:
                self.kill()
            async with trio.open_nursery() as nursery:
                assert process.stderr is not None  # noqa: S101  it was asked for
                nursery.start_soon(pass_on, process.stderr)
                try:
                    await Port(self._hub, channel).run(partial(self._handle, nursery))
                except Exception:  # one worker's channel must not end its siblings
                    log.exception("channel failed", worker=self.number)
                    self.kill()
                with trio.move_on_after(EXIT_LIMIT_S):
                    await process.wait()
                self.kill()
                # What it has written is read to its end, unless another holds the pipe open.
                nursery.cancel_scope.deadline = trio.current_time() + EXIT_LIMIT_S
            return await process.wait()
        finally:
            self.kill()
            if self._process is not None:
                with trio.CancelScope(shield=True):
                    await self._process.wait()
            self.ended.set()

    def _handle(self, nursery: trio.Nursery, message: msgspec.Struct) -> None:
        assert self._channel is not None  # noqa: S101  it is where the message came from
        match message:
            case m.Join():
                self.joined = True
                self._channel.post(m.Joined(message.id))
            case m.Drop():
                nursery.start_soon(self._drop, self._channel, message)
            case m.Up():
                log.info("worker up", worker=self.number)
                self.up.set()
            case m.Ended():
                self.families = message.families

    # -- its cache ----------------------------------------------------------------------------

    async def _drop(self, channel: Channel, drop: m.Drop) -> None:
        """What it has changed is to be forgotten by the others."""
        names = tuple(ObjectName(*each) for each in drop.names)
        outdated = Outdated(names, tuple(drop.below), drop.by_peer)
        answer: m.Dropped | m.Failed
        try:
            objects = await self._caches.forget(outdated, self, settled=drop.settled)
            answer = m.Dropped(drop.id, objects, settled=True)
        except Exception as error:  # the worker's client is owed an answer, whatever failed
            failed = to_message(drop.id, error)
            if failed is None:
                log.exception("request of a worker failed", question="Drop")
                failed = m.Failed(drop.id, "Unavailable", "the parent process has failed")
            answer = failed
        channel.post(answer)

    async def forget(self, outdated: Outdated) -> tuple[int, bool]:
        """As `caches.Worker` has it."""
        assert self._channel is not None  # noqa: S101  it has joined
        drop = partial(m.Drop, names=list(outdated.names), below=list(outdated.below))
        try:
            dropped = await self._channel.call(m.Dropped, drop)
        except BrokenFrame as error:
            raise Unavailable(str(error)) from None
        return dropped.objects, dropped.settled

    async def end(self) -> None:
        """As `caches.Worker` has it."""
        self.kill()
        if self._process is not None:
            with trio.move_on_after(KILL_LIMIT_S):
                await self._process.wait()
                return
            raise Unavailable("it cannot be killed")

    # -- its life -----------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        return self.up.is_set() and not self.ended.is_set()

    def renew_certificate(self, pem: Pem) -> None:
        """Also where it is still being started."""
        self._pem = pem
        if self._channel is not None:
            self._channel.post(m.Renew(pem))

    async def ask_numbers(self) -> None:
        """Bring `families` up to date, if the worker answers."""
        if self._channel is not None and self.alive:
            with trio.move_on_after(NUMBERS_LIMIT_S):
                try:
                    numbers = await self._channel.call(m.Numbers, m.GiveNumbers)
                except ParparchikError:
                    return
                self.families = numbers.families

    def tell_to_stop(self, grace_s: float) -> None:
        """Have it accept nothing more, finish what it is at within `grace_s`, and end."""
        if self._channel is not None and not self.told_to_stop:
            self._channel.post(m.Stop(grace_s))
        self.told_to_stop = True

    async def stop(self, grace_s: float) -> None:
        """The same; returns when it has ended."""
        self.tell_to_stop(grace_s)
        with trio.move_on_after(grace_s + EXIT_LIMIT_S):
            await self.ended.wait()
        self.kill()
        await self.ended.wait()

    def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()


async def pass_on(source: trio.abc.ReceiveStream) -> None:
    """What a worker writes goes to our standard error, in whole lines; a last one that is none is
    made one."""
    rest = b""
    async with source:
        async for data in source:
            lines, newline, tail = bytes(data).rpartition(b"\n")
            if newline:
                _write(rest + lines + newline)
                rest = tail
            else:
                rest += tail
    if rest:
        _write(rest + b"\n")


def _write(data: bytes) -> None:
    sys.stderr.flush()
    sys.stderr.buffer.write(data)
    sys.stderr.buffer.flush()
