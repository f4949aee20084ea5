"""CONTRACT, flaws of the originals that ours must not have: each by its name."""

from __future__ import annotations

import tracemalloc
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

import httpx
import pytest
import trio

from parparchik.config import RoutesConfig
from parparchik.model import Bucket
from parparchik.registry import Registry, Service
from parparchik.registry.entries import pack
from tests.contract.scene import IMPATIENT, MANIFEST, Scene, serving
from tests.fakes import NOW_S, FakeBucket
from tests.real_s3.faults import FaultyFront, Mode
from tests.s3.fake_s3 import OBJECT, answer, error
from tests.s3.scripted import ScriptedServer, Seen, replying, serve

FAILURES: tuple[Mode, ...] = ("refuse", "hang", "403", "500")
API_KEY = "a-key-that-nobody-guesses"


class CountingKey(str):
    """A key that counts how often it is looked at."""

    __slots__ = ()
    looked_at = 0

    def __eq__(self, other: object) -> bool:
        CountingKey.looked_at += 1
        return str.__eq__(self, other)

    def __hash__(self) -> int:
        CountingKey.looked_at += 1
        return str.__hash__(self)


@pytest.mark.parametrize("mode", FAILURES)
async def test_any_head_failure_counts_as_absence(
    scene: Scene, front: FaultyFront, mode: Mode
) -> None:
    """An S3 outage emptied the registry and then the manifests."""
    known = {scene.first: "a", scene.second: "b"}
    for bucket, key in known.items():
        scene.put(bucket, key)
    async with serving(scene.environ | IMPATIENT | {"S3_ENDPOINT": front.endpoint}) as server:
        before = [scene.get(bucket, MANIFEST) for bucket in known]
        entries, puts = await server.entries(), front.count("PUT")
        front.mode = mode
        for bucket, key in known.items():
            assert (await server.file(bucket, key)).status_code == 302
            assert (await server.get(f"/update?filename={key}")).status_code in (502, 503)
            assert (await server.post(f"/relocate?filename={key}")).status_code in (502, 503)
        assert (await server.file("public", "unknown")).status_code in (502, 503)
        assert (await server.get("/list?sync=true")).status_code in (502, 503)
        assert await server.entries() == entries
        front.mode = "pass"
        front.release()
        await server.end()
        assert front.count("PUT") == puts
    assert [scene.get(bucket, MANIFEST) for bucket in known] == before


async def test_every_miss_puts_every_manifest(scene: Scene, front: FaultyFront) -> None:
    scene.put(scene.first, "k")
    async with serving(scene.environ | {"S3_ENDPOINT": front.endpoint}) as server:
        front.seen.clear()
        for number in range(20):
            for namespace in (scene.first, scene.second, "public"):
                assert (await server.file(namespace, f"unknown {number}")).status_code == 404
        await server.end()
        assert front.count("PUT") == 0


async def test_a_find_puts_the_manifest_of_its_bucket_alone(
    scene: Scene, front: FaultyFront
) -> None:
    async with serving(scene.environ | {"S3_ENDPOINT": front.endpoint}) as server:
        front.seen.clear()
        scene.put(scene.second, "new")
        assert (await server.file("private", "new")).status_code == 302
        await server.end()
        puts = [path for method, path in front.seen if method == "PUT"]
        assert puts
        assert {urlsplit(path).path for path in puts} == {f"/{scene.second}/{MANIFEST}"}


def test_route_lookup_scans_all_entries() -> None:
    service = Service([FakeBucket("files")], RoutesConfig(verify="never"))
    everything = [CountingKey(f"key {number}") for number in range(5000)]
    service.registry.load(0, [(key, pack(0, 1, NOW_S)) for key in everything])
    CountingKey.looked_at = 0
    found = service.resolve_nowait("key 4321")
    assert found is not None
    assert found.entry is not None
    assert found.entry.key == "key 4321"
    assert service.resolve_nowait("no such key") is None
    assert CountingKey.looked_at < 5


def test_the_key_list_is_one_string_rewritten_per_registration() -> None:
    registry = Registry([Bucket("files")])
    registry.load(0, [(f"key {n}", pack(0, 1, NOW_S)) for n in range(20_000)])
    tracemalloc.start()
    try:
        for number in range(1000):
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            assert registry.put(f"new {number}", pack(0, 1, NOW_S))
            # Not even a list of the keys that are there already, at 8 bytes each.
            assert tracemalloc.get_traced_memory()[1] - before < 20_000
    finally:
        tracemalloc.stop()


async def test_many_registrations_are_one_write(scene: Scene, front: FaultyFront) -> None:
    slow = {"S3_ENDPOINT": front.endpoint, "PARPARCHIK_MANIFEST_WINDOW": "1h"}
    async with serving(scene.environ | slow) as server:
        front.seen.clear()
        for number in range(10):
            scene.put(scene.first, f"new {number}")
            assert (await server.file("public", f"new {number}")).status_code == 302
        assert front.count("PUT") == 0
        await server.end()
        # The first replacement of an object asks, by a PUT that must fail, for conditions.
        assert front.count("PUT") <= 2
        assert len(scene.manifest_keys(scene.first)) == 10


