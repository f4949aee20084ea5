"""When a write becomes visible: after the commit the cache forgets, whatever came of the write."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from parparchik.content import ObjectName
from parparchik.errors import ClientGone, Unavailable
from tests.fakes_bytes import BytesAsked
from tests.objects.scene import Body, Scene, Stuck

NAME = ObjectName("own", "k")
TARGET = "/objects/own/k"


async def test_the_cache_forgets_after_the_commit_and_before_the_answer() -> None:
    scene = Scene()
    await scene.act("PUT", TARGET, b"new")
    assert scene.cache.at_invalidation == [(NAME, True)]
    await scene.act("DELETE", TARGET)
    assert scene.cache.at_invalidation[1:] == [(NAME, False)]


async def test_a_batch_forgets_each() -> None:
    scene = Scene()
    for key in "abc":
        scene.own.put(key, b"x")
    await scene.post("/objects/own?delete", {"keys": ["a", "c", "a"]})
    assert scene.cache.at_invalidation == [
        (ObjectName("own", "a"), False),
        (ObjectName("own", "c"), False),
    ]


@pytest.mark.parametrize("operation", ["store", "delete"])
async def test_an_unknown_outcome_is_forgotten_too(operation: str) -> None:
    """S3 has done it, and what it said of that was lost."""
    scene = Scene()

    async def lose(point: str, asked: BytesAsked) -> None:
        await trio.lowlevel.checkpoint()
        if point == "answering":
            raise Unavailable("the connection broke")

    scene.own.at = lose
    method = "PUT" if operation == "store" else "DELETE"
    assert (await scene.act(method, TARGET, b"new")).status == 503
    assert scene.cache.forgotten == [NAME]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
async def test_also_when_cancelled_while_s3_answers(method: str) -> None:
    scene = Scene()
    answering = trio.Event()

    async def hang(point: str, asked: BytesAsked) -> None:
        if point == "answering":
            answering.set()
            await trio.sleep_forever()

    scene.own.at = hang
    target = "/objects/own?delete" if method == "POST" else TARGET
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.act, method, target, b'{"keys": ["k"]}')
        await answering.wait()
        assert scene.cache.forgotten == []
        nursery.cancel_scope.cancel()
    assert scene.cache.forgotten == [NAME]


async def test_also_when_the_client_leaves_in_the_middle() -> None:
    class Leaving(Body):
        async def read(self) -> bytes:
            if self.read_bytes:
                raise ClientGone("closed")
            return await super().read()

    scene = Scene()
    with pytest.raises(ClientGone):
        await scene.act("PUT", TARGET, Leaving(b"half", size_bytes=8))
    assert scene.own.objects == {}
    assert scene.cache.forgotten == [NAME]


async def test_a_refusal_forgets_nothing() -> None:
    scene = Scene()
    await scene.act("PUT", TARGET, b"x", {"Content-MD5": "junk"})
    await scene.act("PUT", "/objects/open/k", b"x")
    await scene.post("/objects/own?delete", {"keys": []})
    assert scene.cache.forgotten == []


async def test_while_a_write_goes_on_the_old_is_served(nursery: trio.Nursery) -> None:
    scene = Scene()
    scene.own.put("k", b"old")
    body = Stuck()
    nursery.start_soon(scene.act, "PUT", TARGET, body)
    await body.reading.wait()
    assert (await scene.ask(TARGET)).body == b"old"
    assert scene.cache.forgotten == []
    nursery.cancel_scope.cancel()
