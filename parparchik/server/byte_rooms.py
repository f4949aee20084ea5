"""What serves objects themselves, put together: the cache, and the mounts that stand on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from parparchik.cache import CacheStatistics, DiskStatistics, DiskStore, ObjectCache, Policy
from parparchik.config.model import CacheConfig, Config
from parparchik.content import ObjectBytes
from parparchik.delivery import CachedRelay, Deliverer
from parparchik.model import Bucket
from parparchik.objects import Gateway, GatewayStatistics
from parparchik.routes import Authenticator, Relay
from parparchik.server.shared_cache import Others, Outdated, SharedCache
from parparchik.server.supervise import BackgroundTask
from parparchik.site import Site
from parparchik.web import CacheControl, Place

CACHE_DIR = "PARPARCHIK_CACHE_DIR"
"""How errors call the directory."""


@dataclass(frozen=True, slots=True)
class ByteRooms:
    """`places` are the mounts, `relays` the buckets whose routes answer with the file.
    `shared_cache` is what all of them stand on: `object_cache`, one of several. Is
    `metrics.ByteSources`."""

    memory_budget_bytes: int
    object_cache: ObjectCache
    shared_cache: SharedCache
    disk_store: DiskStore | None
    object_gateway: Gateway | None
    places: tuple[Place, ...]
    relays: Mapping[str, Relay]
    control: CacheControl

    @property
    def tasks(self) -> Iterator[tuple[str, BackgroundTask]]:
        yield "cache", self.object_cache.run
        if self.disk_store is not None:
            yield "cache on disk", self.disk_store.run

    def let_go(self) -> None:
        """Leave the directory to the cache that follows; what is in memory is still given."""
        if self.disk_store is not None:
            self.disk_store.let_go()

    def cache(self) -> CacheStatistics:
        return self.object_cache.statistics()

    def disk(self) -> DiskStatistics | None:
        return None if self.disk_store is None else self.disk_store.statistics()

    def gateway(self) -> GatewayStatistics | None:
        return None if self.object_gateway is None else self.object_gateway.statistics()


def serves_bytes(config: Config) -> bool:
    """Whether anything but redirects is configured."""
    return bool(config.sites or config.objects or _relayed(config))


def build_byte_rooms(
    config: Config,
    objects: Mapping[str, ObjectBytes],
    authenticator: Authenticator,
    received: Callable[[int], None],
    others: Others,
) -> ByteRooms | None:
    """None where nothing is served but redirects. `objects` has every bucket by its name;
    `received` is told the size of every body that was taken; `others` are the further caches of
    these objects. A directory that another process still has is waited for. Raises ConfigError."""
    if not serves_bytes(config):
        return None
    settings = config.cache
    policy = policy_of(settings)
    disk = None
    if settings.directory is not None:
        disk = DiskStore(settings.directory, settings.disk_bytes, setting=CACHE_DIR, patient=True)
    object_cache = ObjectCache(settings, objects, disk)
    cache = SharedCache(object_cache, others)
    deliverer = Deliverer(cache, compress_max_bytes=settings.compress_max_bytes)
    compress_min_bytes = settings.compress_min_bytes if settings.compress else None
    relay = CachedRelay(
        deliverer,
        policy,
        compress_min_bytes=compress_min_bytes,
        needs_keys=authenticator.required,
    )
    buckets = {each.bucket.name: each.bucket for each in config.buckets}
    places: list[Place] = []
    for site in config.sites:
        mounted = Site(
            *(site, objects[site.bucket], cache, deliverer),
            policy=policy,
            authenticator=authenticator,
            compress_min_bytes=compress_min_bytes,
            hides=_reserved(buckets.get(site.bucket)),
        )
        cache.tell(partial(_tell_site, mounted))
        places.append(Place(site.host, site.mount, mounted))
    gateway = None
    if config.objects is not None:
        gateway = Gateway(
            *(config.objects, objects, cache, deliverer),
            policy=policy,
            authenticator=authenticator,
            reserving=buckets.values(),
            compresses=settings.compress,
            received=received,
        )
        places.append(Place("", config.objects.mount, gateway))
    return ByteRooms(
        memory_budget_bytes=settings.memory_bytes,
        object_cache=object_cache,
        shared_cache=cache,
        disk_store=disk,
        object_gateway=gateway,
        places=tuple(places),
        relays=dict.fromkeys(_relayed(config), relay),
        control=CacheControl(cache, tuple(objects), policy),
    )


def _tell_site(site: Site, outdated: Outdated) -> None:
    site.forget(outdated.names, outdated.below)


def policy_of(settings: CacheConfig) -> Policy:
    return Policy(
        ttl_s=settings.ttl_s,
        respect_cache_control=settings.respect_cache_control,
        stale_while_revalidate_s=settings.stale_while_revalidate_s,
        stale_if_error_s=settings.stale_if_error_s,
        negative_ttl_s=settings.negative_ttl_s,
    )


def _reserved(bucket: Bucket | None) -> Callable[[str], bool]:
    """Which keys are the registry's alone."""
    return bucket.reserves if bucket is not None else lambda key: False


def _relayed(config: Config) -> list[str]:
    return [each.bucket.name for each in config.buckets if each.mode == "proxy"]
