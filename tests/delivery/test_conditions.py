"""Clients that have something already, or that want it unchanged."""

from __future__ import annotations

import pytest

from parparchik.rfc import format_http_date
from tests.delivery.scene import EARLIER, LATER, MODIFIED, NOW_S, Scene, serving

CASES: dict[str, tuple[int, dict[str, str]]] = {
    "the same tag": (304, {"if_none_match": '"abc"'}),
    "the same tag, weak": (304, {"if_none_match": 'W/"abc"'}),
    "one of a list": (304, {"if_none_match": '"x", "abc"'}),
    "any": (304, {"if_none_match": "*"}),
    "another tag": (200, {"if_none_match": '"x"'}),
    "a tag without quotes": (200, {"if_none_match": "abc"}),
    "the same date": (304, {"if_modified_since": MODIFIED}),
    "a later date": (304, {"if_modified_since": LATER}),
    "an earlier date": (200, {"if_modified_since": EARLIER}),
    "an obsolete form of date": (304, {"if_modified_since": "Sun Nov  6 08:49:37 1994"}),
    "no date": (200, {"if_modified_since": "yesterday"}),
    "the tag beats the date": (200, {"if_none_match": '"x"', "if_modified_since": LATER}),
    "the date has no say": (304, {"if_none_match": '"abc"', "if_modified_since": EARLIER}),
    "wanted as it is": (200, {"if_match": '"abc"'}),
    "wanted as it was": (412, {"if_match": '"x"'}),
    "a weak tag is no such promise": (412, {"if_match": 'W/"abc"'}),
    "wanted if there": (200, {"if_match": "*"}),
    "wanted unmodified": (200, {"if_unmodified_since": MODIFIED}),
    "wanted unmodified and modified": (412, {"if_unmodified_since": EARLIER}),
    "the tag beats this date too": (200, {"if_match": '"abc"', "if_unmodified_since": EARLIER}),
    "412 before 304": (412, {"if_match": '"x"', "if_none_match": '"abc"'}),
    "both hold": (304, {"if_match": '"abc"', "if_none_match": '"abc"'}),
    "304 before 416": (304, {"if_none_match": '"abc"', "range": "bytes=100-"}),
    "304 before 206": (304, {"if_none_match": '"abc"', "range": "bytes=0-1"}),
    "412 before 206": (412, {"if_match": '"x"', "range": "bytes=0-1"}),
    "a part, unless it is the old one": (206, {"if_none_match": '"x"', "range": "bytes=0-1"}),
}


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("case", CASES)
async def test_what_comes_of_it(scene: Scene, case: str, known: bool) -> None:
    status, fields = CASES[case]
    scene.put("a", b"hello", known=known)
    got = await scene.get(serving("a"), **fields)
    assert got.status == status
    assert got.body == {200: b"hello", 206: b"he"}.get(status, b"")
    if "range" not in fields:
        assert (await scene.get(serving("a"), "HEAD", **fields)).status == status


async def test_a_weak_tag_of_s3_stays_weak(memory: Scene) -> None:
    memory.put("a", b"hello", etag='W/"abc"')
    assert (await memory.get(serving("a")))["etag"] == 'W/"abc"'
    assert (await memory.get(serving("a"), if_none_match='"abc"')).status == 304
    assert (await memory.get(serving("a"), if_match='W/"abc"')).status == 412


async def test_a_tag_of_s3_that_is_none_matches_nothing(memory: Scene) -> None:
    memory.put("a", b"hello", etag="abc")
    assert (await memory.get(serving("a"), if_none_match="abc")).status == 200
    assert (await memory.get(serving("a"), if_none_match='"abc"')).status == 200


class TestNotModified:
    async def test_has_what_a_cache_needs_and_nothing_else(self, memory: Scene) -> None:
        stored = (
            ("cache-control", "max-age=60"),
            ("x-amz-meta-a", "b"),
            ("content-language", "de"),
        )
        memory.put("a.txt", b"hello" * 300, headers=stored).age_s = 3
        added = ((b"access-control-allow-origin", b"*"), (b"vary", b"Origin"))
        asked = serving("a.txt", headers=added, compress_min_bytes=1)
        got = await memory.get(asked, if_none_match='"abc"')
        assert (got.status, got.body) == (304, b"")
        assert got.headers == {
            "cache-control": "max-age=60",
            "etag": '"abc"',
            "vary": "Accept-Encoding, Origin",
            "x-cache": "HIT",
            "age": "3",
            "access-control-allow-origin": "*",
        }

    async def test_the_default_freshness_too(self, memory: Scene) -> None:
        memory.put("a", b"hello")
        got = await memory.get(serving("a", default_max_age_s=300.0), if_none_match='"abc"')
        assert got["cache-control"] == "max-age=300"
        assert got["expires"] == format_http_date(NOW_S + 300)

    async def test_without_a_tag_the_date(self, memory: Scene) -> None:
        memory.put("a", b"hello", etag="")
        got = await memory.get(serving("a"), if_modified_since=MODIFIED)
        assert (got.status, got["last-modified"]) == (304, MODIFIED)


async def test_a_refusal_says_what_is_there_and_what_the_mode_adds(memory: Scene) -> None:
    memory.put("a.txt", b"hello", headers=(("x-amz-meta-a", "b"), ("content-encoding", "gzip")))
    added = ((b"access-control-allow-origin", b"*"),)
    got = await memory.get(serving("a.txt", headers=added), if_match='"x"')
    assert got.headers == {
        "etag": '"abc"',
        "last-modified": MODIFIED,
        "accept-ranges": "bytes",
        "x-cache": "HIT",
        "access-control-allow-origin": "*",
    }
