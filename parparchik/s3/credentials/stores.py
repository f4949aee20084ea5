"""One store for each distinct way of getting credentials, however many buckets use it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

import httpx

from parparchik.config.model import Endpoint, StaticKeys
from parparchik.s3.credentials.chain import default_chain, profile_source
from parparchik.s3.credentials.source import Source
from parparchik.s3.credentials.static import SettingsSource
from parparchik.s3.credentials.store import CredentialStore
from parparchik.s3.credentials.sts import SecurityTokenService


class CredentialStores:
    """The stores of all buckets; iterate to run each.

    Keys or a profile that the settings name for a bucket are used as they are; without them the
    default chain decides. `environ` is the process's environment, `client` speaks to metadata
    endpoints and STS: without proxies, and without a base URL. `region` is the region of STS
    where neither the environment nor a profile names one.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        client: httpx.AsyncClient,
        *,
        region: str = "us-east-1",
        now: Callable[[], float] = time.time,
    ) -> None:
        self._environ = environ
        self._client = client
        self._sts = SecurityTokenService(environ, client, region=region, now=now)
        self._now = now
        self._stores: dict[tuple[StaticKeys | None, str | None], CredentialStore] = {}

    def for_endpoint(self, endpoint: Endpoint) -> CredentialStore:
        """The store of a bucket's endpoint: the same for equal keys, or for the same profile."""
        identity = (endpoint.keys, endpoint.profile)
        store = self._stores.get(identity)
        if store is None:
            store = CredentialStore(self._sources(*identity), now=self._now)
            self._stores[identity] = store
        return store

    def __iter__(self) -> Iterator[CredentialStore]:
        return iter(self._stores.values())

    def _sources(self, keys: StaticKeys | None, profile: str | None) -> tuple[Source, ...]:
        if keys:
            return (SettingsSource(keys),)
        if profile:
            return (profile_source(profile, self._environ, self._client, self._sts),)
        return default_chain(self._environ, self._client, self._sts)
