"""CONTRACT, endpoints: every field of every answer, as clients of both editions read them."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from tests.contract.scene import MANIFEST, Scene, serving
from tests.real_s3.faults import FaultyFront

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def entry_of(bucket: str, key: str, size: int, *, public: bool) -> dict[str, Any]:
    """An entry but for its time, which is moto's."""
    kind = "public" if public else "private"
    route = f"/{bucket}/{key}"
    return {"key": key, "bucket": bucket, "bucket_type": kind, "route": route, "size": size}


def without_time(entry: dict[str, Any]) -> dict[str, Any]:
    assert ISO.fullmatch(entry["last_modified"])
    return {name: value for name, value in entry.items() if name != "last_modified"}


def answered(response: httpx.Response, status: int) -> Any:
    assert response.headers["content-type"] == "application/json"
    assert response.status_code == status
    return response.json()


async def test_status(scene: Scene) -> None:
    third = scene.create(f"third-{scene.first}")
    scene.put(scene.first, "a")
    named = f"{scene.first}::public,{scene.second}:state/own.json,{third}:k.json:neither"
    environ = scene.environ | {"PARPARCHIK_BUCKETS": named, "AWS_REGION": "eu-west-3"}
    async with serving(environ) as server:
        assert answered(await server.get("/status"), 200) == {
            "status": "ok",
            "buckets": [
                {"name": scene.first, "manifest_key": MANIFEST, "public": True},
                {"name": scene.second, "manifest_key": "state/own.json", "public": False},
                {"name": third, "manifest_key": "k.json", "public": False},
            ],
            "region": "eu-west-3",
            "ready": True,
            "file_count": 1,
            "public_bucket": scene.first,
            "private_bucket": scene.second,
        }


@pytest.mark.parametrize("path", ["/readiness", "/redines"])
async def test_readiness(scene: Scene, path: str) -> None:
    scene.put(scene.second, "a")
    async with serving(scene.environ) as server:
        body = answered(await server.get(path), 200)
        assert body == {"status": "ready", "ready": True, "file_count": 1}


@pytest.mark.parametrize("path", ["/readiness", "/redines"])
async def test_readiness_before_the_reconciliation_has_ended(scene: Scene, path: str) -> None:
    nowhere = scene.environ | {"S3_ENDPOINT": "127.0.0.1:1"}
    async with serving(nowhere, ready=False) as server:
        body = answered(await server.get(path), 503)
        assert body.pop("reason"), "ours, beside what the contract has: what it waits for"
        assert body == {"status": "not_ready", "ready": False, "file_count": 0}


@pytest.mark.parametrize("path", ["/healthcheck", "/helthcheck"])
async def test_healthcheck(scene: Scene, path: str) -> None:
    async with serving(scene.environ) as server:
        assert answered(await server.get(path), 200) == {"status": "ok", "ready": True}
    nowhere = scene.environ | {"S3_ENDPOINT": "127.0.0.1:1"}
    async with serving(nowhere, ready=False) as server:
        assert answered(await server.get(path), 200) == {"status": "ok", "ready": False}


async def test_list_is_sorted_by_key_and_counted(scene: Scene) -> None:
    keys = ["b", "a/b c", "ž", "a", "B", "a-b"]
    for number, key in enumerate(keys):
        scene.put((scene.first, scene.second)[number % 2], key, b"x" * number)
    async with serving(scene.environ) as server:
        body = answered(await server.get("/list"), 200)
        assert body.keys() == {"count", "files"}
        assert body["count"] == len(keys)
        assert [without_time(entry) for entry in body["files"]] == [
            entry_of((scene.first, scene.second)[n % 2], key, n, public=n % 2 == 0)
            for n, key in sorted(enumerate(keys), key=lambda item: item[1])
        ]


async def test_list_of_nothing(scene: Scene) -> None:
    async with serving(scene.environ) as server:
        assert answered(await server.get("/list"), 200) == {"count": 0, "files": []}


async def test_update_of_a_registered_file_tells_what_it_is_now(scene: Scene) -> None:
    scene.put(scene.second, "dir/a b", b"old")
    async with serving(scene.environ) as server:
        scene.put(scene.second, "dir/a b", b"newer")
        body = answered(await server.get("/update?filename=dir/a%20b"), 200)
        assert body.keys() == {"message", "file"}
        assert body["message"] == "file located"
        assert without_time(body["file"]) == entry_of(scene.second, "dir/a b", 5, public=False)
        assert scene.manifest(scene.second)["files"][0]["size"] == 5, "persisted before the answer"


