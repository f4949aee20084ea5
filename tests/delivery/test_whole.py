"""A client that asks for an object, and what it is told of it."""

from __future__ import annotations

import pytest

from parparchik.cache import Absent, Status
from parparchik.errors import Truncated, Unavailable
from parparchik.model import Answer
from parparchik.rfc import format_http_date
from tests.delivery.scene import MODIFIED, NOW_S, Scene, receive, request_with, serving


async def test_the_bytes_and_all_that_was_stored_with_them(scene: Scene) -> None:
    stored = (
        ("cache-control", "public, max-age=60"),
        ("content-disposition", 'attachment; filename="n\xe4me"'),
        ("content-language", "de"),
        ("x-amz-meta-colour", "gr\xfcn"),
    )
    scene.put("a.txt", b"hello", content_type="text/x-mine", headers=stored)
    got = await scene.get(serving("a.txt", default_max_age_s=300.0))
    assert (got.status, got.body, got.length) == (200, b"hello", 5)
    assert got.headers == {
        "content-type": "text/x-mine",
        **dict(stored),
        "etag": '"abc"',
        "last-modified": MODIFIED,
        "accept-ranges": "bytes",
        "x-cache": "HIT",
        "age": "0",
    }


async def test_head_says_the_same_and_opens_nothing(scene: Scene) -> None:
    found = scene.put("a.html", b"hello", headers=(("x-amz-meta-a", "b"),))
    asked = serving("a.html", default_max_age_s=300.0)
    got, head = await scene.get(asked), await scene.get(asked, "HEAD")
    assert (head.status, head.headers, head.length) == (200, got.headers, 5)
    assert len(found.spans) == (0 if scene.cache.in_memory else 1)
    assert found.open_contents == 0


async def test_an_empty_object(scene: Scene) -> None:
    scene.put("empty", b"")
    for method in ("GET", "HEAD"):
        got = await scene.get(serving("empty"), method)
        assert (got.status, got.body, got.length) == (200, b"", 0)


@pytest.mark.parametrize(
    ("key", "from_s3", "said"),
    [
        ("a.html", "text/x-mine; charset=koi8-r", "text/x-mine; charset=koi8-r"),
        ("a.html", "application/octet-stream", "application/octet-stream"),
        ("a.html", "", "text/html; charset=utf-8"),
        ("a.html", "binary/octet-stream", "text/html; charset=utf-8"),
        ("dir.js/a", "", "application/octet-stream"),
        ("a.unheard-of", "binary/octet-stream", "application/octet-stream"),
    ],
)
async def test_the_type(memory: Scene, key: str, from_s3: str, said: str) -> None:
    memory.put(key, b"hello", content_type=from_s3)
    assert (await memory.get(serving(key)))["content-type"] == said


class TestHowLongAClientMayKeepIt:
    async def test_a_default(self, memory: Scene) -> None:
        memory.put("a", b"x").age_s = 20
        got = await memory.get(serving("a", default_max_age_s=300.0))
        assert got["cache-control"] == "max-age=300"
        assert got["age"] == "20"
        # The same moment for who knows no Age.
        assert got["expires"] == format_http_date(NOW_S + 280)

    async def test_a_default_beyond_all_reason(self, memory: Scene) -> None:
        memory.put("a", b"x")
        got = await memory.get(serving("a", default_max_age_s=1e15))
        assert got["cache-control"] == "max-age=31536000"
        assert got["expires"] == format_http_date(NOW_S + 31_536_000)

    async def test_no_default(self, memory: Scene) -> None:
        memory.put("a", b"x")
        got = await memory.get(serving("a"))
        assert "cache-control" not in got.headers
        assert "expires" not in got.headers

    @pytest.mark.parametrize("name", ["cache-control", "expires"])
    async def test_the_object_s_own(self, memory: Scene, name: str) -> None:
        memory.put("a", b"x", headers=((name, "whatever"),))
        got = await memory.get(serving("a", default_max_age_s=300.0))
        assert {got.headers.get("cache-control"), got.headers.get("expires")} == {"whatever", None}

    @pytest.mark.parametrize(
        ("status", "age"),
        [("HIT", "7"), ("STALE", "7"), ("REVALIDATED", "7"), ("MISS", None), ("BYPASS", None)],
    )
    async def test_age_of_what_was_kept(
        self, memory: Scene, status: Status, age: str | None
    ) -> None:
        found = memory.put("a", b"x")
        found.status, found.age_s = status, 7
        got = await memory.get(serving("a"))
        assert (got["x-cache"], got.headers.get("age")) == (status, age)


