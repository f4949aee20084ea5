"""The accepted configuration, handed from the parent to its workers.

A worker that is started later must run what the parent runs, not what a file says by then; and what
secrets it holds must be seen in no list of processes. So it travels over the channel.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from parparchik.cache import part_of
from parparchik.config.model import CacheConfig, Config

LEAST_BYTES = 1 << 20
"""Of a cache's memory, and of its disk: less is no setting either."""


def encode(config: Config) -> bytes:
    return msgspec.msgpack.encode(config, enc_hook=_encode_path)


def decode(data: bytes) -> Config:
    """Raises msgspec.ValidationError."""
    return msgspec.msgpack.decode(data, type=Config, dec_hook=_decode_path)


def share_of(config: Config, workers: int) -> Config:
    """One worker's share: what the settings allow the server to have open, and to keep, is
    divided. So is what a client may ask for, since each worker limits for itself: whoever asks
    over one connection, and so one worker, gets no more than that worker's share."""
    routes, s3, server, limits = config.routes, config.s3, config.server, config.limits
    objects, sinks, dedup = config.objects, config.sinks, config.dedup
    return replace(
        config,
        routes=replace(routes, max_probes=_part(routes.max_probes, workers)),
        s3=replace(s3, max_connections=_part(s3.max_connections, workers)),
        server=replace(server, max_connections=_part(server.max_connections, workers)),
        limits=replace(
            limits,
            requests_per_second=limits.requests_per_second / workers,
            burst=_part(limits.burst, workers),
        ),
        cache=_cache_share(config.cache, workers),
        sites=tuple(
            replace(each, listings_per_second=each.listings_per_second / workers)
            for each in config.sites
        ),
        objects=objects and replace(objects, max_uploads=_part(objects.max_uploads, workers)),
        dedup=dedup
        and replace(
            dedup,
            max_uploads=_part(dedup.max_uploads, workers),
            spool_bytes=_part(dedup.spool_bytes, workers),
        ),
        sinks=replace(
            sinks,
            sinks=tuple(
                replace(each, queue_max=max(_part(each.queue_max, workers), each.batch_max))
                for each in sinks.sinks
            ),
        ),
    )


def _cache_share(cache: CacheConfig, workers: int) -> CacheConfig:
    """Never less than may be set. What is kept of an object is not divided, but for what has no
    room in a share."""
    memory_bytes = max(cache.memory_bytes // workers, min(LEAST_BYTES, cache.memory_bytes))
    least_bytes = max(cache.slice_bytes, LEAST_BYTES)
    return replace(
        cache,
        memory_bytes=memory_bytes,
        memory_object_bytes=min(cache.memory_object_bytes, memory_bytes),
        disk_bytes=max(cache.disk_bytes // workers, min(least_bytes, cache.disk_bytes)),
        max_fills=_part(cache.max_fills, workers),
        negative_max=_part(cache.negative_max, workers),
    )


def own_place(config: Config, number: int) -> Config:
    """For worker `number`: its part of the cache's directory."""
    directory = config.cache.directory
    if directory is None:
        return config
    return replace(config, cache=replace(config.cache, directory=part_of(directory, number)))


def _part(whole: int, workers: int) -> int:
    return -(-whole // workers)


def _encode_path(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a setting of type {type(value).__name__}")


def _decode_path(kind: type, value: Any) -> Path:
    if kind is Path:
        return Path(value)
    raise TypeError(f"a setting of type {kind.__name__}")
