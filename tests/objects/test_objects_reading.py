"""GET and HEAD: what the gateway asks of the delivery, and what it makes of what that says."""

from __future__ import annotations

import pytest

from parparchik.cache import Absent
from parparchik.config.model import ObjectsConfig
from parparchik.content import ObjectName
from parparchik.errors import Denied, NoBucket, NoCredentials, ParparchikError, Unavailable
from parparchik.model import Answer
from tests.objects.scene import EVERYTHING, Scene, header, request, told


async def test_an_object() -> None:
    scene = Scene()
    scene.own.put("dir/a+b", b"data")
    answer = await scene.ask("/objects/own/dir/a%2Bb?ignored=1")
    assert (answer.status, answer.body, answer.kind) == (200, b"data", "objects")
    (serving,) = scene.delivery.asked
    assert serving.name == ObjectName("own", "dir/a+b")
    assert serving.policy is scene.policy
    assert serving.compress_min_bytes == scene.config.compress_min_bytes
    assert serving.default_max_age_s is None


async def test_where_it_is_mounted() -> None:
    scene = Scene(config=ObjectsConfig(EVERYTHING, mount="/s3/gate/"))
    scene.own.put("k", b"data")
    assert (await scene.ask("/s3/gate/own/k")).body == b"data"
    assert (await scene.ask("/objects/own/k")).status == 400


@pytest.mark.parametrize("remembered", [True, False])
async def test_what_is_not_there(remembered: bool) -> None:
    scene = Scene()
    if remembered:
        scene.delivery.known[ObjectName("own", "кот")] = Absent("HIT")
    answer = await scene.ask("/objects/own/%D0%BA%D0%BE%D1%82")
    assert answer.status == 404
    assert header(answer, "cache-control") == "no-store"
    assert told(answer) == {
        "error": "object not found",
        "code": 404,
        "message": "bucket 'own' has no object 'кот'",
    }


@pytest.mark.parametrize("target", ["/objects/own/", "/objects/own", "/objects/own/?x"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_an_empty_key(target: str, method: str) -> None:
    answer = await Scene().ask(target, method=method)
    assert answer.status == 400
    assert told(answer)["error"] == "object key is empty"
    assert told(answer)["code"] == 400


@pytest.mark.parametrize("target", [b"/objects/own/%zz", b"/objects/own/a/../b", b"/objects//k"])
async def test_what_can_be_no_key(target: bytes) -> None:
    answer = await Scene().ask(target)
    assert answer.status == 400
    assert told(answer)["error"] == "bad request"


@pytest.mark.parametrize(
    ("failure", "status", "retry_after"),
    [
        (Unavailable("S3 does not answer", retry_after_s=7), 503, "7"),
        (NoCredentials("role x of host y gives none"), 503, "1"),
        (Denied("S3 says 403"), 502, None),
        (NoBucket("no such bucket"), 502, None),
    ],
)
async def test_an_upstream_failure_is_no_absence(
    failure: ParparchikError, status: int, retry_after: str | None
) -> None:
    scene = Scene()
    scene.own.failing["open"] = lambda: failure
    answer = await scene.ask("/objects/own/k")
    assert answer.status == status
    assert header(answer, "retry-after") == retry_after
    assert header(answer, "cache-control") == "no-store"
    assert told(answer) == {
        "error": "storage unavailable" if status == 503 else "storage error",
        "code": status,
        "message": failure.client_message,
    }


async def test_what_is_in_memory_is_answered_without_a_task() -> None:
    scene = Scene()
    known = scene.delivery.known[ObjectName("own", "k")] = Answer(200, (), b"kept")
    question = scene.gateway.ask(request("GET", "/objects/own/k"))
    assert question.answer_nowait() is known
    assert question.answer_nowait() is known
    scene.delivery.known[ObjectName("own", "k")] = Absent("HIT")
    gone = question.answer_nowait()
    assert gone is not None
    assert gone.status == 404
    assert question.answer_nowait() is gone
    del scene.delivery.known[ObjectName("own", "k")]
    assert question.answer_nowait() is None
    assert question.answer_soon(lambda _: None) is False


async def test_what_was_answered_is_counted_once_each() -> None:
    scene = Scene()
    scene.own.put("k", b"data")
    for _ in range(2):
        await scene.ask("/objects/own/k")
    question = scene.gateway.ask(request("HEAD", "/objects/own/k"))
    await question.answer()
    scene.delivery.known[ObjectName("own", "k")] = Answer(200)
    for _ in range(3):
        question.answer_nowait()
    await scene.act("PUT", "/objects/own/k", b"x")
    await scene.act("DELETE", "/objects/in/k")
    await scene.post("/objects/own?stat", {"keys": ["k"]})
    await scene.post("/objects/own?delete", {"keys": ["k"]})
    # What no bucket of ours is named for, and what is refused, is not an operation on a bucket.
    await scene.ask("/objects/elsewhere/k")
    await scene.act("PUT", "/objects/open/k", b"x")
    assert scene.gateway.statistics().operations == (
        ("in", "delete", 1),
        ("own", "batch_delete", 1),
        ("own", "batch_stat", 1),
        ("own", "get", 2),
        ("own", "head", 4),
        ("own", "put", 1),
    )


async def test_a_post_to_an_object() -> None:
    answer = await Scene().act("POST", "/objects/own/k", b"x")
    assert answer.status == 405
    assert header(answer, "allow") == "GET, HEAD, PUT, DELETE"
    assert told(answer)["code"] == 405
