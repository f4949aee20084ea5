"""The workers of one parent: started, replaced when they die, changed for new ones, and ended.

Every worker accepts on the same sockets. While one is down its siblings have its share; while the
settings change, a new worker is up before the old one stops accepting: so nobody is refused.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import structlog
import trio

from parparchik.cache import DiskParts
from parparchik.config.model import Config, LogFormat, ServerConfig
from parparchik.errors import ParparchikError
from parparchik.metrics import Family, GroupExposition, Sum
from parparchik.server.descriptors import within_limit
from parparchik.server.peered_caches import PeeredCaches
from parparchik.server.tls import Pem, make_context, read_pem
from parparchik.server.wire import Application
from parparchik.server.workers import settings
from parparchik.server.workers.caches import Caches
from parparchik.server.workers.directories import Directories
from parparchik.server.workers.hub import Hub
from parparchik.server.workers.member import Member
from parparchik.server.workers.turns import Turns

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 10.0
"""Between the death of a worker and its successor; doubles while they die young."""

START_LIMIT_S = 60.0
"""For a worker to come up."""

LAST_WORDS_S = 0.5
"""For a worker that has cut connections to report and to end."""

NUMBERS_EVERY_S = 5.0
"""What a worker that is killed has counted since is lost."""

log = structlog.get_logger(__name__)


def worker_count(config: ServerConfig) -> int:
    """How many processes are to answer; without a number, one for each processor that is ours."""
    return config.workers or len(os.sched_getaffinity(0))


class NoWorkers(ParparchikError):
    """No worker has come up."""


@dataclass(frozen=True, slots=True)
class _Generation:
    """What workers are started with: `share` is one's part of the settings, `parts` where they
    have their caches on disk."""

    hub: Hub
    server: ServerConfig
    share: Config
    parts: DiskParts | None = None


class WorkerGroup:
    """Processes that are started by `command` and answer for the registry of an application.

    `serve.Answers`, `reload.Lives` and `metrics.Members`. To build it raises ConfigError for a
    certificate that cannot be used. Workers are given what was read of it, and read no file.
    """

    def __init__(
        self, command: Sequence[str], application: Application, environ: Mapping[str, str]
    ) -> None:
        self.restarts = 0
        self._command = tuple(command)
        self._size = worker_count(application.config.server)
        self._environ = dict(environ)
        self._members: dict[int, Member] = {}  # by number: those that are to stay
        self._all: set[Member] = set()
        self._directories = Directories(self._size)
        caches = Caches(self._size, self._all, self._directories.claimed)
        self._caches = PeeredCaches(caches, application.peers)
        self._instance = application.peers.instance
        self._ended = Sum()
        self._stopping = trio.Event()
        self._rolling = trio.Lock()
        self._sockets: Sequence[socket.socket] = ()
        self._nursery: trio.Nursery | None = None
        self._pem = _accepted(application.config.server)
        self._turns = Turns.create(self._size)
        self._generation = self._generation_of(application)

    @property
    def alive(self) -> int:
        return sum(member.alive for member in self._all)

    @property
    def count(self) -> int:
        """Open connections, as the workers have told them last."""
        families = (family for member in self._all for family in member.families)
        opened = (each.samples for each in families if each.name == "parparchik_connections")
        return int(sum(value for samples in opened for *_, value in samples))

    def _generation_of(self, application: Application) -> _Generation:
        config = application.config
        share = settings.share_of(config, self._size)
        share = within_limit(share, workers=self._size)
        if config.log.format == "auto":  # a worker's own standard error is never a terminal
            chosen: LogFormat = "console" if sys.stderr.isatty() else "json"
            share = replace(share, log=replace(config.log, format=chosen))
        exposition = GroupExposition(application.exposition, self)
        hub = Hub(application.service, application.readiness, exposition)
        return _Generation(hub, config.server, share)

    async def claim_directory(self) -> None:
        """Have the cache's directory, where there is to be one, for our workers alone. Raises
        ConfigError."""
        if self._generation.parts is None:
            self._generation = await self._with_directory(self._generation, None)

    async def _with_directory(
        self, generation: _Generation, before: DiskParts | None
    ) -> _Generation:
        share, parts = await self._directories.claim(generation.share, before)
        return replace(generation, share=share, parts=parts)

    def _uses(self, parts: DiskParts) -> bool:
        return any(member.parts is parts for member in self._all)

    # -- life ---------------------------------------------------------------------------------

    @property
    def _numbers(self) -> range:
        return range(1, self._size + 1)

    async def serve(
        self,
        sockets: Sequence[socket.socket],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Keep the workers running, until cancelled. Started when one has come up. Raises NoWorkers
        when each has died once, or takes too long."""
        self._sockets = sockets
        log.info("workers start", count=self._size)
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await self.claim_directory()
            if self._generation.parts is not None:
                nursery.start_soon(self._generation.parts.run)
            nursery.start_soon(self._generation.hub.run)
            first = [self._begin(number) for number in self._numbers]
            if not await _any_up(first):
                raise NoWorkers(f"none of {self._size} workers has come up; the log says why")
            nursery.start_soon(self._collect)
            task_status.started()

    def renew_certificate(self, config: ServerConfig, pem: Pem) -> None:
        """Have the workers show `pem`, and those that are still to be started. Raises ConfigError,
        and then nothing has changed."""
        make_context(config, pem)
        self._pem = pem
        for member in {*self._all, *self._members.values()}:
            member.renew_certificate(pem)

    async def install(self, application: Application) -> None:
        """From now on workers answer for `application`; returns when they do. Raises NoWorkers
        where a new one does not come up, and ConfigError for a directory that others use; those
        before stay then."""
        assert self._nursery is not None  # noqa: S101  `serve` is at work
        before = self._generation
        after = await self._with_directory(self._generation_of(application), before.parts)
        self._generation = after
        self._nursery.start_soon(after.hub.run)
        left = before
        try:
            await self._roll()
        except NoWorkers:
            left, self._generation = after, before
            raise
        finally:
            left.hub.retire()
            if left.parts is not None and left.parts is not self._generation.parts:
                self._nursery.start_soon(self._directories.leave, left.parts, self._uses)

    async def _roll(self) -> None:
        """Change every worker for a new one, one after the other. Raises NoWorkers, and nothing has
        changed, where the first does not come up: it is the proof that the others can."""
        assert self._nursery is not None  # noqa: S101  `serve` is at work
        async with self._rolling:
            proven = False
            for number in self._numbers:
                if self._stopping.is_set():
                    return
                old = self._members[number]
                new = self._begin(number)
                await _settled(new)
                if old.alive and not (proven or new.alive):
                    self._members[number] = old
                    new.tell_to_stop(0)
                    new.kill()
                    raise NoWorkers("a new worker has not come up, the old ones stay; see the log")
                proven = True
                self._nursery.start_soon(old.stop, self._grace_s)

    def stop_accepting(self) -> None:
        """Workers serve whom they have accepted and whoever is in the queue, and end."""
        self._stopping.set()
        for member in self._all:
            member.tell_to_stop(self._grace_s)

    async def drain(self) -> None:
        """Returns when every worker has finished what it was at, said its last, and ended."""
        self.stop_accepting()
        async with trio.open_nursery() as nursery:
            for member in tuple(self._all):
                nursery.start_soon(member.stop, self._grace_s)

    def abort(self) -> None:
        for member in self._all:
            member.kill()

    @property
    def _grace_s(self) -> float:
        """Less than what the process has, so that the last words of a worker are still heard."""
        whole = self._generation.server.shutdown_grace_s
        return max(whole - LAST_WORDS_S, whole / 2)

    def _begin(self, number: int) -> Member:
        """A member for this place, and whoever has to follow it there."""
        assert self._nursery is not None  # noqa: S101  `serve` is at work
        member = self._member(number)
        self._nursery.start_soon(self._keep, member, self._generation)
        return member

    def _member(self, number: int) -> Member:
        member = self._members[number] = Member(
            *(number, self._generation.hub, self._caches),
            parts=self._generation.parts,
            pem=self._pem,
            instance=self._instance,
        )
        return member

    async def _keep(self, member: Member, generation: _Generation) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            began = trio.current_time()
            code = await self._run(member, generation)
            if member.told_to_stop or self._members.get(member.number) is not member:
                return
            if trio.current_time() - began > LONGEST_PAUSE_S:
                pause_s = FIRST_PAUSE_S
            log.error("worker ended", worker=member.number, code=code, again_in_s=pause_s)
            with trio.move_on_after(pause_s):
                await self._stopping.wait()
            if self._stopping.is_set() or self._members.get(member.number) is not member:
                return
            self.restarts += 1
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            generation = self._generation
            member = self._member(member.number)
            log.info("worker starts again", worker=member.number)

    async def _run(self, member: Member, generation: _Generation) -> int | None:
        self._all.add(member)
        config = settings.encode(generation.share)
        try:
            return await member.run(
                self._command, config, self._environ, self._sockets, self._turns
            )
        except OSError as error:
            log.error("worker not started", worker=member.number, reason=str(error))  # noqa: TRY400
            return None
        finally:
            self._all.discard(member)
            self._ended.add_for_good(member.families)
            self._turns.leave(member.number - 1)

    # -- metrics.Members ----------------------------------------------------------------------

    async def numbers(self) -> Sequence[Sequence[Family]]:
        async with trio.open_nursery() as nursery:
            for member in tuple(self._all):
                nursery.start_soon(member.ask_numbers)
        return [self._ended.families(), *(member.families for member in self._all)]

    async def _collect(self) -> None:
        while True:
            await trio.sleep(NUMBERS_EVERY_S)
            await self.numbers()


async def _settled(member: Member) -> None:
    """Returns when it is up, has ended, or takes too long."""
    with trio.move_on_after(START_LIMIT_S):
        async with trio.open_nursery() as nursery:

            async def wait(event: trio.Event) -> None:
                await event.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(wait, member.up)
            nursery.start_soon(wait, member.ended)


async def _any_up(members: Sequence[Member]) -> bool:
    """Returns when one is up, or none can be waited for any longer."""
    async with trio.open_nursery() as nursery:

        async def watch(member: Member) -> None:
            await _settled(member)
            if member.alive:
                nursery.cancel_scope.cancel()

        for member in members:
            nursery.start_soon(watch, member)
    return any(member.alive for member in members)


def _accepted(config: ServerConfig) -> Pem | None:
    """What the files of the certificate hold, if there is to be one. Raises ConfigError."""
    if config.tls_certificate is None:
        return None
    pem = read_pem(config)
    make_context(config, pem)
    return pem
