"""CONTRACT, manifests: what is written, what else is read, how times are normalised."""

from __future__ import annotations

import json
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.contract.scene import Scene, serving


def last_modified_of(scene: Scene, bucket: str, key: str) -> str:
    """What HEAD says, in the form of the contract."""
    connection = HTTPConnection(scene.endpoint, timeout=10)
    try:
        connection.request("HEAD", f"/{bucket}/{key}", headers={"Authorization": "moto takes it"})
        response = connection.getresponse()
        response.read()
        stated = response.headers["last-modified"]
    finally:
        connection.close()
    assert stated.endswith("GMT"), "the HTTP form"
    return f"{parsedate_to_datetime(stated):%Y-%m-%dT%H:%M:%SZ}"


FORMS: dict[str, Any] = {
    "version 1": {"version": 1, "bucket": "b", "files": [{"key": "k", "size": 7}]},
    "without a version": {"files": [{"key": "k"}]},
    "a root array": [{"key": "k", "bucket": "b", "route": "/b/k", "size": 1}],
    "a root array of keys": [{"key": "k"}],
    "only keys": {"version": 1, "bucket": "b", "files": [{"key": "k"}]},
    "of another name": {"version": 1, "bucket": "renamed", "files": [{"key": "k"}]},
    "with more in it": {
        "version": 1,
        "generator": "other",
        "files": [{"key": "k", "etag": "e", "bucket_type": "private", "metadata": {"a": [1]}}],
    },
    "a time in the HTTP form": {
        "files": [{"key": "k", "last_modified": "Tue, 05 May 2026 10:00:00 GMT"}]
    },
    "a time that is none": {"files": [{"key": "k", "last_modified": ""}]},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
async def test_accepted_and_written_as_version_1(scene: Scene, form: object) -> None:
    scene.put(scene.second, "k", b"12345")
    scene.put(scene.second, "not listed", b"")
    scene.put_manifest(scene.first, [])
    scene.put_manifest(scene.second, form)
    modified = last_modified_of(scene, scene.second, "k")
    async with serving(scene.environ) as server:
        assert await server.entries() == {
            "k": {
                "key": "k",
                "bucket": scene.second,
                "bucket_type": "private",
                "route": f"/{scene.second}/k",
                "size": 5,
                "last_modified": modified,
            }
        }, "the manifest was taken, and no bucket listed"
        assert scene.manifest(scene.second) == {
            "version": 1,
            "bucket": scene.second,
            "files": [
                {
                    "key": "k",
                    "bucket": scene.second,
                    "route": f"/{scene.second}/k",
                    "size": 5,
                    "last_modified": modified,
                }
            ],
        }


async def test_a_head_gives_the_same_time_as_a_listing(scene: Scene) -> None:
    scene.put(scene.first, "listed")
    async with serving(scene.environ) as server:
        scene.put(scene.first, "asked for")
        assert (await server.file(scene.first, "asked for")).status_code == 302
        entries = await server.entries()
        for key in ("listed", "asked for"):
            expected = last_modified_of(scene, scene.first, key.replace(" ", "%20"))
            assert entries[key]["last_modified"] == expected


async def test_its_own_key_and_folder_are_never_entries(scene: Scene) -> None:
    hidden = ["state/own.json", "state/own.json.bak", "state/deep/er"]
    shown = ["state-of-affairs", "state", ".parparchik/files.json"]
    for key in [*hidden, *shown]:
        scene.put(scene.first, key)
    scene.put_manifest(scene.first, [{"key": key} for key in [*hidden, *shown]], "state/own.json")
    named = {"PARPARCHIK_BUCKETS": f"{scene.first}:state/own.json:public"}
    async with serving(scene.environ | named) as server:
        assert sorted(await server.entries()) == sorted(shown)
        await server.get("/list?sync=true")
        assert sorted(await server.entries()) == sorted(shown)
        for key in hidden:
            assert (await server.file(scene.first, key)).status_code == 404
        await server.end()
        written = scene.manifest(scene.first, "state/own.json")
        assert sorted(file["key"] for file in written["files"]) == sorted(shown)


@pytest.mark.parametrize("garbage", [b"", b"{", b"null", b'{"version":2,"files":[]}', b'"k"'])
async def test_what_is_none_is_kept_aside_and_replaced_by_what_a_listing_finds(
    scene: Scene, garbage: bytes
) -> None:
    scene.put(scene.first, "k")
    scene.put(scene.first, ".parparchik/files.json", garbage)
    async with serving(scene.environ) as server:
        assert (await server.entries()).keys() == {"k"}
        assert scene.manifest_keys(scene.first) == ["k"]
        _, listing = scene.request("GET", f"/{scene.first}?list-type=2&prefix=.parparchik/")
        (aside,) = [
            key.partition("</Key>")[0]
            for key in listing.decode().split("<Key>")[1:]
            if ".unreadable-" in key
        ]
        assert scene.get(scene.first, aside) == garbage


async def test_a_manifest_that_another_wrote_is_merged(scene: Scene) -> None:
    async with serving(scene.environ) as server:
        for key in ("theirs", "ours"):
            scene.put(scene.first, key)
        theirs = {"version": 1, "bucket": scene.first, "files": [{"key": "theirs", "size": 1}]}
        scene.put(scene.first, ".parparchik/files.json", json.dumps(theirs).encode())
        assert (await server.file(scene.first, "ours")).status_code == 302

        async def merged() -> bool:
            return scene.manifest_keys(scene.first) == ["ours", "theirs"]

        await server.until(merged)
        assert (await server.entries()).keys() == {"ours", "theirs"}
