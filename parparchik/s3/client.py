"""The S3 client: what all buckets share, and the buckets opened on it.

Connections and the retry budget belong to an endpoint, whichever bucket asks: an endpoint that is
down is down for all of its buckets, and it is not asked more often for being known under several
names.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx
import trio

from parparchik.config import BucketConfig, S3Config
from parparchik.s3.addressing import Origin, internal_address
from parparchik.s3.bucket import S3Bucket
from parparchik.s3.objects import S3Objects
from parparchik.s3.operation import Operations
from parparchik.s3.retry import Retrier, RetryBudget
from parparchik.s3.sigv4 import Credentials
from parparchik.s3.statistics import S3Statistics
from parparchik.s3.transport import Transport, tls_context


class S3Client:
    """Opens buckets. Raises ConfigError for a CA bundle that cannot be used."""

    def __init__(self, config: S3Config, *, now: Callable[[], float] = time.time) -> None:
        self._config = config
        self._now = now
        self._transport = Transport(
            tls_context(config.ca_bundle),
            max_connections=config.max_connections,
            idle_timeout_s=config.idle_timeout_s,
        )
        self._http = httpx.AsyncClient(
            transport=self._transport,
            trust_env=False,
            follow_redirects=False,
            # A load balancer's cookies would tie us to one of its servers.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        )
        self._retriers: dict[Origin, Retrier] = {}
        self._operations: dict[tuple[Origin, str], Operations] = {}

    @property
    def http(self) -> httpx.AsyncClient:
        """httpx's client on the connections that the buckets are asked on, for credential
        sources."""
        return self._http

    def bucket(self, config: BucketConfig, credentials: Callable[[], Credentials]) -> S3Bucket:
        """A bucket, from now on part of `statistics`. Raises ConfigError where it cannot be
        addressed. See `S3Bucket` for what `credentials` has to be."""
        return S3Bucket(
            config,
            self._config,
            credentials=credentials,
            transport=self._transport,
            operations=self._operations_on(config),
            now=self._now,
        )

    def objects(self, config: BucketConfig, credentials: Callable[[], Credentials]) -> S3Objects:
        """The objects of a bucket, bytes and all; what is asked of either counts as asked of the
        bucket. Otherwise as `bucket`."""
        return S3Objects(
            config,
            self._config,
            credentials=credentials,
            transport=self._transport,
            operations=self._operations_on(config),
            now=self._now,
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Closes connections that have been idle for too long, until cancelled; then all."""
        await self._transport.run(task_status=task_status)

    def close(self) -> None:
        """For who does not `run` it."""
        self._transport.close()

    def statistics(self) -> S3Statistics:
        return S3Statistics(
            operations=tuple(
                each for bucket in self._operations.values() for each in bucket.statistics()
            ),
            pools=self._transport.statistics(),
        )

    def _operations_on(self, config: BucketConfig) -> Operations:
        origin = internal_address(config.bucket.name, config.endpoint).origin
        operations = self._operations.get((origin, config.bucket.name))
        if operations is None:
            retrier = self._retriers.get(origin)
            if retrier is None:
                retrier = self._retriers[origin] = Retrier(self._config.retries, RetryBudget())
            operations = self._operations[origin, config.bucket.name] = Operations(
                config.bucket.name, retrier, total_s=self._config.total_timeout_s
            )
        return operations
