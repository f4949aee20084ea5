"""Many objects with one request."""

from __future__ import annotations

import json

import pytest
import trio
from trio.testing import MockClock

from parparchik.config.model import ObjectsConfig
from parparchik.errors import Denied, Unavailable
from tests.fakes_bytes import NOW_S, BytesAsked
from tests.objects.scene import EVERYTHING, Body, Scene, told

assert NOW_S == 1_780_000_000
NOW = "2026-05-28T20:26:40Z"


async def test_stat_is_in_the_order_asked() -> None:
    scene = Scene()
    etag = scene.own.put("a", b"12345", content_type="text/plain").etag
    scene.own.put("кот", b"")
    answer = await scene.post("/objects/own?stat", {"keys": ["кот", "no", "a", "кот"]})
    assert answer.status == 200
    empty, missing, full, again = told(answer)["objects"]
    assert full == {
        "key": "a",
        "exists": True,
        "size": 5,
        "etag": etag,
        "last_modified": NOW,
        "content_type": "text/plain",
    }
    assert missing == {"key": "no", "exists": False}
    assert (empty["key"], empty["exists"], empty["size"]) == ("кот", True, 0)
    assert again == empty
    assert scene.own.count("stat") == 3


async def test_stat_of_some_fails() -> None:
    scene = Scene()
    scene.own.put("a", b"x")
    scene.own.failing_keys["b"] = lambda: Unavailable("S3 does not answer")
    scene.own.failing_keys["c"] = lambda: Denied("S3 says 403")
    keys = ["a", "b", "c", "", "d/../e"]
    answered = told(await scene.post("/objects/own/?stat=", {"keys": keys}))["objects"]
    assert [entry["key"] for entry in answered] == keys
    assert answered[0]["exists"] is True
    assert answered[1] == {"key": "b", "error": "S3 does not answer", "code": 503}
    assert [entry.get("code") for entry in answered] == [None, 503, 502, 400, 400]


async def test_stats_run_some_at_a_time(nursery: trio.Nursery) -> None:
    scene = Scene()
    inside: list[int] = [0, 0]

    async def count(point: str, asked: BytesAsked) -> None:
        if point == "arriving":
            inside[0] += 1
            inside[1] = max(inside)
            await trio.testing.wait_all_tasks_blocked()
            inside[0] -= 1

    scene.own.at = count
    keys = [str(n) for n in range(40)]
    await scene.post("/objects/own?stat", {"keys": keys})
    assert inside == [0, 8]
    async with trio.open_nursery() as several:
        for _ in range(8):
            several.start_soon(scene.post, "/objects/own?stat", {"keys": keys})
    assert inside == [0, 32]


async def test_delete() -> None:
    scene = Scene()
    for key in ("a", "b", "stays"):
        scene.own.put(key, b"x")
    answer = await scene.post("/objects/own?delete", {"keys": ["b", "a", "b", "never was"]})
    assert answer.status == 200
    assert told(answer) == {"deleted": ["b", "a", "never was"], "errors": []}
    assert list(scene.own.objects) == ["stays"]
    assert scene.own.count("delete", "b") == 1


async def test_delete_of_some_fails() -> None:
    scene = Scene()
    scene.own.put("a", b"x")
    scene.own.put("b", b"x")
    scene.own.failing_keys["b"] = lambda: Denied("AccessDenied")
    answered = told(await scene.post("/objects/own?delete", {"keys": ["a", "b", ""]}))
    assert answered["deleted"] == ["a"]
    assert sorted((e["key"], e["error"], e["code"]) for e in answered["errors"]) == [
        ("", "the key is empty", 400),
        ("b", "AccessDenied", 502),
    ]
    assert list(scene.own.objects) == ["b"]


async def test_a_single_delete() -> None:
    scene = Scene()
    scene.own.put("k", b"x")
    for _ in range(2):
        answer = await scene.act("DELETE", "/objects/own/k")
        assert (answer.status, answer.body, answer.headers) == (204, b"", ())
    assert scene.own.objects == {}
    scene.own.put("k", b"x")
    answer = await scene.act("DELETE", "/objects/own/k", fields={"If-Match": '"e"'})
    assert answer.status == 501
    assert "k" in scene.own.objects


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'"keys"',
        b'{"keys": []}',
        b'{"keys": "a"}',
        b'{"keys": [1]}',
        b'{"keys": [null]}',
        b'{"keys": ["a"], "quiet": true}',
        b'{"keys": ["\xff"]}',
        b'{"keys": ["\\ud800"]}',
        json.dumps({"keys": ["k"] * 1001}).encode(),
    ],
)
@pytest.mark.parametrize("what", ["delete", "stat"])
async def test_what_is_no_batch(what: str, body: bytes) -> None:
    scene = Scene()
    answer = await scene.act("POST", f"/objects/own?{what}", body)
    assert answer.status == 400
    assert told(answer)["error"] == "bad request"
    assert "keys" in told(answer)["message"]
    assert scene.own.asked == []


class Trickling(Body):
    """A byte each second: never silent for long, and never done."""

    async def read(self) -> bytes:
        await trio.sleep(1)
        return b" "


@pytest.mark.parametrize("what", ["delete", "stat"])
async def test_a_list_has_to_come_within_a_while(what: str, autojump_clock: MockClock) -> None:
    scene = Scene()
    with trio.fail_after(15):
        answer = await scene.act("POST", f"/objects/own?{what}", Trickling(size_bytes=5000))
    assert answer.status == 408
    assert scene.gateway.statistics().bodies == 0


async def test_lists_take_no_places_of_uploads(autojump_clock: MockClock) -> None:
    """Who may only read must not keep those from writing who may."""
    scene = Scene(config=ObjectsConfig(EVERYTHING, max_uploads=2))
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            slow = Trickling(size_bytes=5000)
            nursery.start_soon(scene.act, "POST", "/objects/open?stat", slow)
        await trio.testing.wait_all_tasks_blocked()
        assert scene.gateway.statistics().bodies == 2
        assert (await scene.act("POST", "/objects/open?stat", b"{}")).status == 503
        assert (await scene.act("PUT", "/objects/own/a", b"x")).status == 200


async def test_a_thousand_is_a_batch() -> None:
    keys = [f"{n:04}" for n in range(1000)]
    answered = told(await Scene().post("/objects/own?delete", {"keys": keys}))
    assert answered["deleted"] == keys


@pytest.mark.parametrize("announce", [True, False])
async def test_a_batch_that_is_too_large(announce: bool) -> None:
    scene = Scene()
    body = Body(*[b" " * 65_536] * 40, announce=announce)
    answer = await scene.act("POST", "/objects/own?delete", body)
    assert (answer.status, told(answer)["error"]) == (413, "content too large")
    assert body.read_bytes <= (0 if announce else 17 * 65_536)


@pytest.mark.parametrize("query", ["", "?list", "?delete=1", "?delete&stat", "?uploads"])
async def test_a_post_that_is_neither(query: str) -> None:
    scene, body = Scene(), Body(b'{"keys": ["k"]}')
    answer = await scene.act("POST", f"/objects/own{query}", body)
    assert answer.status == 400
    assert "?delete or ?stat" in told(answer)["message"]
    assert not body.asked_for
