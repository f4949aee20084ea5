"""The life of a worker: told who it is, it answers until it is told to stop, or is orphaned.

The signals of a terminal or of a service manager may reach every process of a group, and what they
ask for is the parent's to do in order: a worker does not hear them. It ends when it is told to, and
when the channel ends, which the kernel sees to even where the parent was killed.
"""

from __future__ import annotations

import signal
import socket

import msgspec
import structlog
import trio

from parparchik import __version__
from parparchik.content import ObjectName
from parparchik.errors import ParparchikError, Unavailable
from parparchik.server.log import configure_logging, configured_secrets
from parparchik.server.shared_cache import Outdated
from parparchik.server.supervise import BackgroundTask
from parparchik.server.tls import Pem
from parparchik.server.workers import messages as m
from parparchik.server.workers import settings
from parparchik.server.workers.channel import Channel
from parparchik.server.workers.program import BuildProgram, WorkerProgram
from parparchik.server.workers.remote import RemoteOwner
from parparchik.server.workers.turns import SharedListener, Turns

PREPARE_LIMIT_S = 10.0
"""For the first credentials: a worker that accepts before it has some would refuse requests."""

REPORT_LIMIT_S = 2.0
"""For the last that it has to say, to a parent that may not listen any more."""

log = structlog.get_logger(__name__)


class WrongParent(ParparchikError):
    """The parent is of another version: the program was replaced under it."""


class _Conversation:
    """What the parent says, taken as it comes."""

    def __init__(self, channel: Channel, nursery: trio.Nursery) -> None:
        self.told_who = trio.Event()
        self.told_to_stop = trio.Event()
        self.setup: m.Setup | None = None
        self.pem: Pem | None = None
        self.owner: RemoteOwner | None = None
        self.grace_s = 0.0
        self.program: WorkerProgram | None = None
        self._channel = channel
        self._nursery = nursery

    def handle(self, message: msgspec.Struct) -> None:
        match message:
            case m.Setup():
                self.setup, self.pem = message, message.pem
                if message.version == __version__:
                    config = settings.decode(message.config)
                    buckets = [each.bucket for each in config.buckets]
                    self.owner = RemoteOwner(self._channel, buckets, message.instance)
                self.told_who.set()
            case m.Renew():
                self.pem = message.pem
                if self.program is not None:
                    self.program.renew_certificate(message.pem)
            case m.Stop():
                self.grace_s = message.grace_s
                self.told_to_stop.set()
            case m.GiveNumbers():
                families = self.program.families() if self.program else []
                self._channel.post(m.Numbers(message.id, families))
            case m.Drop():
                self._nursery.start_soon(self._drop, message)
            case _ if self.owner is not None:
                self.owner.handle(message)

    async def _drop(self, drop: m.Drop) -> None:
        """Whatever fails here must end the process: the parent relies on the answer."""
        cache = self.program.cache if self.program is not None else None
        answer = m.Dropped(drop.id, 0, settled=True)
        if cache is not None:
            names = tuple(ObjectName(*each) for each in drop.names)
            forgot = await cache.forget(Outdated(names, tuple(drop.below)))
            answer = m.Dropped(drop.id, forgot.objects, forgot.settled)
        self._channel.post(answer)


async def run_worker(end: socket.socket, build: BuildProgram) -> None:
    """Serve what the parent at the other end of `end` says. Returns when told to stop and done, or
    when the parent is gone. Raises WrongParent."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    end.setblocking(False)
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(end))
    channel = Channel(stream, m.ToWorker, m.AnswersOfParent)
    async with trio.open_nursery() as nursery:
        said = _Conversation(channel, nursery)

        async def talk() -> None:
            await channel.run(said.handle)
            nursery.cancel_scope.cancel()

        nursery.start_soon(talk)
        await said.told_who.wait()
        await _live(said, channel, build)
        nursery.cancel_scope.cancel()


async def _live(said: _Conversation, channel: Channel, build: BuildProgram) -> None:
    setup, owner = said.setup, said.owner
    assert setup is not None  # noqa: S101  told before this was called
    if owner is None:
        raise WrongParent(f"the parent is version {setup.version}, this is {__version__}")
    config = settings.own_place(settings.decode(setup.config), setup.worker)
    structlog.contextvars.bind_contextvars(worker=setup.worker)
    configure_logging(config.log, secrets=configured_secrets(config, setup.environ))
    program = said.program = build(config, setup.environ, owner, said.pem)
    try:
        await owner.join()
    except Unavailable:
        return  # the parent is gone, and with it everything
    turn = Turns(setup.turns, setup.workers).at(setup.worker - 1)
    sockets = [
        SharedListener(descriptor, turn, lambda: program.plane.count)
        for descriptor in setup.sockets
    ]
    async with trio.open_nursery() as nursery:
        registry: tuple[str, BackgroundTask] = ("registry", owner.run)
        for name, task in (*program.tasks, registry):
            nursery.start_soon(program.supervisor.run, name, task)
        with trio.move_on_after(PREPARE_LIMIT_S):
            await program.prepared()
        await nursery.start(program.plane.serve, sockets)
        channel.post(m.Up())
        await said.told_to_stop.wait()
        for each in sockets:
            each.take_all()
        program.let_go()
        program.plane.stop_accepting()
        for each in sockets:
            each.close()
        with trio.move_on_after(said.grace_s) as grace:
            await program.plane.drain()
        if grace.cancelled_caught:
            log.warning("connections cut", after_s=said.grace_s)
        program.plane.abort()
        with trio.move_on_after(REPORT_LIMIT_S):
            await owner.flush()
            channel.post(m.Ended(program.families()))
            await channel.flush()
        nursery.cancel_scope.cancel()
