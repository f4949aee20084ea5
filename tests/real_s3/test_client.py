"""Our client against a gateway that checks every signature."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import httpx
import pytest
import trio

from parparchik.config.model import BucketConfig, Endpoint, S3Config
from parparchik.errors import Denied, NoBucket, PreconditionFailed, Unavailable
from parparchik.model import Bucket, ListedObject
from parparchik.s3 import Credentials, S3Bucket, S3Client
from tests.real_s3.odd_keys import ODD_KEYS
from tests.real_s3.rgw import Rgw, User

pytestmark = pytest.mark.real_s3

# Keys that httpx's URLs cannot hold never get as far as a GET.
KEYS = sorted(ODD_KEYS.values())

Open = Callable[..., S3Bucket]


@pytest.fixture
def open_bucket(rgw: Rgw) -> Iterator[Open]:
    """Opens a bucket of the gateway as one of its users, with some settings."""
    clients: list[S3Client] = []

    def open_(
        name: str,
        user: User = rgw.owner,
        *,
        credentials: Credentials | None = None,
        now: Callable[[], float] | None = None,
        **settings: float,
    ) -> S3Bucket:
        config = replace(S3Config(retries=1), **settings)  # type: ignore[arg-type]
        clients.append(S3Client(config, now=now) if now else S3Client(config))
        endpoint = Endpoint(region=rgw.region, url=rgw.endpoint)
        keys = credentials or user.credentials
        return clients[-1].bucket(BucketConfig(Bucket(name), endpoint), lambda: keys)

    yield open_
    for client in clients:
        client.close()


async def everything(
    bucket: S3Bucket, *, prefix: str = "", start_after: str | None = None
) -> list[ListedObject]:
    found: list[ListedObject] = []
    page = await bucket.list_page(prefix=prefix, start_after=start_after)
    found += page.objects
    while page.next_token is not None:
        page = await bucket.list_page(prefix=prefix, token=page.next_token)
        found += page.objects
    return found


async def test_odd_keys_are_written_found_read_and_listed(rgw: Rgw, open_bucket: Open) -> None:
    bucket = open_bucket(rgw.create_bucket())
    for key in KEYS:
        etag = await bucket.put(key, [key.encode()], content_type="text/plain")
        head = await bucket.head(key)
        assert head is not None, key
        assert (head.size_bytes, head.etag) == (len(key.encode()), etag)
        stored = await bucket.get(key)
        assert stored is not None
        assert (stored.data, stored.head) == (key.encode(), head)
    listed = await everything(bucket)
    assert [each.key for each in listed] == sorted(KEYS, key=lambda key: key.encode())
    with rgw.client() as boto:
        assert boto.head_object(Bucket=bucket.bucket.name, Key="a b")["ETag"] == etag_of(
            listed, "a b"
        )


def etag_of(listed: list[ListedObject], key: str) -> str:
    return next(each.head.etag for each in listed if each.key == key)


async def test_head_listing_and_get_agree(rgw: Rgw, open_bucket: Open) -> None:
    bucket = open_bucket(rgw.create_bucket({"k": b"content"}))
    [listed] = await everything(bucket)
    stored = await bucket.get("k")
    assert stored is not None
    assert listed.head == stored.head == await bucket.head("k")


async def test_what_is_not_there(rgw: Rgw, open_bucket: Open) -> None:
    bucket = open_bucket(rgw.create_bucket())
    for key in KEYS:
        assert await bucket.head(key) is None
        assert await bucket.get(key) is None
    assert await everything(bucket) == []


async def test_a_bucket_that_is_not_there(rgw: Rgw, open_bucket: Open) -> None:
    bucket = open_bucket("no-such-bucket")
    for ask in (
        bucket.head("k"), bucket.get("k"), bucket.list_page(),
        bucket.put("k", [b""], content_type="text/plain"),
    ):  # fmt: skip
        with pytest.raises(NoBucket, match="no-such-bucket"):
            await ask


async def test_a_bucket_that_is_deleted_while_asked(rgw: Rgw, open_bucket: Open) -> None:
    bucket = open_bucket(rgw.create_bucket())
    with rgw.client() as boto:
        boto.delete_bucket(Bucket=bucket.bucket.name)
    with pytest.raises(NoBucket):
        await bucket.head("k")


async def test_pages_follow_each_other_without_gap(rgw: Rgw, open_bucket: Open) -> None:
    bucket = open_bucket(rgw.create_bucket())
    keys = [f"part {number % 3}/ä+{number:04}" for number in range(1005)]
    waiting = trio.CapacityLimiter(16)

    async def put(key: str) -> None:
        async with waiting:
            await bucket.put(key, [b"x"], content_type="text/plain")

    async with trio.open_nursery() as nursery:
        for key in keys:
            nursery.start_soon(put, key)
    keys.sort(key=lambda key: key.encode())
    first = await bucket.list_page()
    assert len(first.objects) == 1000
    assert first.next_token is not None
    assert [each.key for each in await everything(bucket)] == keys
    assert [each.key for each in await everything(bucket, prefix="part 1/")] == [
        key for key in keys if key.startswith("part 1/")
    ]
    assert [each.key for each in await everything(bucket, start_after=keys[699])] == keys[700:]


async def test_conditional_writes(rgw: Rgw, open_bucket: Open) -> None:
    bucket = open_bucket(rgw.create_bucket())
    etag = await bucket.put("m", [b"one"], content_type="text/plain", if_none_match="*")
    with pytest.raises(PreconditionFailed):
        await bucket.put("m", [b"two"], content_type="text/plain", if_none_match="*")
    # This gateway compares with the ETag as it stores it: without quotes.
    second = await bucket.put("m", [b"two"], content_type="text/plain", if_match=etag.strip('"'))
    assert second != etag
    with pytest.raises(PreconditionFailed):
        await bucket.put("m", [b"three"], content_type="text/plain", if_match=etag.strip('"'))
    stored = await bucket.get("m")
    assert stored is not None
    assert (stored.data, stored.head.etag) == (b"two", second)


async def test_a_large_object(rgw: Rgw, open_bucket: Open) -> None:
    bucket = open_bucket(rgw.create_bucket())
    piece = bytes(range(256)) * 8_000
    data = piece * 10
    await bucket.put("large", [piece] * 10, content_type="application/octet-stream")
    stored = await bucket.get("large")
    assert stored is not None
    assert stored.data == data


async def test_who_may_not_list_is_not_told_what_is_missing(rgw: Rgw, open_bucket: Open) -> None:
    name = rgw.create_bucket({"k": b"content"})
    rgw.allow(name, "s3:GetObject")
    bucket = open_bucket(name, rgw.guest)
    assert await bucket.head("k") is not None
    with pytest.raises(Denied, match="s3:ListBucket"):
        await bucket.head("missing")
    with pytest.raises(Denied, match="s3:ListBucket"):
        await bucket.list_page()
    with pytest.raises(Denied, match="s3:PutObject"):
        await bucket.put("k", [b""], content_type="text/plain")
    declared = open_bucket(name, rgw.guest, denied_is_missing=True)
    assert await declared.head("missing") is None
    assert await declared.head("k") is not None


async def test_wrong_keys_and_clocks_make_nothing_absent(rgw: Rgw, open_bucket: Open) -> None:
    name = rgw.create_bucket({"k": b"content"})
    owner = rgw.owner.credentials
    unknown = Credentials("UNKNOWNACCESSKEY0001", owner.secret_access_key)
    wrong = Credentials(owner.access_key_id, "x" * 40)
    for bucket, hint in (
        (open_bucket(name, credentials=unknown, denied_is_missing=True), "AWS_ACCESS_KEY_ID"),
        (open_bucket(name, credentials=wrong, denied_is_missing=True), "AWS_SECRET_ACCESS_KEY"),
        (open_bucket(name, now=lambda: 1_700_000_000.0, denied_is_missing=True), "clock"),
    ):
        for key in ("k", "missing"):
            with pytest.raises(Denied, match=hint):
                await bucket.head(key)
        with pytest.raises(Denied, match=hint):
            await bucket.list_page()


def test_urls_for_clients(rgw: Rgw, open_bucket: Open, http: httpx.Client) -> None:
    private = open_bucket(rgw.create_bucket({"a b/ü+": b"content"}))
    public = open_bucket(rgw.create_public_bucket({"a b/ü+": b"content"}))
    assert http.get(public.public_url("a b/ü+")).content == b"content"
    assert http.get(private.public_url("a b/ü+")).status_code == 403
    url = private.presign("GET", "a b/ü+", expires_s=60).url
    assert http.get(url).content == b"content"
    assert http.head(url).status_code == 403
    assert http.head(private.presign("HEAD", "a b/ü+", expires_s=60).url).status_code == 200


async def test_many_probes_at_once(rgw: Rgw, open_bucket: Open) -> None:
    """Each key gets its own answer, on shared connections."""
    sizes = {f"k{number}": number for number in range(1, 33)}
    bucket = open_bucket(
        rgw.create_bucket({key: b"x" * size for key, size in sizes.items()}), max_connections=8
    )
    found: dict[str, int | None] = {}

    async def probe(key: str) -> None:
        head = await bucket.head(key)
        found[key] = head.size_bytes if head else None

    async with trio.open_nursery() as nursery:
        for number in range(1, 65):
            nursery.start_soon(probe, f"k{number}")
    assert found == {f"k{number}": sizes.get(f"k{number}") for number in range(1, 65)}


async def test_a_gateway_that_hangs_or_is_gone(rgw: Rgw, open_bucket: Open) -> None:
    """Known or not: nothing is absent, and the client recovers by itself."""
    bucket = open_bucket(rgw.create_bucket({"k": b"content"}), probe_timeout_s=0.3, retries=0)
    assert await bucket.head("k") is not None
    with rgw.gateway.hung():
        for key in ("k", "missing"):
            with pytest.raises(Unavailable):
                await bucket.head(key)
    with trio.fail_after(10):
        while True:
            try:
                assert await bucket.head("k") is not None
                assert await bucket.head("missing") is None
                break
            except Unavailable:
                await trio.sleep(0.1)
    rgw.gateway.stop_radosgw()
    try:
        for key in ("k", "missing"):
            with pytest.raises(Unavailable):
                await bucket.head(key)
    finally:
        rgw.gateway.start_radosgw()
    patient = open_bucket(bucket.bucket.name)
    assert await patient.head("k") is not None
    assert await patient.head("missing") is None
