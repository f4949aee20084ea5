"""What stands compressed beside an object is served for it."""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from tests.site.stage import Stage, header, stage


def site() -> Stage:
    staged = stage(precompressed=True, error="404.html")
    staged.put("a.html", "all.css", "404.html", "image.png")
    staged.put("a.html.gz", "orphan.html.br", "image.png.br", content_type="application/gzip")
    staged.put("all.css.gz", "all.css.br", "all.css.zst", content_type="")
    staged.put("image.png", "image.png.br", content_type="image/png")
    staged.bytes.put("coded.html", b"<coded>", headers=(("content-encoding", "gzip"),))
    staged.put("coded.html.br")
    return staged


@pytest.mark.parametrize(
    ("target", "accepted", "key", "coding"),
    [
        ("/a.html", "gzip, br", "a.html.gz", "gzip"),
        ("/a.html", "br", "a.html", ""),
        ("/a.html", "gzip;q=0", "a.html", ""),
        ("/a.html", "", "a.html", ""),
        ("/all.css", "gzip, br, zstd", "all.css.br", "br"),
        ("/all.css", "gzip, br;q=0.1", "all.css.gz", "gzip"),
        ("/all.css", "zstd", "all.css.zst", "zstd"),
        ("/image.png", "br", "image.png", ""),
        ("/coded.html", "br", "<coded>", ""),
        ("/a.html.gz", "identity", "a.html.gz", ""),
    ],
)
async def test_what_the_client_likes_best(
    autojump_clock: MockClock, target: str, accepted: str, key: str, coding: str
) -> None:
    staged = site()
    for _ in range(2):
        answer = await staged.get(target, accept_encoding=accepted)
        assert answer.status == 200
        assert answer.body.decode().strip("<>") == key.strip("<>")
        assert header(answer, "content-encoding") == coding
        assert "accept-encoding" in header(answer, "vary")
        if coding:
            assert header(answer, "content-type") == "text/html"


async def test_each_has_an_etag_of_its_own(autojump_clock: MockClock) -> None:
    staged = site()
    plain = await staged.get("/a.html")
    coded = await staged.get("/a.html", accept_encoding="gzip")
    assert header(plain, "etag") != header(coded, "etag")


async def test_one_without_its_object_is_none(autojump_clock: MockClock) -> None:
    staged = site()
    answer = await staged.get("/orphan.html", accept_encoding="br")
    assert (answer.status, answer.body) == (404, b"<404.html>")
    assert "accept-encoding" in header(answer, "vary")
    assert staged.bytes.count("open", "orphan.html.br") == 0


async def test_off_nobody_looks_for_them(autojump_clock: MockClock) -> None:
    staged = stage("a.html", "a.html.gz")
    assert (await staged.get("/a.html", accept_encoding="gzip")).body == b"<a.html>"
    assert staged.bytes.count("open") == 1