async def test_heads_at_startup_run_one_after_another(autojump_clock: trio.abc.Clock) -> None:
    stores = FakeBucket("first", "a"), FakeBucket("second", *(str(n) for n in range(12)))
    for store in stores:
        store.add_manifest(*(key for key in store.objects))
        store.delay_s = 1.0
    await Service(stores, RoutesConfig()).start_up()
    assert stores[1].requests["head"] >= 12
    assert stores[1].most_in_flight >= 12


@pytest.mark.parametrize("key", ["a b", "a+b", "100%", "a%20b", "ž", "a?b#c", "dir/ä&=é"])
async def test_presigned_urls_carry_the_key_unencoded(scene: Scene, key: str) -> None:
    scene.put(scene.second, key, key.encode())
    async with serving(scene.environ) as server:
        answered = await server.file(scene.second, key)
        assert answered.status_code == 302
        followed = await server.http.get(answered.headers["location"])
        assert (followed.status_code, followed.content) == (200, key.encode())


async def test_continuation_tokens_are_encoded_twice(scene: Scene, nursery: trio.Nursery) -> None:
    token = "1/a+b=%2F &é"
    asked_for: list[str] = []

    def s3(seen: Seen) -> bytes:
        query = httpx.URL(seen.target).params
        if "list-type" in query:
            asked_for.append(query.get("continuation-token", ""))
            return answer(200, body=page(len(asked_for), "" if asked_for[-1] else token))
        if seen.method == "PUT" or (seen.method == "HEAD" and MANIFEST not in seen.target):
            return answer(200, OBJECT, to_head=True)
        return error(seen, 404, "NoSuchKey")

    upstream: ScriptedServer = await nursery.start(serve, replying(s3))
    environ = scene.environ | {"S3_ENDPOINT": upstream.url, "PARPARCHIK_BUCKETS": "files"}
    async with serving(environ) as server:
        assert (await server.entries()).keys() == {"key 1", "key 2"}
    assert asked_for == ["", token]
    nursery.cancel_scope.cancel()


def page(number: int, next_token: str) -> bytes:
    """A listing of one key, with more to come where there is a token."""
    more = f"<NextContinuationToken>{escape(next_token)}</NextContinuationToken>"
    return (
        "<ListBucketResult><EncodingType>url</EncodingType>"
        f"<IsTruncated>{str(bool(next_token)).lower()}</IsTruncated>{more if next_token else ''}"
        f"<Contents><Key>key+{number}</Key><Size>1</Size>"
        "<LastModified>2026-05-05T10:00:00.000Z</LastModified></Contents></ListBucketResult>"
    ).encode()


async def test_relocate_prefers_the_last_bucket(scene: Scene) -> None:
    for bucket in (scene.second, scene.first):
        scene.put(bucket, "both")
    async with serving(scene.environ) as server:
        for _ in range(2):
            moved = (await server.post("/relocate?filename=both")).json()
            assert moved["file"]["bucket"] == scene.first


async def test_list_writes(scene: Scene, front: FaultyFront) -> None:
    scene.put(scene.first, "k")
    async with serving(scene.environ | {"S3_ENDPOINT": front.endpoint}) as server:
        front.seen.clear()
        scene.put(scene.first, "new")
        scene.delete(scene.first, "k")
        assert [entry["key"] for entry in (await server.get("/list")).json()["files"]] == ["k"]
        await server.head("/list")
        await server.end()
        assert front.seen == []


async def test_nobody_is_authenticated(scene: Scene) -> None:
    scene.put(scene.first, "open")
    scene.put(scene.second, "shut")
    async with serving(scene.environ | {"PARPARCHIK_API_KEYS": API_KEY}) as server:
        for path in ("/list", "/update?filename=open", "/private/shut", "/public/shut"):
            assert (await server.get(path)).status_code == 401
            assert (await server.get(path, authorization="Bearer wrong")).status_code == 401
            assert (await server.get(path, authorization=f"Bearer {API_KEY}")).is_error is False
            assert (await server.get(path, **{"x-api-key": API_KEY})).is_error is False
        relocate = "/relocate?filename=open"
        assert (await server.post(relocate)).status_code == 401
        assert (await server.post(relocate, **{"x-api-key": API_KEY})).status_code == 200
        assert (await server.get("/status")).json().keys() == {"status", "ready"}
        assert (await server.get("/public/open")).status_code == 302
        for path in ("/healthcheck", "/readiness", "/metrics"):
            assert (await server.get(path)).status_code == 200


async def test_public_and_private_match_bucket_names_only(scene: Scene) -> None:
    scene.put(scene.first, "open")
    scene.put(scene.second, "shut")
    assert not {scene.first, scene.second} & {"public", "private"}
    async with serving(scene.environ) as server:
        for namespace, key in (("public", "open"), ("private", "shut")):
            answered = await server.file(namespace, key)
            assert answered.status_code == 302
            assert urlsplit(answered.headers["location"]).path.endswith(f"/{key}")
