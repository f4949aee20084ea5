"""Clients that take compressed answers, and caches between them and us."""

from __future__ import annotations

import gzip
from dataclasses import replace

import pytest

from parparchik.delivery import COMPRESSORS
from tests.delivery.scene import LATER, Scene, serving

TEXT = b"What is said twice is said twice. " * 100
SERVING = serving("a.html", compress_min_bytes=1000)


async def test_gzip_has_a_tag_of_its_own(scene: Scene) -> None:
    scene.put("a.html", TEXT)
    got = await scene.get(SERVING, accept_encoding="gzip")
    assert (got.status, gzip.decompress(got.body)) == (200, TEXT)
    assert got.length == len(got.body) < len(TEXT)
    assert (got["content-encoding"], got["etag"]) == ("gzip", '"abc-gzip"')
    assert got["vary"] == "Accept-Encoding"
    assert got["content-type"] == "text/html; charset=utf-8"


async def test_made_once(scene: Scene) -> None:
    scene.put("a.html", TEXT)
    for _ in range(3):
        await scene.get(SERVING, accept_encoding="gzip")
    assert scene.cache.made == ["gzip"]


async def test_who_takes_none_is_told_that_others_do(scene: Scene) -> None:
    scene.put("a.html", TEXT)
    got = await scene.get(SERVING)
    assert (got.body, got["etag"], got["vary"]) == (TEXT, '"abc"', "Accept-Encoding")
    assert "content-encoding" not in got.headers
    assert scene.cache.made == []


@pytest.mark.parametrize(
    ("added", "vary"),
    [
        (b"Origin", "Accept-Encoding, Origin"),
        (b"origin, accept-encoding", "origin, accept-encoding"),
    ],
)
async def test_vary_is_a_list(memory: Scene, added: bytes, vary: str) -> None:
    memory.put("a.html", TEXT)
    asked = replace(SERVING, headers=((b"vary", added),))
    for fields in ({}, {"accept_encoding": "gzip"}, {"if_none_match": "*"}):
        assert (await memory.get(asked, **fields))["vary"] == vary


async def test_head_says_the_same(scene: Scene) -> None:
    scene.put("a.html", TEXT)
    head = await scene.get(SERVING, "HEAD", accept_encoding="gzip")
    got = await scene.get(SERVING, accept_encoding="gzip")
    assert (head.headers, head.length) == (got.headers, got.length)


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate", "gzip"),
        ("x-gzip", "gzip"),
        ("*", None),
        ("gzip;q=0", None),
        ("gzip;q=0, *", None),
        ("identity, gzip;q=0.5", None),
        ("gzip;q=0.5", "gzip"),
        ("deflate", None),
        ("", None),
        ("gzip;q=nonsense", None),
    ],
)
async def test_what_a_client_likes(memory: Scene, accepted: str, coding: str | None) -> None:
    memory.put("a.html", TEXT)
    got = await memory.get(SERVING, accept_encoding=accepted)
    if accepted == "*":
        coding = next(iter(COMPRESSORS))
    elif accepted == "gzip;q=0, *":
        coding = next((coding for coding in COMPRESSORS if coding != "gzip"), None)
    assert got.headers.get("content-encoding") == coding


@pytest.mark.parametrize("coding", ["br", "zstd"])
async def test_the_codings_of_the_extras(scene: Scene, coding: str) -> None:
    library = pytest.importorskip({"br": "brotli", "zstd": "zstandard"}[coding])
    decompress = library.decompress
    scene.put("a.html", TEXT)
    got = await scene.get(SERVING, accept_encoding=f"gzip;q=0.9, {coding}")
    assert decompress(got.body) == TEXT
    assert (got["content-encoding"], got["etag"]) == (coding, f'"abc-{coding}"')


def test_the_order_of_the_offer() -> None:
    assert [coding for coding in ("br", "zstd", "gzip") if coding in COMPRESSORS] == [*COMPRESSORS]


