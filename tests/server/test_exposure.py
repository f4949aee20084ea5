"""When private buckets are open to everybody, the operator must hear of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from parparchik.config.model import (
    AuthConfig,
    BucketConfig,
    Config,
    DedupConfig,
    Endpoint,
    ObjectsConfig,
    Permission,
    ServerConfig,
)
from parparchik.model import Bucket
from parparchik.server.exposure import (
    exposed_buckets,
    exposure_banner,
    open_dedup_banner,
    writable_banner,
    writable_buckets,
)


def config(host: str, *, keys: tuple[str, ...] = (), private: bool = True) -> Config:
    buckets = [Bucket("photos", public=True), *([Bucket("vault")] if private else [])]
    return Config(
        buckets=tuple(BucketConfig(bucket, Endpoint()) for bucket in buckets),
        server=ServerConfig(host=host, port=8080),
        auth=AuthConfig(api_keys=keys),
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "files.example.org"])
def test_exposed(host: str) -> None:
    assert exposed_buckets(config(host)) == ("vault",)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LocalHost."])
def test_this_machine_alone_is_no_exposure(host: str) -> None:
    assert exposed_buckets(config(host)) == ()


def test_keys_or_public_buckets_alone_are_no_exposure() -> None:
    assert exposed_buckets(config("0.0.0.0", keys=("k",))) == ()
    assert exposed_buckets(config("0.0.0.0", private=False)) == ()


def test_the_banner_says_who_what_and_how_to_mend_it() -> None:
    banner = "\n".join(exposure_banner(config("0.0.0.0"), ("vault", "safe")))
    for part in ("0.0.0.0:8080", "vault, safe", "PARPARCHIK_API_KEYS", "PARPARCHIK_HOST"):
        assert part in banner


def gateway(host: str, *, keys: tuple[str, ...] = ()) -> Config:
    allowed: tuple[tuple[str, Permission], ...] = (
        ("photos", "read"),
        ("inbox", "write"),
        ("vault", "all"),
    )
    return replace(config(host, keys=keys), objects=ObjectsConfig(allowed))


def test_buckets_that_anybody_may_write_to() -> None:
    assert writable_buckets(gateway("0.0.0.0")) == ("inbox", "vault")
    assert writable_buckets(gateway("127.0.0.1")) == ()
    assert writable_buckets(gateway("0.0.0.0", keys=("k",))) == ()
    assert writable_buckets(config("0.0.0.0")) == ()
    banner = "\n".join(writable_banner(gateway("0.0.0.0"), ("inbox", "vault")))
    for part in ("0.0.0.0:8080", "inbox, vault", "PARPARCHIK_API_KEYS", "`read` alone"):
        assert part in banner


def tracker(host: str, *, keys: tuple[str, ...] = (), needs_key: bool = True) -> Config:
    dedup = DedupConfig("blobs", "sqlite:///x", write_needs_key=needs_key)
    return replace(config(host, keys=keys), dedup=dedup)


def test_a_dedup_store_that_anybody_may_write_to() -> None:
    assert open_dedup_banner(tracker("127.0.0.1")) == ()
    assert open_dedup_banner(tracker("0.0.0.0", keys=("k",))) == ()
    assert open_dedup_banner(config("0.0.0.0")) == ()
    for store in (tracker("0.0.0.0"), tracker("0.0.0.0", keys=("k",), needs_key=False)):
        banner = "\n".join(open_dedup_banner(store))
        for part in ("0.0.0.0:8080", "/ft/", "PARPARCHIK_API_KEYS"):
            assert part in banner
