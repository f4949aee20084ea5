"""CONTRACT section 3, the object gateway: what estrois's users rely on, and what it wished for."""

from __future__ import annotations

import gzip
import hashlib

import httpx
import pytest
import trio

from parparchik.config import load
from parparchik.errors import ConfigError
from tests.contract.objects import check_problem, delete, get, head, path_of, put
from tests.contract.scene import IMPATIENT, Scene, Server, serving
from tests.real_s3.faults import FaultyFront

API_KEY = "a-key-that-nobody-guesses"
TEXT = b"a line of text that comes again and again\n" * 40_000  # more than 1 MiB
MIB = 1 << 20


# -- paths ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key", ["k", "dir/k.txt", "a+b", "a b", "100%", "a%20b", "/k", "a//k", "кот", "a?b#c&d", "dir/"]
)
async def test_an_object_comes_and_goes(scene: Scene, gateway: Server, key: str) -> None:
    data = f"of {key}".encode()
    assert (await put(gateway, scene.second, key, data)).status_code == 200
    assert scene.get(scene.second, key) == data
    answer = await get(gateway, scene.second, key)
    assert (answer.status_code, answer.content) == (200, data)
    assert (await head(gateway, scene.second, key)).status_code == 200
    assert (await delete(gateway, scene.second, key)).status_code == 204
    assert scene.get(scene.second, key) is None
    assert (await get(gateway, scene.second, key)).status_code == 404


async def test_health(gateway: Server) -> None:
    answer = await gateway.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})


@pytest.mark.parametrize("method", ["PATCH", "OPTIONS", "PROPFIND"])
async def test_other_methods(scene: Scene, gateway: Server, method: str) -> None:
    answer = await gateway.http.request(method, gateway.url + path_of(scene.second, "k"))
    assert answer.status_code == 405
    assert {"GET", "HEAD", "PUT", "DELETE"} <= set(answer.headers["allow"].split(", "))


# -- permissions ------------------------------------------------------------------------------


async def test_what_may_only_be_read(scene: Scene, gateway: Server) -> None:
    scene.put(scene.first, "k", b"data")
    assert (await get(gateway, scene.first, "k")).content == b"data"
    assert (await head(gateway, scene.first, "k")).status_code == 200
    check_problem(await put(gateway, scene.first, "k", b"x"), 403, "operation not permitted")
    check_problem(await delete(gateway, scene.first, "k"), 403)
    assert scene.get(scene.first, "k") == b"data"


async def test_write_reads_too(scene: Scene) -> None:
    async with serving(scene.environ | {"ALLOWED_BUCKETS": f"{scene.second}:write"}) as server:
        assert (await put(server, scene.second, "k", b"data")).status_code == 200
        assert (await get(server, scene.second, "k")).content == b"data"
        assert (await delete(server, scene.second, "k")).status_code == 204


async def test_an_unlisted_bucket(scene: Scene, gateway: Server) -> None:
    for answer in (
        await get(gateway, "elsewhere", "k"),
        await put(gateway, "elsewhere", "k", b"x"),
        await delete(gateway, "elsewhere", "k"),
    ):
        check_problem(answer, 403, "bucket access not configured")


def test_the_default_permissions(scene: Scene) -> None:
    config = load(scene.environ | {"PARPARCHIK_OBJECTS": "true"}).config
    assert config.objects is not None
    assert config.objects.allowed_buckets == (
        ("public", "read"),
        ("private", "all"),
        ("local", "all"),
    )


@pytest.mark.parametrize("value", ["nonsense", "b:", ":read", "b:readwrite", "b:read;c:all"])
def test_malformed_permissions_stop_the_start(scene: Scene, value: str) -> None:
    with pytest.raises(ConfigError, match="ALLOWED_BUCKETS"):
        load(scene.environ | {"ALLOWED_BUCKETS": value})


async def test_its_own_names_of_settings(scene: Scene) -> None:
    """estrois's environment, as it is, and nothing of ours but where to listen."""
    environ = {
        "S3_ENDPOINT": scene.endpoint,
        "S3_ACCESS_KEY": "an-access-key",
        "S3_SECRET_KEY": "a-secret-key",
        "S3_USE_SSL": "false",
        "ALLOWED_BUCKETS": f"{scene.second}:all",
        "MAX_CACHE_SIZE": "7",
        "PARPARCHIK_PORT": "0",
        "PARPARCHIK_HOST": "127.0.0.1",
    }
    async with serving(environ) as server:
        assert (await put(server, scene.second, "k", b"data")).status_code == 200
        assert (await get(server, scene.second, "k")).content == b"data"
        assert (await server.get("/stats")).json()["max_size_bytes"] == 7 * MIB


