"""The client's whole round against moto: quick to start, though it checks no signature."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from moto.server import ThreadedMotoServer

from parparchik.config.model import BucketConfig, Endpoint
from parparchik.errors import NoBucket, PreconditionFailed
from parparchik.model import Bucket
from parparchik.s3 import S3Bucket, S3Client
from tests.s3.fake_s3 import KEYS


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def bucket_at(s3: S3Client, url: str, name: str) -> S3Bucket:
    return s3.bucket(BucketConfig(Bucket(name), Endpoint(url=url)), lambda: KEYS)


@pytest.fixture
def bucket(s3: S3Client, moto_url: str, request: pytest.FixtureRequest) -> S3Bucket:
    name = request.node.name.replace("_", "-")
    assert httpx.put(f"{moto_url}/{name}", trust_env=False).is_success
    return bucket_at(s3, moto_url, name)


async def test_round(bucket: S3Bucket) -> None:
    assert await bucket.head("a b/ü") is None
    assert await bucket.get("a b/ü") is None
    etag = await bucket.put("a b/ü", [b"content"], content_type="text/plain")
    head = await bucket.head("a b/ü")
    assert head is not None
    assert (head.size_bytes, head.etag) == (7, etag)
    stored = await bucket.get("a b/ü")
    assert stored is not None
    assert (stored.data, stored.head) == (b"content", head)
    page = await bucket.list_page()
    assert [(each.key, each.head) for each in page.objects] == [("a b/ü", head)]
    assert page.next_token is None


async def test_conditions(bucket: S3Bucket) -> None:
    etag = await bucket.put("m", [b"1"], content_type="text/plain", if_none_match="*")
    with pytest.raises(PreconditionFailed):
        await bucket.put("m", [b"2"], content_type="text/plain", if_none_match="*")
    await bucket.put("m", [b"2"], content_type="text/plain", if_match=etag)
    with pytest.raises(PreconditionFailed):
        await bucket.put("m", [b"3"], content_type="text/plain", if_match=etag)


async def test_no_bucket(s3: S3Client, moto_url: str) -> None:
    bucket = bucket_at(s3, moto_url, "misspelt")
    with pytest.raises(NoBucket):
        await bucket.head("k")
    with pytest.raises(NoBucket):
        await bucket.list_page()
