"""The configuration on its way to a worker."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from parparchik.config.model import (
    AuthConfig,
    BucketConfig,
    CacheConfig,
    Config,
    Endpoint,
    LimitsConfig,
    ObjectsConfig,
    RoutesConfig,
    S3Config,
    SinkConfig,
    SinksConfig,
    SiteConfig,
    StaticKeys,
)
from parparchik.model import Bucket
from parparchik.server.workers.settings import decode, encode, own_place, share_of

CONFIG = Config(
    buckets=(
        BucketConfig(Bucket("open", public=True), Endpoint(url="http://s3.test")),
        BucketConfig(Bucket("shut", "m.json"), Endpoint(keys=StaticKeys("id", "secret", "token"))),
    ),
    s3=S3Config(ca_bundle=Path("/etc/ca.pem"), max_connections=5),
    routes=RoutesConfig(verify="always", max_probes=64),
    auth=AuthConfig(("one", "two"), metrics_need_key=True),
)


def test_it_arrives_as_it_was_sent() -> None:
    assert decode(encode(CONFIG)) == CONFIG


def test_every_default_arrives() -> None:
    plain = Config(buckets=CONFIG.buckets)
    assert decode(encode(plain)) == plain


def test_what_may_be_open_is_divided() -> None:
    share = share_of(CONFIG, 3)
    assert (share.routes.max_probes, share.s3.max_connections) == (22, 2)
    assert share.server.max_connections == -(-CONFIG.server.max_connections // 3)
    same = dataclasses.replace(
        share, routes=CONFIG.routes, s3=CONFIG.s3, server=CONFIG.server, cache=CONFIG.cache
    )
    assert same == CONFIG


def test_what_a_site_may_ask_of_s3_is_divided() -> None:
    sites = (SiteConfig("www"), SiteConfig("any", mount="/a/", listings_per_second=0))
    share = share_of(dataclasses.replace(CONFIG, sites=sites), 4)
    assert [each.listings_per_second for each in share.sites] == [5, 0]


def test_what_a_client_may_ask_for_is_divided() -> None:
    share = share_of(dataclasses.replace(CONFIG, limits=LimitsConfig(10, 15)), 4)
    assert share.limits == LimitsConfig(2.5, 4)
    assert share_of(CONFIG, 4).limits == CONFIG.limits == LimitsConfig()


def test_the_cache_is_divided() -> None:
    whole = dataclasses.replace(
        CONFIG,
        cache=CacheConfig(directory=Path("/cache"), negative_max=7),
        objects=ObjectsConfig((("open", "all"),), max_uploads=64),
        sinks=SinksConfig((SinkConfig("influx", "tcp://s", queue_max=1000, batch_max=400),)),
    )
    share = share_of(whole, 3)
    cache = share.cache
    assert 3 * cache.memory_bytes <= whole.cache.memory_bytes < 3 * (cache.memory_bytes + 1)
    assert 3 * cache.disk_bytes <= whole.cache.disk_bytes < 3 * (cache.disk_bytes + 1)
    assert (cache.max_fills, cache.negative_max) == (22, 3)
    assert share.objects is not None
    assert share.objects.max_uploads == 22
    assert share.sinks.sinks[0].queue_max == 400  # a batch fits in
    assert cache.slice_bytes == whole.cache.slice_bytes
    assert own_place(share, 2).cache.directory == Path("/cache/worker-2")
    assert own_place(CONFIG, 2) == CONFIG


@pytest.mark.parametrize("workers", [2, 7, 1000])
def test_a_share_of_the_cache_could_be_set(workers: int) -> None:
    """The limits that `config` has for the whole hold for every part."""
    least = CacheConfig(
        memory_bytes=1 << 20, memory_object_bytes=1 << 20, disk_bytes=8 << 20, negative_max=0
    )
    for whole in (CacheConfig(), least):
        cache = share_of(dataclasses.replace(CONFIG, cache=whole), workers).cache
        assert 1 << 20 <= cache.memory_bytes <= whole.memory_bytes
        assert cache.memory_object_bytes <= cache.memory_bytes
        assert cache.slice_bytes <= cache.disk_bytes <= whole.disk_bytes
        assert cache.max_fills >= 1
        assert bool(cache.negative_max) == bool(whole.negative_max)


def test_a_share_is_never_nothing() -> None:
    share = share_of(CONFIG, 100)
    assert (share.routes.max_probes, share.s3.max_connections) == (1, 1)
