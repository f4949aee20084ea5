"""CONTRACT, life cycle: from the manifests, or without them, to ready."""

from __future__ import annotations

import trio

from tests.contract.scene import IMPATIENT, MANIFEST, Scene, Server, serving
from tests.real_s3.faults import FaultyFront


def manifest_of(bucket: str, *keys: str) -> dict[str, object]:
    files = [{"key": key, "bucket": bucket, "route": f"/{bucket}/{key}"} for key in keys]
    rest = {"size": 1, "last_modified": "2020-01-01T00:00:00Z"}
    return {"version": 1, "bucket": bucket, "files": [file | rest for file in files]}


async def where(server: Server) -> dict[str, str]:
    return {key: entry["bucket"] for key, entry in (await server.entries()).items()}


async def test_without_manifests_the_buckets_are_listed_and_manifests_put(scene: Scene) -> None:
    scene.put(scene.first, "a b", b"12")
    scene.put(scene.second, "ž", b"123")
    async with serving(scene.environ) as server:
        entries = await server.entries()
        assert await where(server) == {"a b": scene.first, "ž": scene.second}
        for bucket, key in ((scene.first, "a b"), (scene.second, "ž")):
            assert scene.manifest(bucket) == {
                "version": 1,
                "bucket": bucket,
                "files": [
                    {
                        "key": key,
                        "bucket": bucket,
                        "route": f"/{bucket}/{key}",
                        "size": entries[key]["size"],
                        "last_modified": entries[key]["last_modified"],
                    }
                ],
            }


async def test_one_missing_manifest_is_enough_to_list_every_bucket(scene: Scene) -> None:
    scene.put(scene.first, "in the manifest")
    scene.put(scene.first, "not in the manifest")
    scene.put(scene.second, "no manifest")
    scene.put_manifest(scene.first, manifest_of(scene.first, "in the manifest"))
    async with serving(scene.environ) as server:
        assert await where(server) == {
            "in the manifest": scene.first,
            "not in the manifest": scene.first,
            "no manifest": scene.second,
        }
        assert scene.manifest_keys(scene.first) == ["in the manifest", "not in the manifest"]
        assert scene.manifest_keys(scene.second) == ["no manifest"]


async def test_empty_buckets_get_their_manifests_too(scene: Scene) -> None:
    async with serving(scene.environ) as server:
        assert await server.entries() == {}
        for bucket in (scene.first, scene.second):
            assert scene.manifest(bucket) == {"version": 1, "bucket": bucket, "files": []}


async def test_with_manifests_nothing_else_is_sought(scene: Scene) -> None:
    scene.put(scene.first, "known")
    scene.put(scene.first, "unknown")
    for bucket, keys in ((scene.first, ["known"]), (scene.second, [])):
        scene.put_manifest(bucket, manifest_of(bucket, *keys))
    async with serving(scene.environ) as server:
        assert await where(server) == {"known": scene.first}


async def test_entries_that_are_gone_are_dropped(scene: Scene) -> None:
    scene.put(scene.first, "there")
    scene.put_manifest(scene.first, manifest_of(scene.first, "gone", "there"))
    scene.put_manifest(scene.second, manifest_of(scene.second, "gone too"))
    async with serving(scene.environ) as server:
        assert await where(server) == {"there": scene.first}
        assert scene.manifest_keys(scene.first) == ["there"]
        assert scene.manifest_keys(scene.second) == []


async def test_entries_move_to_the_bucket_of_highest_priority(scene: Scene) -> None:
    for bucket in (scene.first, scene.second):
        scene.put(bucket, "up")
    scene.put(scene.second, "down")
    scene.put_manifest(scene.first, manifest_of(scene.first, "down"))
    scene.put_manifest(scene.second, manifest_of(scene.second, "up"))
    async with serving(scene.environ) as server:
        assert await where(server) == {"up": scene.first, "down": scene.second}
        assert scene.manifest_keys(scene.first) == ["up"]
        assert scene.manifest_keys(scene.second) == ["down"]
        assert await server.metric("parparchik_duplicate_files") == {(): 1}


async def test_a_key_that_two_manifests_claim_is_the_first_ones(scene: Scene) -> None:
    for bucket in (scene.first, scene.second):
        scene.put(bucket, "both")
        scene.put_manifest(bucket, manifest_of(bucket, "both"))
    async with serving(scene.environ) as server:
        assert await where(server) == {"both": scene.first}
        assert scene.manifest_keys(scene.second) == []


async def test_many_entries_are_verified_whether_by_heads_or_by_listings(scene: Scene) -> None:
    there = [f"{n:03}" for n in range(0, 90, 2)]
    for key in there:
        scene.put(scene.first, key)
    everything = [f"{n:03}" for n in range(90)]
    scene.put_manifest(scene.first, manifest_of(scene.first, *everything))
    scene.put_manifest(scene.second, manifest_of(scene.second))
    async with serving(scene.environ) as server:
        assert sorted(await where(server)) == there
        assert scene.manifest_keys(scene.first) == there


async def test_manifests_that_are_true_are_not_written_again(
    scene: Scene, front: FaultyFront
) -> None:
    scene.put(scene.first, "a")
    scene.put(scene.second, "b")
    environ = scene.environ | {"S3_ENDPOINT": front.endpoint}
    for written in (2, 0):
        front.seen.clear()
        async with serving(environ) as server:
            await server.file("public", "a")
            await server.end()
        assert front.count("PUT") == written


async def test_not_ready_before_the_manifests_are_written_but_answering(
    scene: Scene, front: FaultyFront
) -> None:
    scene.put(scene.first, "open")
    scene.put(scene.second, "shut")
    front.hold_puts = True
    environ = scene.environ | {"S3_ENDPOINT": front.endpoint}
    async with serving(environ, ready=False) as server:
        await trio.to_thread.run_sync(front.held.wait, 20)
        body = (await server.get("/readiness")).json()
        assert (body["status"], body["ready"], body["file_count"]) == ("not_ready", False, 2)
        assert (await server.get("/healthcheck")).json() == {"status": "ok", "ready": False}
        status = (await server.get("/status")).json()
        assert (status["ready"], status["file_count"]) == (False, 2)
        for bucket, key in ((scene.first, "open"), (scene.second, "shut")):
            assert (await server.file(bucket, key)).status_code == 302
        front.hold_puts = False
        front.release()
        await server.until_ready()


async def test_s3_that_comes_later_is_waited_for(scene: Scene, front: FaultyFront) -> None:
    scene.put(scene.first, "k")
    front.mode = "refuse"
    environ = scene.environ | IMPATIENT | {"S3_ENDPOINT": front.endpoint}
    async with serving(environ, ready=False) as server:
        assert (await server.get("/readiness")).status_code == 503
        assert (await server.file(scene.first, "k")).status_code == 503
        front.mode = "pass"
        await server.until_ready()
        assert await where(server) == {"k": scene.first}


async def test_the_last_change_is_written_at_shutdown(scene: Scene) -> None:
    slow = scene.environ | {"PARPARCHIK_MANIFEST_WINDOW": "1h"}
    async with serving(slow) as server:
        scene.put(scene.second, "k")
        assert (await server.file("private", "k")).status_code == 302
        assert scene.manifest_keys(scene.second) == []
        await server.end()
        assert scene.manifest_keys(scene.second) == ["k"]


async def test_a_restart_knows_what_was_known(scene: Scene) -> None:
    scene.put(scene.first, "k")
    async with serving(scene.environ) as server:
        before = await server.entries()
    assert scene.get(scene.first, MANIFEST)
    async with serving(scene.environ) as server:
        assert await server.entries() == before
