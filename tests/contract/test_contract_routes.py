"""CONTRACT, file routes: both editions' shapes, both rules for moved files."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
import trio
import trio.testing

from tests.contract.scene import MANIFEST, Scene, Server, serving
from tests.real_s3.faults import FaultyFront

STRICT = {"PARPARCHIK_STRICT_ROUTES": "true"}


async def leads_to(server: Server, namespace: str, key: str) -> str | None:
    """The bucket of a redirect; None where there is none."""
    answer = await server.file(namespace, key)
    if answer.status_code == 302:
        return urlsplit(answer.headers["location"]).path.split("/")[1]
    assert answer.status_code == 404
    assert answer.json() == {"error": "file not found", "route": f"/{namespace}/{key}"}
    return None


async def test_by_bucket(scene: Scene) -> None:
    scene.put(scene.first, "open/a b")
    scene.put(scene.second, "shut")
    async with serving(scene.environ) as server:
        assert await leads_to(server, scene.first, "open/a b") == scene.first
        assert await leads_to(server, scene.second, "shut") == scene.second
        assert await leads_to(server, scene.second, "nowhere/a b") is None
        assert await leads_to(server, "no-such-bucket", "shut") is None


async def test_by_kind(scene: Scene) -> None:
    scene.put(scene.first, "open")
    scene.put(scene.second, "shut")
    async with serving(scene.environ) as server:
        assert await leads_to(server, "public", "open") == scene.first
        assert await leads_to(server, "private", "shut") == scene.second
        assert await leads_to(server, "public", "nowhere") is None


async def test_a_bucket_of_that_name_wins_over_the_kind(scene: Scene) -> None:
    named_so = scene.create("private")
    scene.put(named_so, "k")
    scene.put(scene.second, "shut")
    buckets = {"PARPARCHIK_BUCKETS": f"{named_so}::public,{scene.second}"}
    async with serving(scene.environ | buckets | STRICT) as server:
        assert await leads_to(server, "private", "k") == named_so
        assert await leads_to(server, "private", "shut") is None
        assert (await server.file("private", "k")).headers["location"].endswith("/private/k")
    scene.delete(named_so, "k")


async def test_head_is_answered_as_get_is(scene: Scene) -> None:
    scene.put(scene.first, "k")
    async with serving(scene.environ) as server:
        for path in (f"/{scene.first}/k", "/public/k", f"/{scene.first}/nowhere"):
            get, head = await server.get(path), await server.head(path)
            assert head.content == b""
            assert head.status_code == get.status_code
            assert head.headers.get("location") == get.headers.get("location")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_are_refused(scene: Scene, method: str) -> None:
    scene.put(scene.first, "k")
    async with serving(scene.environ) as server:
        refused = await server.http.request(method, f"{server.url}/{scene.first}/k")
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
    assert scene.get(scene.first, "k") == b"x"


async def test_moved_files_are_found_under_their_old_route(scene: Scene) -> None:
    scene.put(scene.first, "k")
    async with serving(scene.environ) as server:
        assert await leads_to(server, scene.first, "k") == scene.first
        scene.delete(scene.first, "k")
        scene.put(scene.second, "k")
        for namespace in (scene.first, scene.second, "public", "private"):
            assert await leads_to(server, namespace, "k") == scene.second


async def test_moved_files_are_not_found_under_their_old_route_where_that_is_set(
    scene: Scene,
) -> None:
    scene.put(scene.first, "k")
    async with serving(scene.environ | STRICT) as server:
        assert await leads_to(server, scene.first, "k") == scene.first
        assert await leads_to(server, "public", "k") == scene.first
        scene.delete(scene.first, "k")
        scene.put(scene.second, "k")
        for namespace in (scene.first, "public"):
            assert await leads_to(server, namespace, "k") is None
        for namespace in (scene.second, "private"):
            assert await leads_to(server, namespace, "k") == scene.second


async def test_gone_and_found_elsewhere_is_registered_and_persisted(scene: Scene) -> None:
    scene.put(scene.first, "k")
    async with serving(scene.environ) as server:
        scene.delete(scene.first, "k")
        scene.put(scene.second, "k", b"12345")
        assert await leads_to(server, scene.first, "k") == scene.second
        entry = (await server.entries())["k"]
        assert (entry["bucket"], entry["size"]) == (scene.second, 5)

        async def persisted() -> bool:
            kept = [scene.manifest_keys(bucket) for bucket in (scene.first, scene.second)]
            return kept == [[], ["k"]]

        await server.until(persisted)


async def test_unknown_files_are_sought_in_priority_order_and_persisted(scene: Scene) -> None:
    async with serving(scene.environ) as server:
        scene.put(scene.second, "k")
        scene.put(scene.first, "k")
        assert await leads_to(server, scene.second, "k") == scene.first

        async def persisted() -> bool:
            return scene.manifest_keys(scene.first) == ["k"]

        await server.until(persisted)
        assert scene.manifest_keys(scene.second) == []


async def test_a_file_that_is_gone_is_dropped_and_the_manifest_too(scene: Scene) -> None:
    scene.put(scene.second, "k")
    async with serving(scene.environ) as server:
        assert (await server.entries()).keys() == {"k"}
        scene.delete(scene.second, "k")
        assert await leads_to(server, scene.second, "k") is None
        assert await server.entries() == {}

        async def persisted() -> bool:
            return scene.manifest_keys(scene.second) == []

        await server.until(persisted)


async def test_the_manifest_and_its_folder_are_no_route(scene: Scene) -> None:
    scene.put(scene.first, ".parparchik/other")
    scene.put(scene.first, ".parparchik-not/other")
    async with serving(scene.environ) as server:
        for namespace in (scene.first, "public", scene.second):
            assert await leads_to(server, namespace, MANIFEST) is None
            assert await leads_to(server, namespace, ".parparchik/other") is None
        assert (await server.get(f"/update?filename={MANIFEST}")).status_code == 404
        assert (await server.post(f"/relocate?filename={MANIFEST}")).status_code == 404
        await server.get("/list?sync=true")
        assert (await server.entries()).keys() == {".parparchik-not/other"}


async def test_list_as_the_registry_has_it_or_as_the_buckets_do(scene: Scene) -> None:
    scene.put(scene.first, "old")
    async with serving(scene.environ) as server:
        scene.delete(scene.first, "old")
        scene.put(scene.second, "new", b"123")
        assert (await server.entries()).keys() == {"old"}
        synced = (await server.get("/list?sync=true")).json()
        assert synced["count"] == 1
        assert [(e["key"], e["bucket"], e["size"]) for e in synced["files"]] == [
            ("new", scene.second, 3)
        ]
        assert (await server.entries()).keys() == {"new"}


async def test_every_list_reads_the_buckets_where_that_is_set(scene: Scene) -> None:
    scene.put(scene.first, "old")
    async with serving(scene.environ | {"PARPARCHIK_LIST_SYNC": "true"}) as server:
        scene.delete(scene.first, "old")
        scene.put(scene.second, "new")
        assert (await server.entries()).keys() == {"new"}


async def test_concurrent_syncs_share_a_pass(scene: Scene, front: FaultyFront) -> None:
    scene.put(scene.first, "k")
    async with serving(scene.environ | {"S3_ENDPOINT": front.endpoint}) as server:
        front.mode = "hang"
        front.seen.clear()
        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(server.get, "/list?sync=true")
            # For less than S3's time-outs are looked at in, by a task that wakes for it.
            await trio.testing.wait_all_tasks_blocked(0.05)
            front.mode = "pass"
            front.release()  # whatever was held is cut off, and asked for again
        assert 0 < front.count("GET") < 8
