"""Who may do what, and that it is known before a byte of a body is asked for."""

from __future__ import annotations

import pytest

from parparchik.config.model import ObjectsConfig
from parparchik.errors import ConfigError
from parparchik.model import Bucket
from tests.objects.scene import KEY, Body, Scene, header, told

METHODS = ("GET", "HEAD", "PUT", "DELETE", "POST ?delete", "POST ?stat")
WRITES = ("PUT", "DELETE", "POST ?delete")
KEYS = b'{"keys": ["k"]}'


async def do(scene: Scene, what: str, bucket: str, body: Body, *, key: str = "") -> int:
    method, _, query = what.partition(" ")
    if method in ("GET", "HEAD"):
        return (await scene.ask(f"/objects/{bucket}/k", method=method)).status
    target = f"/objects/{bucket}{query}" if query else f"/objects/{bucket}/k"
    return (await scene.act(method, target, body, key=key)).status


@pytest.mark.parametrize("what", METHODS)
@pytest.mark.parametrize("bucket", ["open", "in", "own", "elsewhere"])
async def test_the_table(what: str, bucket: str) -> None:
    scene = Scene()
    for source in scene.sources.values():
        source.put("k", b"data")
    body = Body(KEYS)
    may = bucket in ("in", "own") or (bucket == "open" and what not in WRITES)
    status = await do(scene, what, bucket, body)
    assert status == (403 if not may else 204 if what == "DELETE" else 200)
    if not may:
        assert not body.asked_for
        assert all(not source.asked for source in scene.sources.values())
        assert scene.cache.forgotten == []


async def test_an_unlisted_bucket_is_told_as_ever() -> None:
    scene = Scene()
    for answer in (
        await scene.ask("/objects/elsewhere/k"),
        await scene.act("PUT", "/objects/elsewhere/k", b"x"),
    ):
        assert answer.status == 403
        assert told(answer) == {
            "error": "bucket access not configured",
            "code": 403,
            "message": "bucket 'elsewhere' is not among the allowed buckets",
        }


@pytest.mark.parametrize("what", METHODS)
@pytest.mark.parametrize("key", ["", "wrong", KEY])
async def test_with_keys_configured_writes_need_one(what: str, key: str) -> None:
    scene = Scene(api_keys=(KEY,))
    scene.own.put("k", b"data")
    body = Body(KEYS)
    status = await do(scene, what, "own", body, key=key)
    if what in WRITES and key != KEY:
        assert status == 401
        assert not body.asked_for
        assert scene.own.asked == []
    else:
        assert status == (204 if what == "DELETE" else 200)


async def test_a_challenge_comes_with_the_refusal() -> None:
    answer = await Scene(api_keys=(KEY,)).act("PUT", "/objects/own/k", b"x")
    assert header(answer, "www-authenticate") == "Bearer"
    assert told(answer)["code"] == 401


async def test_what_nobody_may_is_forbidden_with_a_key_too() -> None:
    scene = Scene(api_keys=(KEY,))
    assert (await scene.act("PUT", "/objects/open/k", b"x", key=KEY)).status == 403
    assert (await scene.act("PUT", "/objects/elsewhere/k", b"x", key=KEY)).status == 403


@pytest.mark.parametrize("key", [".parparchik/files.json", ".parparchik/other"])
async def test_the_manifest_is_nobodys(key: str) -> None:
    scene = Scene(reserving=(Bucket("own"),))
    for source in scene.sources.values():
        source.put(key, b"{}")
    body = Body(b"x")
    assert (await scene.ask(f"/objects/own/{key}")).status == 403
    assert (await scene.act("PUT", f"/objects/own/{key}", body)).status == 403
    assert (await scene.act("DELETE", f"/objects/own/{key}")).status == 403
    answered = told(await scene.post("/objects/own?delete", {"keys": [key, "other"]}))
    assert answered["deleted"] == ["other"]
    assert [(error["key"], error["code"]) for error in answered["errors"]] == [(key, 403)]
    answered = told(await scene.post("/objects/own?stat", {"keys": [key]}))
    assert [entry["code"] for entry in answered["objects"]] == [403]
    assert not body.asked_for
    assert scene.own.objects[key].data == b"{}"
    # In a bucket without a manifest it is a key like any other.
    assert (await scene.ask(f"/objects/open/{key}")).status == 200


def test_an_allowed_bucket_has_to_be_one_of_ours() -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        Scene(config=ObjectsConfig((("nowhere", "all"),)), buckets=("own",))