async def test_what_the_mode_adds_takes_the_place_of_what_is_there(memory: Scene) -> None:
    memory.put("a.js.gz", b"x" * 50, headers=(("cache-control", "no-store"),))
    added = (
        (b"content-type", b"text/javascript"),
        (b"content-encoding", b"gzip"),
        (b"cache-control", b"max-age=1"),
        (b"access-control-allow-origin", b"*"),
    )
    got = await memory.get(serving("a.js.gz", headers=added))
    assert got["content-type"] == "text/javascript"
    assert got["content-encoding"] == "gzip"
    assert got["cache-control"] == "max-age=1"
    assert got["access-control-allow-origin"] == "*"


async def test_unknown_dates_and_tags_are_not_made_up(memory: Scene) -> None:
    memory.put("a", b"x", etag="", modified_s=0)
    got = await memory.get(serving("a"), if_modified_since=MODIFIED, if_none_match='""')
    assert got.status == 200
    assert not {"etag", "last-modified"} & got.headers.keys()


async def test_what_is_not_there_is_the_mode_s_concern(memory: Scene) -> None:
    request = request_with()
    assert memory.deliverer.answer_nowait(request, serving("no")) is None
    assert await memory.deliverer.answer(request, serving("no")) == Absent("MISS")
    memory.cache.gone.add(serving("no").name)
    assert memory.deliverer.answer_nowait(request, serving("no")) == Absent()


async def test_an_s3_that_fails_is_no_absence(memory: Scene) -> None:
    memory.cache.failure = Unavailable("away")
    with pytest.raises(Unavailable):
        await memory.deliverer.answer(request_with(), serving("a"))


async def test_a_body_that_breaks_off_looks_it(memory: Scene) -> None:
    memory.cache.in_memory = False
    found = memory.put("a", b"x" * 100)
    answer = await memory.deliverer.answer(request_with(), serving("a"))
    found.breaks = True
    assert isinstance(answer, Answer)
    with pytest.raises(Truncated):
        await receive(answer)


class TestErrorPages:
    async def test_no_conditions_no_ranges_and_nobody_keeps_them(self, scene: Scene) -> None:
        stored = (("cache-control", "max-age=9"), ("expires", MODIFIED), ("x-amz-meta-a", "b"))
        scene.put("404.html", b"not here", headers=stored)
        got = await scene.get(
            serving("404.html", status=404, default_max_age_s=300.0),
            if_none_match='"abc"',
            if_match='"other"',
            range="bytes=0-1",
        )
        assert (got.status, got.body) == (404, b"not here")
        assert got.headers == {
            "content-type": "text/html; charset=utf-8",
            "x-amz-meta-a": "b",
            "cache-control": "no-store",
            "x-cache": "HIT",
            "age": "0",
        }

    async def test_unless_the_mode_says_so(self, memory: Scene) -> None:
        memory.put("404.html", b"not here")
        added = ((b"cache-control", b"max-age=5"),)
        got = await memory.get(serving("404.html", status=404, headers=added))
        assert got["cache-control"] == "max-age=5"

    async def test_head(self, scene: Scene) -> None:
        scene.put("404.html", b"not here")
        asked = serving("404.html", status=404)
        head = await scene.get(asked, "HEAD")
        assert (head.status, head.length) == (404, 8)
        assert head.headers == (await scene.get(asked)).headers

    async def test_coded(self, scene: Scene) -> None:
        scene.put("404.html", b"not here " * 100)
        got = await scene.get(
            serving("404.html", status=404, compress_min_bytes=1), accept_encoding="gzip"
        )
        assert (got.status, got["content-encoding"], got["vary"]) == (
            404,
            "gzip",
            "Accept-Encoding",
        )
        assert len(got.body) < 900
