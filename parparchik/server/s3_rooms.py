"""What speaks to S3, put together from the settings: for the server and for commands."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import trio

from parparchik.config.model import Config
from parparchik.content import ObjectBytes
from parparchik.errors import NoCredentials
from parparchik.model import ObjectStore
from parparchik.s3 import S3Client
from parparchik.s3.credentials import CredentialStores
from parparchik.server.byte_rooms import serves_bytes
from parparchik.server.supervise import BackgroundTask


@dataclass(frozen=True, slots=True)
class S3:
    """All that speaks to S3. `stores` are the buckets with routes; `objects` has every bucket by
    its name, where bytes are served; `dedup_lister` is the dedup store's. `tasks` have to run for
    it to go on working."""

    client: S3Client
    stores: tuple[ObjectStore, ...]
    credentials: CredentialStores
    objects: Mapping[str, ObjectBytes] = field(default_factory=dict)
    dedup_lister: ObjectStore | None = None

    @property
    def tasks(self) -> tuple[tuple[str, BackgroundTask], ...]:
        return (
            ("s3 connections", self.client.run),
            *(("s3 credentials", store.run) for store in self.credentials),
        )

    async def first_credentials(self) -> None:
        """Returns when every source has been asked once, whatever came of it."""
        for store in self.credentials:
            with suppress(NoCredentials):
                await store.load()


def build_s3(config: Config, environ: Mapping[str, str]) -> S3:
    """Clients for the configured buckets, in their order; nothing is asked yet. Raises
    ConfigError."""
    client = S3Client(config.s3)
    region = config.region
    credentials = CredentialStores(environ, client.http, region=region)
    stores = tuple(
        client.bucket(bucket, credentials.for_endpoint(bucket.endpoint).current)
        for bucket in config.buckets
    )
    bucket_objects = {
        each.bucket.name: client.objects(each, credentials.for_endpoint(each.endpoint).current)
        for each in (config.every_bucket if serves_bytes(config) or config.dedup else ())
    }
    dedup_lister = None
    if config.dedup is not None:
        (its,) = (e for e in config.every_bucket if e.bucket.name == config.dedup.bucket)
        dedup_lister = client.bucket(its, credentials.for_endpoint(its.endpoint).current)
    return S3(client, stores, credentials, bucket_objects, dedup_lister)


@asynccontextmanager
async def open_stores(
    config: Config, environ: Mapping[str, str]
) -> AsyncIterator[Sequence[ObjectStore]]:
    """The configured buckets, in their order, for as long as the context lasts; their first
    credentials have been asked for. For commands: nothing is restarted that crashes."""
    s3 = build_s3(config, environ)
    # A context manager is where a nursery may be open across a yield: whoever uses it leaves it.
    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as starting:
            for _, task in s3.tasks:
                starting.start_soon(nursery.start, task)
        yield s3.stores
        nursery.cancel_scope.cancel()