# -- GET and HEAD -----------------------------------------------------------------------------


async def test_an_answer(scene: Scene, gateway: Server) -> None:
    stored = await put(gateway, scene.second, "k", b"data", content_type="text/plain")
    for status in ("MISS", "HIT", "HIT"):
        answer = await get(gateway, scene.second, "k")
        assert answer.status_code == 200
        assert answer.content == b"data"
        assert answer.headers["content-type"] == "text/plain"
        assert answer.headers["content-length"] == "4"
        assert answer.headers["etag"] == stored.headers["etag"]
        assert answer.headers["last-modified"].endswith(" GMT")
        assert answer.headers["x-cache"] == status


async def test_gzip_where_it_pays(scene: Scene, gateway: Server) -> None:
    async def is_coded(key: str, data: bytes, kind: str) -> bool:
        assert (await put(gateway, scene.second, key, data, content_type=kind)).status_code == 200
        coded: set[bool] = set()
        for _ in range(2):
            answer = await get(gateway, scene.second, key, accept_encoding="gzip")
            assert answer.content == data
            coded.add(answer.headers.get("content-encoding") == "gzip")
        assert len(coded) == 1
        return coded == {True}

    assert await is_coded("large.txt", TEXT, "text/plain")
    assert (await gateway.get("/stats")).json()["compression_ratio"] < 0.1
    assert not await is_coded("small.txt", TEXT[:1000], "text/plain")
    assert not await is_coded("large.bin", TEXT, "application/octet-stream")
    noise = hashlib.shake_256(b"seed").digest(2 * MIB)
    assert not await is_coded("noise.txt", noise, "text/plain")
    plain = await get(gateway, scene.second, "large.txt")
    coded = await get(gateway, scene.second, "large.txt", accept_encoding="gzip")
    assert "content-encoding" not in plain.headers
    assert int(coded.headers["content-length"]) < len(TEXT)
    # Two codings are two representations: each its own ETag, and caches are told.
    assert plain.headers["etag"] != coded.headers["etag"]
    for answer in (plain, coded):
        assert "accept-encoding" in answer.headers["vary"].lower()


async def test_problems_are_json(
    scene: Scene, gateway_environ: dict[str, str], front: FaultyFront
) -> None:
    slow = {"S3_ENDPOINT": front.endpoint, "PARPARCHIK_S3_READ_TIMEOUT": "300ms"}
    async with serving(gateway_environ | IMPATIENT | slow) as server:
        check_problem(await get(server, scene.second, "no"), 404, "object not found")
        for target in (f"/objects/{scene.second}/", f"/objects/{scene.second}"):
            check_problem(await server.get(target), 400, "object key is empty")
            check_problem(await server.http.put(server.url + target, content=b"x"), 400)
        check_problem(await server.get(f"/objects/{scene.second}/%zz"), 400)
        check_problem(await server.get(f"/objects/{scene.second}/a%2f..%2fb"), 400)
        for mode in ("refuse", "hang", "403", "500"):
            front.mode = mode
            for answer in (
                await get(server, scene.second, f"new-{mode}"),
                await put(server, scene.second, "k", b"x"),
                await delete(server, scene.second, "k"),
            ):
                assert answer.status_code in (502, 503)
                check_problem(answer, answer.status_code)
        front.mode = "pass"
        front.release()
        # What could not be told was not kept as an absence.
        scene.put(scene.second, "new-500", b"there")
        assert (await get(server, scene.second, "new-500")).content == b"there"


async def test_permission_comes_before_the_body(scene: Scene, gateway: Server) -> None:
    """A client that waits to be asked for the body is asked only where it may store it."""
    url = httpx.URL(gateway.url)

    async def begin(bucket: str, *fields: str) -> bytes:
        """What comes before a byte of the body is sent."""
        stream = await trio.open_tcp_stream(url.host, url.port or 0)
        async with stream:
            lines = [f"PUT {path_of(bucket, 'k')} HTTP/1.1", "Host: test", *fields, "", ""]
            await stream.send_all("\r\n".join(lines).encode())
            with trio.fail_after(10):
                return bytes(await stream.receive_some(4096))

    waits = "Expect: 100-continue"
    assert (await begin(scene.second, waits, "Content-Length: 5")).startswith(b"HTTP/1.1 100 ")
    for bucket in (scene.first, "elsewhere"):
        for fields in ((waits, "Content-Length: 5"), (waits, "Transfer-Encoding: chunked")):
            assert (await begin(bucket, *fields)).startswith(b"HTTP/1.1 403 ")
    too_large = f"Content-Length: {6 << 40}"
    assert (await begin(scene.second, waits, too_large)).startswith(b"HTTP/1.1 413 ")