async def test_update_searches_the_buckets_in_priority_order(scene: Scene) -> None:
    async with serving(scene.environ) as server:
        scene.put(scene.second, "new", b"22")
        scene.put(scene.first, "new", b"1")
        body = answered(await server.get("/update?filename=new"), 200)
        assert without_time(body["file"]) == entry_of(scene.first, "new", 1, public=True)
        assert scene.manifest_keys(scene.first) == ["new"]


async def test_update_of_what_is_nowhere(scene: Scene) -> None:
    scene.put(scene.first, "gone")
    async with serving(scene.environ) as server:
        scene.delete(scene.first, "gone")
        for key in ("gone", "never there"):
            body = answered(await server.get(f"/update?filename={key}"), 404)
            assert body == {"error": "file not found", "filename": key}
        assert scene.manifest_keys(scene.first) == []


@pytest.mark.parametrize("query", ["", "?filename=", "?file=a", "?Filename=a"])
async def test_update_without_a_filename(scene: Scene, query: str) -> None:
    async with serving(scene.environ) as server:
        body = answered(await server.get(f"/update{query}"), 400)
        assert body == {"error": "missing 'filename' query parameter"}


async def test_relocate_of_a_file_that_is_where_it_was(scene: Scene) -> None:
    scene.put(scene.second, "a b", b"x")
    async with serving(scene.environ) as server:
        body = answered(await server.post("/relocate?filename=a%20b"), 200)
        assert body.keys() == {"status", "file"}
        assert body["status"] == "ok"
        assert without_time(body["file"]) == entry_of(scene.second, "a b", 1, public=False)


async def test_relocate_moves_an_entry_and_says_from_where_to_where(scene: Scene) -> None:
    scene.put(scene.second, "a", b"22")
    async with serving(scene.environ) as server:
        scene.put(scene.first, "a", b"1")
        body = answered(await server.post("/relocate?filename=a"), 200)
        assert without_time(body.pop("file")) == entry_of(scene.first, "a", 1, public=True)
        assert scene.second in body.pop("note")
        assert body == {
            "status": "ok",
            "relocated_from": scene.second,
            "relocated_to": scene.first,
            "duplicate": True,
        }
        assert (scene.manifest_keys(scene.first), scene.manifest_keys(scene.second)) == (["a"], [])
        scene.delete(scene.first, "a")
        body = answered(await server.post("/relocate?filename=a"), 200)
        assert (body["relocated_from"], body["relocated_to"]) == (scene.first, scene.second)
        assert "duplicate" not in body


async def test_relocate_of_what_is_nowhere(scene: Scene) -> None:
    scene.put(scene.first, "gone")
    async with serving(scene.environ) as server:
        scene.delete(scene.first, "gone")
        body = answered(await server.post("/relocate?filename=gone"), 404)
        assert body == {
            "status": "fail",
            "error": "file not found in any bucket",
            "filename": "gone",
        }
        assert await server.entries() == {}


async def test_relocate_that_cannot_be_persisted(scene: Scene, front: FaultyFront) -> None:
    short = {"S3_ENDPOINT": front.endpoint, "PARPARCHIK_S3_TOTAL_TIMEOUT": "300ms"}
    async with serving(scene.environ | short) as server:
        front.hold_puts = True
        scene.put(scene.first, "new")
        body = answered(await server.post("/relocate?filename=new"), 500)
        assert body == {
            "status": "fail",
            "error": "failed to persist manifests",
            "filename": "new",
        }


async def test_only_relocate_is_a_post(scene: Scene) -> None:
    async with serving(scene.environ) as server:
        assert (await server.get("/relocate?filename=a")).status_code == 405
        for path in ("/status", "/list", "/update", "/readiness", "/healthcheck", "/metrics"):
            refused = await server.post(path)
            assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


async def test_metrics_are_prometheus_text(scene: Scene) -> None:
    async with serving(scene.environ) as server:
        metrics = await server.get("/metrics")
        assert metrics.headers["content-type"].startswith("text/plain; version=")
        assert "# TYPE parparchik_volume_files gauge" in metrics.text
