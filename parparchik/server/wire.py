"""Where the rooms are put together: the only place that builds concrete ones.

What a room asks for as a Protocol or a callable, it is given here.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import trio

from parparchik.access import (
    AccessLog,
    Lines,
    Observe,
    RateLimiter,
    RequestIds,
    TrustedProxies,
)
from parparchik.config.model import AuthConfig, Config, ServerConfig
from parparchik.metrics import ConnectionStatistics, Exposition, Sum, Traffic, no_dedup
from parparchik.peers import Peers
from parparchik.registry import Service, ServiceStatistics
from parparchik.routes import Authenticator, Lookup, Responder
from parparchik.s3 import S3Client, S3Statistics, pass_on_traceparent
from parparchik.server.byte_rooms import ByteRooms, build_byte_rooms
from parparchik.server.dedup_rooms import DedupRooms, build_dedup_rooms
from parparchik.server.peered_caches import PeeredCaches
from parparchik.server.plane import Answering, Plane
from parparchik.server.readiness import Ending, ProcessReadiness
from parparchik.server.s3_rooms import S3
from parparchik.server.shared_cache import Siblings
from parparchik.server.supervise import BackgroundTask, Supervisor
from parparchik.server.tls import Certificate
from parparchik.sinks import Sinks
from parparchik.web import (
    UPLOAD_TIMEOUT_S,
    Files,
    Front,
    Management,
    Mounts,
    Peering,
    Readiness,
    RegistryService,
    create_management,
)
from parparchik.web import Exposition as Scrapes

READY_POLL_S = 0.05


class Process:
    """What lives as long as the process, whatever becomes of the settings: counters above all."""

    def __init__(self) -> None:
        self.supervisor = Supervisor()
        self.traffic = Traffic()
        self.request_ids = RequestIds()
        self.ending = Ending()
        self.earlier = Sum()  # what applications have counted that are no more
        self.caches = Siblings()
        self.peers = Peers()
        self.connections: Callable[[], ConnectionStatistics] = ConnectionStatistics


@dataclass(frozen=True, slots=True)
class Sources:
    """What the metrics are read from."""

    process: Process
    registry: Service
    s3_client: S3Client
    readiness: ProcessReadiness
    supervisor: Supervisor

    @property
    def traffic(self) -> Traffic:
        return self.process.traffic

    def service(self) -> ServiceStatistics:
        return self.registry.statistics()

    def s3(self) -> S3Statistics:
        return self.s3_client.statistics()

    def connections(self) -> ConnectionStatistics:
        return self.process.connections()

    def ready(self) -> bool:
        return self.readiness.reason() is None

    def restarts(self) -> tuple[tuple[str, int], ...]:
        return self.supervisor.restarts()


@dataclass(frozen=True, slots=True)
class Application:
    """Everything but the sockets: what one set of settings makes. `directory` is where this process
    has a cache on disk, if at all, and `let_go` leaves it to another one; within `present` the
    cache is told what others have changed. `peers`, which are the process's, are told of what is
    changed here."""

    config: Config
    answering: Answering
    service: Service
    readiness: ProcessReadiness
    exposition: Exposition
    supervisor: Supervisor
    tasks: tuple[tuple[str, BackgroundTask], ...]
    directory: Path | None = None
    let_go: Callable[[], None] = lambda: None
    present: Callable[[], AbstractContextManager[None]] = nullcontext
    peers: Peers = field(default_factory=Peers)

    async def run(
        self, *, task_status: trio.TaskStatus[trio.CancelScope] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run the tasks, each supervised, until cancelled; starts with the scope to do it by."""
        with trio.CancelScope() as scope, self.present():
            async with trio.open_nursery() as nursery:
                for name, task in self.tasks:
                    nursery.start_soon(self.supervisor.run, name, task)
                task_status.started(scope)

    async def until_ready(self) -> None:
        while not self.service.ready:  # noqa: ASYNC110  nobody is in a hurry
            await trio.sleep(READY_POLL_S)