# -- PUT and DELETE ---------------------------------------------------------------------------


async def test_what_is_stored_comes_back(scene: Scene, gateway: Server) -> None:
    sent = {
        "content-type": "text/html; charset=utf-8",
        "cache-control": "max-age=60",
        "content-disposition": 'attachment; filename="a.html"',
        "content-language": "de",
        "x-amz-meta-author": "Somebody Else",
    }
    url = gateway.url + path_of(scene.second, "k")
    assert (await gateway.http.put(url, content=b"<p>", headers=sent)).status_code == 200
    for answer in (await gateway.http.get(url), await gateway.http.head(url)):
        assert {name: answer.headers.get(name) for name in sent} == sent


async def test_coded_bytes_are_the_objects_own(scene: Scene, gateway: Server) -> None:
    coded = gzip.compress(TEXT)
    fields = {"content_encoding": "gzip", "content_type": "text/plain"}
    assert (await put(gateway, scene.second, "k", coded, **fields)).status_code == 200
    assert scene.get(scene.second, "k") == coded
    answer = await get(gateway, scene.second, "k", accept_encoding="gzip")
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["content-length"] == str(len(coded))
    assert answer.content == TEXT  # httpx has decoded it, once


async def test_a_delete_is_204_also_where_nothing_was(scene: Scene, gateway: Server) -> None:
    scene.put(scene.second, "k")
    for _ in range(2):
        answer = await delete(gateway, scene.second, "k")
        assert (answer.status_code, answer.content) == (204, b"")
        assert "content-length" not in answer.headers


def test_the_cache_holds_for_five_minutes(gateway_environ: dict[str, str]) -> None:
    assert load(gateway_environ).config.cache.ttl_s == 300


# -- figures ----------------------------------------------------------------------------------


async def test_stats_have_real_figures(scene: Scene, gateway: Server) -> None:
    idle = (await gateway.get("/stats")).json()
    assert idle.keys() == {
        *("hits", "misses", "current_size_bytes", "max_size_bytes", "entry_count"),
        *("last_cleanup_time", "total_requests", "cache_hit_ratio", "avg_response_time_ms"),
        "compression_ratio",
    }
    assert (idle["hits"], idle["misses"], idle["total_requests"]) == (0, 0, 0)
    await put(gateway, scene.second, "k", b"x" * 100_000)
    for _ in range(4):
        await get(gateway, scene.second, "k")
    told = (await gateway.get("/stats")).json()
    assert (told["hits"], told["misses"], told["total_requests"]) == (3, 1, 5)
    assert told["cache_hit_ratio"] == 0.75
    assert 100_000 <= told["current_size_bytes"] < 110_000
    assert told["max_size_bytes"] == load(scene.environ).config.cache.memory_bytes
    assert told["entry_count"] >= 1
    assert told["avg_response_time_ms"] > 0
    await delete(gateway, scene.second, "k")
    assert (await gateway.get("/stats")).json()["current_size_bytes"] < 10_000


async def test_metrics(scene: Scene, gateway: Server) -> None:
    await put(gateway, scene.second, "k", b"x" * 5000)
    for _ in range(3):
        await get(gateway, scene.second, "k")
    await get(gateway, scene.second, "no")
    await delete(gateway, scene.second, "k")
    assert (await gateway.metric("parparchik_http_response_status_total"))["200",] >= 4
    assert (await gateway.metric("parparchik_http_response_status_total"))["404",] == 1
    assert (await gateway.metric("parparchik_http_response_status_total"))["204",] == 1
    assert (await gateway.metric("parparchik_http_requests_total"))[()] >= 6
    seconds = await gateway.metric("parparchik_http_response_time_seconds_count")
    assert seconds["objects",] == 6
    assert (await gateway.metric("parparchik_http_request_size_bytes_sum"))[()] == 5000
    assert (await gateway.metric("parparchik_http_response_size_bytes_sum"))[()] >= 15_000
    assert (await gateway.metric("parparchik_cache_hits_total"))[()] == 2
    assert (await gateway.metric("parparchik_cache_misses_total"))[()] == 2
    assert await gateway.metric("parparchik_bucket_operations_total") == {
        (scene.second, "put"): 1,
        (scene.second, "get"): 4,
        (scene.second, "delete"): 1,
    }


