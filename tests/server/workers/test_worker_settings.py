"""The configuration on its way to a worker."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from parparchik.config.model import (
    AuthConfig,
    BucketConfig,
    Config,
    Endpoint,
    RoutesConfig,
    S3Config,
    StaticKeys,
)
from parparchik.model import Bucket
from parparchik.server.workers.settings import decode, encode, share_of

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
    same = dataclasses.replace(share, routes=CONFIG.routes, s3=CONFIG.s3, server=CONFIG.server)
    assert same == CONFIG


def test_a_share_is_never_nothing() -> None:
    share = share_of(CONFIG, 100)
    assert (share.routes.max_probes, share.s3.max_connections) == (1, 1)