def build_answering(
    config: Config,
    s3: S3,
    process: Process,
    lines: Lines | None,
    *,
    byte_rooms: ByteRooms | None,
    dedup_rooms: DedupRooms | None,
    lookup: Lookup,
    service: RegistryService,
    files: Files,
    readiness: Readiness,
    exposition: Scrapes,
    observe: Observe | None,
    instance: str,
) -> Answering:
    """What answers requests, of files by `lookup` and of the management API by the others, and
    records them; `lines` take the access log, `instance` is what peers know us by."""
    caching = None if byte_rooms is None else byte_rooms.control
    authenticator = Authenticator(config.auth)
    checks = None if dedup_rooms is None else dedup_rooms.health.check
    peering = None if byte_rooms is None else build_peering(config, byte_rooms, instance)
    management = Management(
        *(config, service, files, readiness, exposition, authenticator),
        *(caching, checks, peering),
    )
    relays = {} if byte_rooms is None else byte_rooms.relays
    responder = Responder(lookup, s3.stores, config.routes, config.auth, relays=relays)
    places = (
        *(() if byte_rooms is None else byte_rooms.places),
        *(() if dedup_rooms is None else (dedup_rooms.place,)),
    )
    mounts = Mounts(places, responder)
    pass_on = pass_on_traceparent if config.log.trace else None
    access = AccessLog(process.traffic, lines, observe, pass_on)
    limiter = None
    if config.limits.requests_per_second:
        proxies = TrustedProxies(config.sinks.trusted_proxies)
        limiter = RateLimiter(config.limits, proxies, authenticator)
    timeout_s = config.objects.upload_timeout_s if config.objects else UPLOAD_TIMEOUT_S
    front = Front(
        *(mounts, create_management(management), access, process.request_ids),
        trusts=management.trusts,
        limiter=limiter,
        upload_timeout_s=timeout_s,
    )
    return Answering(mounts.ask, front, access, limiter, mounts.act)


def build_peering(config: Config, byte_rooms: ByteRooms, instance: str) -> Peering:
    """Peers come in by any of the API keys, and by the one that is theirs alone."""
    keys = config.auth.api_keys
    if config.cache.peer_key:
        keys = (*keys, config.cache.peer_key)
    return Peering(
        instance, Authenticator(AuthConfig(keys)), byte_rooms.shared_cache.forget_for_peer
    )


def build_application(
    config: Config,
    s3: S3,
    process: Process,
    lines: Lines | None = None,
    *,
    keeps_objects: bool = True,
) -> Application:
    """The registry on `s3`, and all that answers for it. `lines` take the access log.
    `keeps_objects` is False where others answer, and this process needs no cache."""
    supervisor = Supervisor(process.supervisor)
    service = Service(s3.stores, config.routes)
    readiness = ProcessReadiness(service, supervisor, process.ending)
    sources = Sources(process, service, s3.client, readiness, supervisor)
    # Also where others answer: here it is told when its settings cannot work.
    dedup_rooms = build_dedup_rooms(
        *(config, s3.objects, s3.dedup_lister),
        *(Authenticator(config.auth), process.traffic.received),
    )
    if not keeps_objects:
        dedup_rooms = None
    byte_rooms = None
    if keeps_objects:
        byte_rooms = build_byte_rooms(
            *(config, s3.objects, Authenticator(config.auth), process.traffic.received),
            others=PeeredCaches(process.caches, process.peers),
        )
    sinks = Sinks(config.sinks)
    dedup_statistics = no_dedup if dedup_rooms is None else dedup_rooms.statistics
    exposition = Exposition(
        *(sources, process.earlier, byte_rooms, sinks.statistics, dedup_statistics),
        peers=process.peers.statistics,
    )
    answering = build_answering(
        *(config, s3, process, lines),
        byte_rooms=byte_rooms,
        dedup_rooms=dedup_rooms,
        lookup=service,
        service=service,
        files=service,
        readiness=readiness,
        exposition=exposition,
        observe=sinks.observe if sinks.wanted else None,
        instance=process.peers.instance,
    )

    async def start_up(*, task_status: trio.TaskStatus[None]) -> None:
        await s3.first_credentials()
        await service.start_up(task_status=task_status)

    tasks: tuple[tuple[str, BackgroundTask], ...] = (
        *s3.tasks,
        ("start-up", start_up),
        ("verification", service.renew),
        ("manifest writer", service.write_manifests),
        *(() if byte_rooms is None else byte_rooms.tasks),
        *(() if dedup_rooms is None else dedup_rooms.tasks),
        *((("sinks", sinks.run),) if sinks.wanted else ()),
    )
    application = Application(
        *(
            config,
            answering,
            service,
            readiness,
            exposition,
            supervisor,
        ),
        tasks,
        peers=process.peers,
    )
    if byte_rooms is None:
        return application
    return replace(
        application,
        directory=config.cache.directory,
        let_go=byte_rooms.let_go,
        present=partial(process.caches.present, byte_rooms.shared_cache),
    )


def build_plane(config: ServerConfig, application: Application, process: Process) -> Plane:
    """What answers for `application` on sockets. Raises ConfigError for a bad certificate."""
    certificate = Certificate(config) if config.tls_certificate is not None else None
    plane = Plane(
        *(config, application.answering, process.supervisor, process.request_ids),
        certificate=certificate,
    )
    process.connections = plane.connections
    return plane
