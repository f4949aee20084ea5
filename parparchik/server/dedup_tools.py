"""The dedup store without the server: for commands."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import trio

from parparchik.config.model import Config
from parparchik.errors import ConfigError
from parparchik.server.dedup_rooms import DedupParts, build_dedup_parts
from parparchik.server.s3_rooms import build_s3


@asynccontextmanager
async def open_dedup(config: Config, environ: Mapping[str, str]) -> AsyncIterator[DedupParts]:
    """The store that is configured, at work for as long as the context lasts; nothing is restarted
    that crashes. A server may be at work on it, too. Raises ConfigError where there is none."""
    s3 = build_s3(config, environ)
    if config.dedup is None or s3.dedup_lister is None:
        raise ConfigError("there is no dedup store: set PARPARCHIK_DEDUP_BUCKET")
    parts = build_dedup_parts(config.dedup, s3.objects[config.dedup.bucket], s3.dedup_lister)
    # A context manager is where a nursery may be open across a yield: whoever uses it leaves it.
    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as starting:
            for _, task in (*s3.tasks, *parts.tasks):
                starting.start_soon(nursery.start, task)
        await s3.first_credentials()
        yield parts
        nursery.cancel_scope.cancel()
