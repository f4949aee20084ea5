"""With the cache and the delivery of the service: what the site adds to what these say."""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from tests.contract.site_scene import SiteScene, request, serving

PAGE = "text/html,*/*;q=0.8"
TEXT = b"<p>All that is gold does not glitter.</p>\n" * 500


def put_coded(scene: SiteScene) -> None:
    scene.bytes.put("a.html", TEXT, content_type="text/html")
    scene.bytes.put("a.html.br", b"0123456789" * 300, content_type="application/x-br")
    scene.bytes.put("a.html.gz", b"gz" * 1000, content_type="application/gzip")


async def test_what_is_precompressed_is_a_representation_of_its_own(
    autojump_clock: MockClock,
) -> None:
    async with serving(precompressed=True) as scene:
        put_coded(scene)
        for _ in range(2):
            plain = await scene.get("/a.html")
            coded = await scene.get("/a.html", accept_encoding="br, gzip;q=0.5")
            assert coded.body == b"0123456789" * 300
            assert coded["content-encoding"] == "br"
            assert coded["content-type"] == "text/html"
            assert coded["cache-control"] == "max-age=300"
            assert "accept-encoding" in coded["vary"].lower()
            assert "accept-encoding" in plain["vary"].lower()
            assert coded["etag"] != plain["etag"]
        br = {"accept_encoding": "br"}
        same = await scene.get("/a.html", if_none_match=coded["etag"], **br)
        assert (same.status, same.body, same["etag"]) == (304, b"", coded["etag"])
        assert "accept-encoding" in same["vary"].lower()
        assert (await scene.get("/a.html", if_none_match=plain["etag"], **br)).status == 200
        part = await scene.get("/a.html", range="bytes=10-13", **br)
        assert (part.status, part.body, part["content-type"]) == (206, b"0123", "text/html")
        assert part["content-encoding"] == "br"
        parts = await scene.get("/a.html", range="bytes=0-1,2000-2001", **br)
        assert parts["content-type"].startswith("multipart/byteranges")
        assert b"content-type: text/html\r\n" in parts.body.lower()
        head = await scene.get("/a.html", "HEAD", **br)
        assert (head.status, head["content-encoding"], head.body) == (200, "br", b"")


async def test_what_is_precompressed_is_not_compressed_again(autojump_clock: MockClock) -> None:
    async with serving(precompressed=True) as scene:
        scene.bytes.put("a.css", TEXT, content_type="text/css")
        scene.bytes.put("a.css.br", TEXT, content_type="text/css")  # as many tools store it
        reply = await scene.get("/a.css", accept_encoding="br, gzip")
        assert (reply["content-encoding"], reply.body) == ("br", TEXT)


async def test_who_has_no_sibling_is_compressed_here(autojump_clock: MockClock) -> None:
    async with serving(precompressed=True) as scene:
        scene.bytes.put("a.css", TEXT, content_type="text/css")
        reply = await scene.get("/a.css", accept_encoding="br;q=0.5, gzip")
        assert reply["content-encoding"] == "gzip"
        assert len(reply.body) < len(TEXT)


async def test_an_error_page_is_no_version_of_what_is_missing(autojump_clock: MockClock) -> None:
    async with serving(error="404.html") as scene:
        page = scene.bytes.put("404.html", TEXT, content_type="text/html")
        for headers in (
            {},
            {"if_none_match": page.etag},
            {"range": "bytes=0-4"},
            {"if_match": '"other"'},
        ):
            reply = await scene.get("/nowhere", **headers)
            assert (reply.status, reply.body) == (404, TEXT)
            assert reply["content-type"] == "text/html"
            assert reply["content-range"] == ""
        head = await scene.get("/nowhere", "HEAD")
        assert (head.status, head.body) == (404, b"")


async def test_the_applications_page_is_one_like_any_other(autojump_clock: MockClock) -> None:
    async with serving(spa="app.html") as scene:
        page = scene.bytes.put("app.html", TEXT, content_type="text/html")
        reply = await scene.get("/settings", accept=PAGE)
        assert (reply.status, reply["etag"]) == (200, page.etag)
        again = await scene.get("/settings", accept=PAGE, if_none_match=page.etag)
        assert again.status == 304
        assert "sec-fetch-mode" in again["vary"]
        assert (await scene.get("/settings", accept="*/*")).status == 404
        assert (await scene.get("/settings", "HEAD", accept=PAGE)).status == 200


@pytest.mark.parametrize("target", ["/a", "/nowhere", "/docs", "/%2e%2e"])
async def test_every_origin_is_told_alike(autojump_clock: MockClock, target: str) -> None:
    async with serving(cors=("https://a.example",)) as scene:
        scene.bytes.put("a", TEXT, content_type="text/html")
        scene.bytes.put("docs/index.html", TEXT)
        for origin, allowed in (("https://a.example", "https://a.example"), ("https://b", "")):
            for _ in range(2):
                reply = await scene.get(target, origin=origin)
                assert reply["access-control-allow-origin"] == allowed
                assert "origin" in reply["vary"]


async def test_a_question_answers_alike_as_long_as_nothing_has_changed(
    autojump_clock: MockClock,
) -> None:
    async with serving(clean_urls=True) as scene:
        scene.bytes.put("about.html", b"x" * 2000, content_type="text/html")
        await scene.get("/about")
        first = await scene.answer("/about")
        assert first.content is None
        question = scene.site.ask(request("/about", "GET", {}))
        assert question.answer_nowait() is question.answer_nowait() is not None
