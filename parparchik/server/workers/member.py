"""One worker process, as its parent holds it."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Sequence

import msgspec
import structlog
import trio

from parparchik import __version__
from parparchik.errors import ParparchikError
from parparchik.metrics import Family
from parparchik.server.tls import Pem
from parparchik.server.workers import messages as m
from parparchik.server.workers.channel import Channel
from parparchik.server.workers.hub import Hub, Port
from parparchik.server.workers.turns import Turns

EXIT_LIMIT_S = 5.0
"""For a process to end whose channel has; also what a stopping one has beyond its grace."""

NUMBERS_LIMIT_S = 1.0
"""A worker that does not answer a scrape in time is counted as it was."""

log = structlog.get_logger(__name__)


class Member:
    """Runs one process and talks to it. `pem` is what it shows where TLS is spoken."""

    def __init__(self, number: int, hub: Hub, pem: Pem | None = None) -> None:
        self.number = number
        self.up = trio.Event()
        self.ended = trio.Event()
        self.told_to_stop = False
        self.families: Sequence[Family] = ()  # as it told them last
        self._hub = hub
        self._pem = pem
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
                )
            )
            if self.told_to_stop:
                self.kill()
            async with trio.open_nursery() as nursery:
                assert process.stderr is not None  # noqa: S101  it was asked for
                nursery.start_soon(pass_on, process.stderr)
                try:
                    await Port(self._hub, channel).run(self._handle)
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

    def _handle(self, message: msgspec.Struct) -> None:
        match message:
            case m.Up():
                log.info("worker up", worker=self.number)
                self.up.set()
            case m.Ended():
                self.families = message.families

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
