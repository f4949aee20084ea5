"""What a worker is made of: the rooms of one process, with the parent's registry in them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import trio

from parparchik.config.model import Config
from parparchik.metrics import ConnectionStatistics, Exposition, Family, Traffic, no_dedup
from parparchik.registry import Prober, RegistryStatistics, Resolver, ServiceStatistics
from parparchik.routes import Authenticator
from parparchik.s3 import S3Client, S3Statistics
from parparchik.server.byte_rooms import build_byte_rooms
from parparchik.server.dedup_rooms import build_dedup_rooms
from parparchik.server.log import access_lines, configured_secrets
from parparchik.server.plane import Plane
from parparchik.server.s3_rooms import build_s3
from parparchik.server.shared_cache import SharedCache
from parparchik.server.supervise import BackgroundTask, Supervisor
from parparchik.server.tls import Certificate, Pem
from parparchik.server.wire import Process, build_answering
from parparchik.server.workers.mirror import Mirror, WorkerLookup
from parparchik.server.workers.owner import Owner
from parparchik.sinks import Sinks


@dataclass(frozen=True, slots=True)
class WorkerProgram:
    """`tasks` run in the background, each supervised; `prepared` returns when they are ready for a
    request; `families` are the numbers of this process; `renew_certificate` takes what the parent
    has accepted. `cache` is told what the others have changed; `let_go` leaves its directory to
    the worker that follows."""

    plane: Plane
    supervisor: Supervisor
    tasks: tuple[tuple[str, BackgroundTask], ...]
    prepared: Callable[[], Awaitable[None]]
    families: Callable[[], list[Family]]
    renew_certificate: Callable[[Pem], None]
    cache: SharedCache | None = None
    let_go: Callable[[], None] = lambda: None


class BuildProgram(Protocol):
    """Puts a worker together for a configuration, on whoever owns the registry. `pem` is its
    certificate where it speaks TLS."""

    def __call__(
        self, config: Config, environ: Mapping[str, str], owner: Owner, pem: Pem | None
    ) -> WorkerProgram: ...


class WorkerReadiness:
    """What the parent says, and, while a background task of this worker is down, that."""

    def __init__(self, owner: Owner, supervisor: Supervisor) -> None:
        self._owner = owner
        self._supervisor = supervisor

    def reason(self) -> str | None:
        return self._owner.reason() or self._supervisor.down


@dataclass(frozen=True, slots=True)
class WorkerSources:
    """`metrics.Sources` of a worker: it has verifications, but no registry and no manifests."""

    process: Process
    resolver: Resolver
    client: S3Client
    readiness: WorkerReadiness

    @property
    def traffic(self) -> Traffic:
        return self.process.traffic

    def service(self) -> ServiceStatistics:
        prober = self.resolver.prober
        names = [store.bucket.name for store in prober.stores]
        return ServiceStatistics(
            registry=RegistryStatistics(files=(), duplicates=0, week=0, month=0),
            ready=self.ready(),
            verifications=tuple(self.resolver.outcomes.items()),
            stale_answers=self.resolver.outcomes["stale"],
            manifest_writes=(),
            reachable=tuple(zip(names, (h.reachable for h in prober.health), strict=True)),
            errors=tuple(zip(names, (h.last_error for h in prober.health), strict=True)),
        )

    def s3(self) -> S3Statistics:
        return self.client.statistics()

    def connections(self) -> ConnectionStatistics:
        return self.process.connections()

    def ready(self) -> bool:
        return self.readiness.reason() is None

    def restarts(self) -> Iterable[tuple[str, int]]:
        return self.process.supervisor.restarts()


def build_worker(
    config: Config, environ: Mapping[str, str], owner: Owner, pem: Pem | None
) -> WorkerProgram:
    """`BuildProgram`. Raises ConfigError."""
    process = Process()
    lines = access_lines(config.log, secrets=configured_secrets(config, environ))
    s3 = build_s3(config, environ)
    mirror = Mirror([each.bucket for each in config.buckets], owner)
    lookup = WorkerLookup(mirror, owner, Prober(s3.stores, config.routes.max_probes), config.routes)
    readiness = WorkerReadiness(owner, process.supervisor)
    byte_rooms = build_byte_rooms(
        *(config, s3.objects, Authenticator(config.auth), process.traffic.received),
        others=owner,
    )
    dedup_rooms = build_dedup_rooms(
        *(config, s3.objects, s3.dedup_lister),
        *(Authenticator(config.auth), process.traffic.received),
    )
    sinks = Sinks(config.sinks)
    answering = build_answering(
        *(config, s3, process, lines),
        byte_rooms=byte_rooms,
        dedup_rooms=dedup_rooms,
        lookup=lookup,
        service=owner,
        files=owner,
        readiness=readiness,
        exposition=owner,
        observe=sinks.observe if sinks.wanted else None,
        instance=owner.instance,
    )
    server = config.server
    plane = Plane(
        *(server, answering, process.supervisor, process.request_ids),
        certificate=None if pem is None else Certificate(server, pem),
    )
    process.connections = plane.connections

    async def renew(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await lookup.resolver.run()

    sources = WorkerSources(process, lookup.resolver, s3.client, readiness)
    return WorkerProgram(
        plane=plane,
        supervisor=process.supervisor,
        tasks=(
            *s3.tasks,
            ("verification", renew),
            *(() if byte_rooms is None else byte_rooms.tasks),
            *(() if dedup_rooms is None else dedup_rooms.tasks),
            *((("sinks", sinks.run),) if sinks.wanted else ()),
        ),
        prepared=s3.first_credentials,
        families=Exposition(
            sources,
            objects=byte_rooms,
            sinks=sinks.statistics,
            dedup=no_dedup if dedup_rooms is None else dedup_rooms.statistics,
        ).families,
        renew_certificate=partial(plane.renew_certificate, server),
        cache=None if byte_rooms is None else byte_rooms.shared_cache,
        let_go=(lambda: None) if byte_rooms is None else byte_rooms.let_go,
    )