@pytest.mark.parametrize("pieces", [[], [b""], [b"a"], [b"a" * 70_000, b"", b"b" * 70_000]])
def test_any_pieces_come_back(pieces: list[bytes]) -> None:
    made = COMPRESSORS["gzip"](pieces)
    assert gzip.decompress(made) == b"".join(pieces)
    assert made == COMPRESSORS["gzip"](pieces)
    if "zstd" in COMPRESSORS:
        zstandard = pytest.importorskip("zstandard")
        made = COMPRESSORS["zstd"](pieces)
        assert zstandard.decompress(made) == b"".join(pieces)
    if "br" in COMPRESSORS:
        brotli = pytest.importorskip("brotli")
        assert brotli.decompress(COMPRESSORS["br"](pieces)) == b"".join(pieces)


class TestWhatIsNotCoded:
    @pytest.mark.parametrize(
        ("key", "size", "settings"),
        [
            ("a.png", 5000, {}),
            ("a", 5000, {}),
            ("a.html", 999, {}),
            ("a.html", (1 << 20) + 1, {}),
            ("a.html", 5000, {"headers": (("cache-control", "public, no-transform"),)}),
            ("a.html", 5000, {"content_type": "text/event-stream"}),
        ],
    )
    async def test_of_no_kind_that_gains(
        self, memory: Scene, key: str, size: int, settings: dict[str, str]
    ) -> None:
        memory.put(key, b"x" * size, **settings)  # type: ignore[arg-type]
        got = await memory.get(serving(key, compress_min_bytes=1000), accept_encoding="gzip")
        assert not {"content-encoding", "vary"} & got.headers.keys()
        assert len(got.body) == size

    @pytest.mark.parametrize("size", [1000, 1 << 20])
    async def test_the_limits_themselves_are_within(self, memory: Scene, size: int) -> None:
        memory.put("a.html", b"x" * size)
        got = await memory.get(SERVING, accept_encoding="gzip")
        assert got["content-encoding"] == "gzip"

    async def test_where_the_mode_does_not_want_it(self, memory: Scene) -> None:
        memory.put("a.html", TEXT)
        got = await memory.get(serving("a.html"), accept_encoding="gzip")
        assert (got.body, "vary" in got.headers) == (TEXT, False)

    @pytest.mark.parametrize("accepted", ["gzip", "identity", "gzip;q=0"])
    async def test_what_is_stored_coded_passes_as_it_is(self, scene: Scene, accepted: str) -> None:
        scene.put("a.html", gzip.compress(TEXT), headers=(("content-encoding", "gzip"),))
        got = await scene.get(serving("a.html", compress_min_bytes=1), accept_encoding=accepted)
        assert gzip.decompress(got.body) == TEXT
        assert (got["content-encoding"], got["etag"]) == ("gzip", '"abc"')
        assert "vary" not in got.headers

    async def test_what_does_not_get_smaller(self, scene: Scene) -> None:
        noise = bytes((n * n * 31 + n // 7 * 101) % 251 for n in range(0, 4 * 997, 4))
        noise = gzip.compress(noise * 2, 9, mtime=0) + gzip.compress(noise[::-1], 9, mtime=0)
        scene.put("a.html", noise)
        asked = serving("a.html", compress_min_bytes=1)
        for _ in range(2):
            got = await scene.get(asked, accept_encoding="gzip")
            assert (got.body, got["etag"], got["vary"]) == (noise, '"abc"', "Accept-Encoding")
            assert "content-encoding" not in got.headers
        assert scene.cache.made == ["gzip"]
        # Nor is the tag that the coded one would have had any promise that can be kept.
        got = await scene.get(asked, accept_encoding="gzip", if_match='"abc-gzip"')
        assert got.status == 412


class TestConditions:
    """`held` is what the client has: the tag of the object, or of its gzipped self."""

    async def test_who_has_the_coded_one(self, scene: Scene) -> None:
        scene.put("a.html", TEXT)
        got = await scene.get(SERVING, accept_encoding="gzip", if_none_match='"abc-gzip"')
        assert (got.status, got["etag"], got["vary"]) == (304, '"abc-gzip"', "Accept-Encoding")
        assert "content-encoding" not in got.headers
        assert scene.cache.made == []

    async def test_who_has_it_as_it_is(self, scene: Scene) -> None:
        scene.put("a.html", TEXT)
        got = await scene.get(SERVING, accept_encoding="gzip", if_none_match='"abc"')
        assert (got.status, got["etag"]) == (304, '"abc"')

    async def test_who_has_the_coded_one_and_takes_it_no_more(self, scene: Scene) -> None:
        scene.put("a.html", TEXT)
        got = await scene.get(SERVING, if_none_match='"abc-gzip"')
        assert (got.status, got.body) == (200, TEXT)

    async def test_who_has_an_old_coded_one(self, scene: Scene) -> None:
        scene.put("a.html", TEXT, etag='"new"')
        got = await scene.get(SERVING, accept_encoding="gzip", if_none_match='"abc-gzip"')
        assert (got.status, got["etag"]) == (200, '"new-gzip"')

    async def test_who_wants_the_one_it_knows(self, scene: Scene) -> None:
        scene.put("a.html", TEXT)
        got = await scene.get(SERVING, accept_encoding="gzip", if_match='"abc-gzip"')
        assert (got.status, got["etag"]) == (200, '"abc-gzip"')
        got = await scene.get(SERVING, accept_encoding="gzip", if_match='"abc"')
        assert (got.status, got["etag"], got.body) == (200, '"abc"', TEXT)

    async def test_dates_are_the_same_for_both(self, scene: Scene) -> None:
        scene.put("a.html", TEXT)
        got = await scene.get(SERVING, accept_encoding="gzip", if_modified_since=LATER)
        assert got.status == 304

    async def test_weak_tags_stay_weak(self, scene: Scene) -> None:
        scene.put("a.html", TEXT, etag='W/"abc"')
        got = await scene.get(SERVING, accept_encoding="gzip")
        assert got["etag"] == 'W/"abc-gzip"'
        got = await scene.get(SERVING, accept_encoding="gzip", if_none_match='W/"abc-gzip"')
        assert got.status == 304

    async def test_without_a_tag_there_is_none_to_change(self, scene: Scene) -> None:
        scene.put("a.html", TEXT, etag="")
        got = await scene.get(SERVING, accept_encoding="gzip")
        assert got["content-encoding"] == "gzip"
        assert "etag" not in got.headers


class TestRanges:
    async def test_are_of_the_object_as_it_is(self, scene: Scene) -> None:
        scene.put("a.html", TEXT)
        got = await scene.get(SERVING, accept_encoding="gzip", range="bytes=5-9")
        assert (got.status, got.body, got["etag"]) == (206, TEXT[5:10], '"abc"')
        assert got["vary"] == "Accept-Encoding"
        assert "content-encoding" not in got.headers

    async def test_never_go_on_with_a_coded_download(self, scene: Scene) -> None:
        scene.put("a.html", TEXT)
        got = await scene.get(
            SERVING, accept_encoding="gzip", range="bytes=5-9", if_range='"abc-gzip"'
        )
        assert (got.status, gzip.decompress(got.body)) == (200, TEXT)

    async def test_go_on_with_a_plain_one(self, scene: Scene) -> None:
        scene.put("a.html", TEXT)
        got = await scene.get(SERVING, accept_encoding="gzip", range="bytes=5-9", if_range='"abc"')
        assert (got.status, got.body) == (206, TEXT[5:10])

    async def test_that_cannot_be_met_say_so_to_caches_too(self, scene: Scene) -> None:
        scene.put("a.html", TEXT)
        got = await scene.get(SERVING, accept_encoding="gzip", range="bytes=5000-")
        assert (got.status, got["vary"], got["content-range"]) == (
            416,
            "Accept-Encoding",
            "bytes */3400",
        )
