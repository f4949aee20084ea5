"""The dedup store, put together: for the server, and for commands that work on it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from parparchik.config.model import Config, DedupConfig
from parparchik.content import ObjectBytes
from parparchik.dedup import (
    Bounds,
    Cleaner,
    CleanPolicy,
    DedupMount,
    DedupStatistics,
    DedupStore,
    FallThrough,
    Figures,
    FiletrackerServer,
    Keys,
    Lister,
    OpenedMetadata,
    Permissions,
    PutLimits,
    Recent,
    SpoolLimits,
    StoreHealth,
)
from parparchik.errors import ConfigError
from parparchik.routes import Authenticator
from parparchik.server.supervise import BackgroundTask
from parparchik.web import Place

SWEEP_EVERY_S = 86_400.0
"""All that S3 has is compared with all that is known: a request for each thousand objects."""


@dataclass(frozen=True, slots=True)
class DedupRooms:
    """`statistics` is `metrics.AskDedup`."""

    place: Place
    health: StoreHealth
    statistics: Callable[[], DedupStatistics]
    tasks: tuple[tuple[str, BackgroundTask], ...]


@dataclass(frozen=True, slots=True)
class DedupParts:
    """What the store consists of. `tasks` have to run for it to work."""

    settings: DedupConfig
    metadata: OpenedMetadata
    bucket: ObjectBytes
    store: DedupStore
    cleaner: Cleaner

    @property
    def tasks(self) -> tuple[tuple[str, BackgroundTask], ...]:
        return (("dedup metadata", self.metadata.run), ("dedup store", self.store.run))


def build_dedup_parts(settings: DedupConfig, bucket: ObjectBytes, lister: Lister) -> DedupParts:
    """`lister` lists the same bucket. Raises ConfigError."""
    spool = settings.spool_directory
    if spool is not None and not spool.is_dir():
        raise ConfigError(f"PARPARCHIK_DEDUP_SPOOL_DIR: {spool} is no directory")
    keys = Keys(settings.prefix, settings.key_depth, settings.bucket)
    metadata = OpenedMetadata(settings.metadata, keys)
    policy = CleanPolicy(secrets.token_hex(8), settings.prefix, settings.grace_s)
    return DedupParts(
        settings,
        metadata,
        bucket,
        store=DedupStore(metadata, bucket, limits_of(settings)),
        cleaner=Cleaner(metadata, bucket, lister, policy),
    )


def build_dedup_rooms(
    config: Config,
    objects: Mapping[str, ObjectBytes],
    lister: Lister | None,
    authenticator: Authenticator,
    received: Callable[[int], None],
) -> DedupRooms | None:
    """None where there is no such store. Otherwise as `build_byte_rooms`; `lister` lists the
    store's bucket. Raises ConfigError."""
    settings = config.dedup
    if settings is None or lister is None:
        return None
    parts = build_dedup_parts(settings, objects[settings.bucket], lister)
    tasks = list(parts.tasks)
    upstream = None
    if settings.upstream:
        server = FiletrackerServer(settings.upstream)
        upstream = FallThrough(parts.store, parts.metadata, server)
        tasks.append(("dedup upstream", upstream.run))
    figures = Figures(parts.store, parts.metadata, parts.cleaner, upstream)
    tasks.append(("dedup figures", figures.run))
    if settings.clean_every_s:
        sweep_every_s = max(settings.clean_every_s, SWEEP_EVERY_S)
        tasks.append(
            ("dedup cleaner", partial(parts.cleaner.run, settings.clean_every_s, sweep_every_s))
        )
    mount = DedupMount(
        settings.mount,
        upstream or parts.store,
        Permissions(
            authenticator, reading=settings.read_needs_key, writing=settings.write_needs_key
        ),
        Recent(parts.metadata, settings.memory_bytes, hit=parts.store.count_hit),
        received=received,
    )
    # Below the root `/list` is the list of all files.
    exactly = frozenset((f"{settings.mount}list".encode(),))
    return DedupRooms(
        place=Place("", settings.mount, mount, exactly),
        health=StoreHealth(parts.metadata, parts.bucket, settings.prefix),
        statistics=figures.statistics,
        tasks=tuple(tasks),
    )


def limits_of(settings: DedupConfig) -> PutLimits:
    most = settings.max_upload_bytes
    return PutLimits(
        bounds=Bounds(max_body_bytes=most, max_logical_bytes=most),
        spool=SpoolLimits(
            disk_budget_bytes=settings.spool_bytes, directory=settings.spool_directory
        ),
        level=settings.compression_level,
        max_bodies=settings.max_uploads,
    )
