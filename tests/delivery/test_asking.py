"""What S3 is asked for when nothing is known of an object, and answers that belong together."""

from __future__ import annotations

import pytest

from parparchik.cache import Absent, Wanted
from parparchik.content import Span
from parparchik.model import Answer
from tests.delivery.scene import LATER, Scene, receive, request_with, serving

DATA = b"0123456789" * 100

ASKED: dict[str, tuple[str, dict[str, str], list[Wanted]]] = {
    "all of it": ("GET", {}, ["whole"]),
    "about it": ("HEAD", {}, ["head"]),
    "about it, a range": ("HEAD", {"range": "bytes=0-1"}, ["head"]),
    "a part": ("GET", {"range": "bytes=10-19"}, [Span(10, 19)]),
    "a part of something that changes size": (
        "GET",
        {"range": "bytes=10-4999"},
        [Span(10, 4999)],
    ),
    "the rest": ("GET", {"range": "bytes=10-"}, [Span(10, (1 << 50) - 1)]),
    "the end": ("GET", {"range": "bytes=-10"}, ["head", Span(990, 999)]),
    "parts": ("GET", {"range": "bytes=500-509,0-9"}, ["head", Span(500, 509)]),
    "a part beyond": ("GET", {"range": "bytes=1000-"}, [Span(1000, (1 << 50) - 1)]),
    "the rest of the same": (
        "GET",
        {"range": "bytes=10-19", "if_range": '"abc"'},
        ["head", Span(10, 19)],
    ),
    "the rest of another": (
        "GET",
        {"range": "bytes=10-19", "if_range": '"x"'},
        ["head", "whole"],
    ),
    "something new, by tag": ("GET", {"if_none_match": '"x"'}, ["head", "whole"]),
    "nothing new, by tag": ("GET", {"if_none_match": '"abc"'}, ["head"]),
    "nothing new, by date": ("GET", {"if_modified_since": LATER}, ["head"]),
    "a new part": (
        "GET",
        {"if_none_match": '"x"', "range": "bytes=10-19"},
        ["head", Span(10, 19)],
    ),
    "the same as ever": ("GET", {"if_match": '"abc"'}, ["whole"]),
    "nonsense": ("GET", {"range": "bytes=9-1"}, ["whole"]),
}


@pytest.mark.parametrize("case", ASKED)
async def test_of_an_unknown_object(scene: Scene, case: str) -> None:
    method, fields, asked = ASKED[case]
    scene.put("a", DATA, known=False)
    await scene.get(serving("a"), method, **fields)
    assert scene.cache.asked == asked


class TestOfACodedOne:
    SERVING = serving("a.html", compress_min_bytes=1)

    async def test_about_it(self, scene: Scene) -> None:
        """Its size is known when it is made, of the object as S3 has it then."""
        scene.put("a.html", DATA, known=False)
        await scene.get(self.SERVING, "HEAD", accept_encoding="gzip")
        assert scene.cache.asked == ["head", "whole"]
        await scene.get(self.SERVING, "HEAD", accept_encoding="gzip")
        assert scene.cache.asked == ["head", "whole", "head"]  # it is there by now

    async def test_something_new(self, scene: Scene) -> None:
        scene.put("a.html", DATA, known=False)
        await scene.get(self.SERVING, accept_encoding="gzip", if_none_match='"x-gzip"')
        assert scene.cache.asked == ["head", "whole"]

    async def test_nothing_new(self, scene: Scene) -> None:
        scene.put("a.html", DATA, known=False)
        await scene.get(self.SERVING, accept_encoding="gzip", if_none_match='"abc-gzip"')
        assert scene.cache.asked == ["head"]

    async def test_one_that_gets_no_smaller(self, scene: Scene) -> None:
        noise = bytes(range(256))
        scene.put("a.html", noise, known=False)
        await scene.get(self.SERVING, accept_encoding="gzip")
        got = await scene.get(self.SERVING, accept_encoding="gzip", if_none_match='"x"')
        assert got.body == noise
        assert scene.cache.asked == ["whole", "head", "whole"]


async def test_an_error_page_is_asked_for_whole(scene: Scene) -> None:
    scene.put("404.html", DATA, known=False)
    await scene.get(serving("404.html", status=404), if_none_match='"x"', range="bytes=0-1")
    assert scene.cache.asked == ["whole"]


async def test_a_known_object_that_is_not_in_memory_is_looked_up_again(memory: Scene) -> None:
    """Its body may have changed at S3 since: then that must be known before an answer begins."""
    memory.cache.in_memory = False
    memory.put("a", DATA)
    assert memory.deliverer.answer_nowait(request_with(), serving("a")) is None
    for fields in ({"if_none_match": '"abc"'}, {"range": "bytes=5000-"}, {"if_match": '"x"'}):
        assert memory.deliverer.answer_nowait(request_with(**fields), serving("a")) is not None
    assert memory.deliverer.answer_nowait(request_with("HEAD"), serving("a")) is not None


class TestAnObjectThatChangesBetweenTwoQuestions:
    """Whatever comes is of one version: its tag, its size, its bytes."""

    async def _changed(self, scene: Scene, new: bytes | None, **fields: str) -> Answer | Absent:
        scene.put("a", DATA, known=False)

        def change() -> None:
            if len(scene.cache.asked) == 1:
                if new is None:
                    scene.cache.objects.clear()
                else:
                    scene.put("a", new, etag='"new"', known=False)

        scene.cache.when_asked = change
        return await scene.deliverer.answer(request_with(**fields), serving("a"))

    async def test_all_of_it_is_the_new_one(self, scene: Scene) -> None:
        answer = await self._changed(scene, b"new bytes", if_none_match='"x"')
        assert isinstance(answer, Answer)
        got = await receive(answer)
        assert (got.status, got.body, got["etag"]) == (200, b"new bytes", '"new"')

    async def test_the_end_is_the_new_one_s(self, scene: Scene) -> None:
        answer = await self._changed(scene, b"new bytes", range="bytes=-5")
        assert isinstance(answer, Answer)
        got = await receive(answer)
        assert (got.status, got.body, got["etag"]) == (206, b"bytes", '"new"')
        assert got["content-range"] == "bytes 4-8/9"

    async def test_a_range_of_the_old_one_is_not_continued(self, scene: Scene) -> None:
        answer = await self._changed(scene, b"new bytes", range="bytes=2-5", if_range='"abc"')
        assert isinstance(answer, Answer)
        got = await receive(answer)
        assert (got.status, got.body, got["etag"]) == (200, b"new bytes", '"new"')

    async def test_what_the_client_has_after_all(self, scene: Scene) -> None:
        answer = await self._changed(scene, b"new bytes", if_none_match='"new"')
        assert isinstance(answer, Answer)
        assert (await receive(answer)).status == 304

    async def test_gone(self, scene: Scene) -> None:
        answer = await self._changed(scene, None, if_none_match='"x"')
        assert answer == Absent("MISS")