# -- what it wished for -----------------------------------------------------------------------


async def test_requests_are_validated(scene: Scene, gateway: Server) -> None:
    for fields in (
        {"content_md5": "junk"},
        {"content_range": "bytes 0-0/9"},
        {"x_amz_meta_a": "x" * 3000},
    ):
        check_problem(await put(gateway, scene.second, "k", b"x", **fields), 400, "bad request")
    wrong = {"content_digest": "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"}
    check_problem(await put(gateway, scene.second, "k", b"x", **wrong), 400, "bad digest")
    assert scene.get(scene.second, "k") is None


async def test_writes_are_authenticated(scene: Scene, gateway_environ: dict[str, str]) -> None:
    scene.put(scene.second, "k", b"data")
    async with serving(gateway_environ | {"PARPARCHIK_API_KEYS": API_KEY}) as server:
        answer = await put(server, scene.second, "k", b"x")
        check_problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
        check_problem(await delete(server, scene.second, "k"), 401)
        assert (await get(server, scene.second, "k")).content == b"data"
        bearer = {"authorization": f"Bearer {API_KEY}"}
        assert (await put(server, scene.second, "k", b"x", **bearer)).status_code == 200
        check_problem(await put(server, scene.first, "k", b"x", **bearer), 403)


async def test_requests_can_be_traced(scene: Scene, gateway: Server) -> None:
    answer = await get(gateway, scene.second, "no", x_request_id="the-one-i-sent")
    assert answer.headers["x-request-id"] == "the-one-i-sent"
    assert (await put(gateway, scene.second, "k", b"")).headers["x-request-id"]


async def test_the_cache_is_warmed_and_purged(
    scene: Scene, gateway_environ: dict[str, str], front: FaultyFront
) -> None:
    for key in ("a/1", "a/2", "b"):
        scene.put(scene.second, key, key.encode())

    async with serving(gateway_environ | {"S3_ENDPOINT": front.endpoint}) as server:

        async def cached(key: str) -> str:
            return (await get(server, scene.second, key)).headers["x-cache"]

        async def post(path: str, **document: object) -> dict[str, object]:
            answer = await server.http.post(server.url + path, json=document)
            assert answer.status_code == 200
            told: dict[str, object] = answer.json()
            return told

        keys = ["a/1", "a/2", "b", "no"]
        warmed = await post("/cache/warm", bucket=scene.second, keys=keys)
        assert (warmed["warmed"], warmed["bytes"], warmed["missing"]) == (3, 7, ["no"])
        front.seen.clear()
        assert {key: await cached(key) for key in keys[:3]} == dict.fromkeys(keys[:3], "HIT")
        assert front.seen == []
        assert await post("/cache/purge", bucket=scene.second, prefix="a/") == {"purged": 2}
        assert [await cached(key) for key in keys[:3]] == ["MISS", "MISS", "HIT"]
        await post("/cache/purge", bucket=scene.second, key="a/1")
        assert [await cached(key) for key in keys[:3]] == ["MISS", "HIT", "HIT"]
        await post("/cache/purge", all=True)
        assert [await cached(key) for key in keys[:3]] == ["MISS", "MISS", "MISS"]
        assert (await server.get("/cache/stats")).json()["misses"] >= 6


async def test_batches(scene: Scene, gateway: Server) -> None:
    for key in ("a", "b", "c"):
        scene.put(scene.second, key, key.encode() * 3)
    url = f"{gateway.url}/objects/{scene.second}"
    answer = await gateway.http.post(f"{url}?stat", json={"keys": ["b", "no", "a"]})
    assert answer.status_code == 200
    told = [(entry["key"], entry["exists"]) for entry in answer.json()["objects"]]
    assert told == [("b", True), ("no", False), ("a", True)]
    assert answer.json()["objects"][0]["size"] == 3
    assert (await get(gateway, scene.second, "a")).status_code == 200
    answer = await gateway.http.post(f"{url}?delete", json={"keys": ["a", "no", "b"]})
    assert answer.json() == {"deleted": ["a", "no", "b"], "errors": []}
    # Also the one that was cached.
    assert [(await get(gateway, scene.second, key)).status_code for key in "abc"] == [404, 404, 200]
    first = f"{gateway.url}/objects/{scene.first}?delete"
    check_problem(await gateway.http.post(first, json={"keys": ["a"]}), 403)
