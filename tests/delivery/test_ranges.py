"""Clients that want parts: players that seek, downloads that go on, readers of documents."""

from __future__ import annotations

from email.parser import BytesParser
from email.policy import HTTP

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from parparchik.model import Answer
from parparchik.rfc import format_http_date
from tests.delivery.scene import MODIFIED, NOW_S, Got, Scene, receive, request_with, serving

DATA = bytes(range(256)) * 4

ONE = {
    "bytes=0-0": (0, 0),
    "bytes=0-499": (0, 499),
    "bytes=500-": (500, 1023),
    "bytes=-24": (1000, 1023),
    "bytes=-5000": (0, 1023),
    "bytes=1000-5000": (1000, 1023),
    "bytes=0-": (0, 1023),  # how Safari begins a video, and gives up on 200
    "BYTES=1-2": (1, 2),
    "bytes= 1-2 , ,": (1, 2),
    "bytes=5-9,100-20000,90-99": None,
    "bytes=5-9,4000-5000": (5, 9),
    "bytes=5-9,0-6": (0, 9),
    "bytes=0-,-1": (0, 1023),
    "bytes=000000000000000000000000000000001-000000000000000000000000000000002": (1, 2),
    f"bytes=1020-{'9' * 5000}": (1020, 1023),
}
IGNORED = [
    "bytes=",
    "bytes=,",
    "bytes",
    "bytes=-",
    "bytes=a-b",
    "bytes=5-2",
    "bytes=1-2,5-2",
    "bytes=1-2;3-4",
    "bytes=+1-2",
    "bytes=1 - 2",
    "bytes 1-2",
    "seconds=1-2",
    "none",
    "bytes=1-2, bytes=3-4",
    "bytes=\u00b2-\u00b3",
    "bytes=" + ",".join(f"{n * 300}-{n * 300}" for n in range(33)),
]
UNSATISFIABLE = [
    "bytes=1024-",
    "bytes=5000-6000",
    "bytes=-0",
    f"bytes={'9' * 5000}-",
    "bytes=-0,1024-",
]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("asked", [asked for asked, span in ONE.items() if span])
async def test_one_part(scene: Scene, asked: str, known: bool) -> None:
    first, last = ONE[asked] or (0, 0)
    scene.put("a.mp4", DATA, known=known, headers=(("cache-control", "max-age=1"),))
    got = await scene.get(serving("a.mp4"), range=asked)
    assert (got.status, got.body) == (206, DATA[first : last + 1])
    assert got["content-range"] == f"bytes {first}-{last}/1024"
    assert (got["content-type"], got["etag"], got["cache-control"]) == (
        "video/mp4",
        '"abc"',
        "max-age=1",
    )
    assert got["accept-ranges"] == "bytes"


@pytest.mark.parametrize("asked", IGNORED)
async def test_what_is_no_range_is_passed_over(scene: Scene, asked: str) -> None:
    scene.put("a", DATA)
    got = await scene.get(serving("a"), range=asked)
    assert (got.status, got.body) == (200, DATA)
    assert "content-range" not in got.headers


@pytest.mark.parametrize("asked", UNSATISFIABLE)
async def test_beyond_the_end(scene: Scene, asked: str) -> None:
    found = scene.put("a", DATA)
    got = await scene.get(serving("a"), range=asked)
    assert (got.status, got.body, got["content-range"]) == (416, b"", "bytes */1024")
    assert "content-type" not in got.headers
    assert found.spans == []


async def test_of_an_empty_object(scene: Scene) -> None:
    scene.put("a", b"")
    assert (await scene.get(serving("a"), range="bytes=0-")).status == 416
    assert (await scene.get(serving("a"), range="bytes=-5")).status == 200


async def test_head_knows_no_ranges(scene: Scene) -> None:
    scene.put("a", DATA)
    got = await scene.get(serving("a"), "HEAD", range="bytes=0-9", if_range='"x"')
    assert (got.status, got.length) == (200, 1024)
    assert (await scene.get(serving("a"), "HEAD", range="bytes=5000-")).status == 200


def _parts(got: Got) -> list[tuple[str, str, bytes]]:
    """(type, Content-Range, bytes) as the standard library reads multipart."""
    assert got.status == 206
    assert "content-range" not in got.headers
    head = f"Content-Type: {got['content-type']}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + got.body)
    assert not message.defects
    parts = []
    for part in message.iter_parts():
        data = part.get_payload(decode=True)
        assert isinstance(data, bytes)
        parts.append((part["content-type"], part["content-range"], data))
    return parts


class TestManyParts:
    async def test_each_with_its_place(self, scene: Scene) -> None:
        data = b"0123456789" * 100
        scene.put("a.txt", data)
        got = await scene.get(serving("a.txt"), range="bytes=500-503, 0-1, -3")
        utf_8 = 'text/plain; charset="utf-8"'  # the quotes are the parser's
        assert _parts(got) == [
            (utf_8, "bytes 500-503/1000", b"0123"),
            (utf_8, "bytes 0-1/1000", b"01"),
            (utf_8, "bytes 997-999/1000", b"789"),
        ]
        assert got["etag"] == '"abc"'

    async def test_bytes_that_are_no_text(self, scene: Scene) -> None:
        scene.put("a", DATA)
        got = await scene.get(serving("a"), range="bytes=0-255,512-767")
        boundary = got["content-type"].removeprefix("multipart/byteranges; boundary=")
        expected = (
            b"".join(
                f"\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\n"
                f"Content-Range: bytes {first}-{first + 255}/1024\r\n\r\n".encode()
                + bytes(range(256))
                for first in (0, 512)
            )
            + f"\r\n--{boundary}--\r\n".encode()
        )
        assert got.body == expected[2:]

    async def test_what_overlaps_or_nearly_touches_is_sent_once(self, scene: Scene) -> None:
        scene.put("a.txt", b"0123456789" * 100)
        got = await scene.get(serving("a.txt"), range="bytes=900-902,5-20,0-9,25-29")
        assert [said for _, said, _ in _parts(got)] == ["bytes 900-902/1000", "bytes 0-29/1000"]

    async def test_the_boundary_is_not_to_be_foreseen(self, memory: Scene) -> None:
        memory.put("a", DATA)
        memory.put("b", DATA)
        asked = "bytes=0-0,512-512"
        types = {(await memory.get(serving(key), range=asked))["content-type"] for key in "ab"}
        assert len(types) == 2

    async def test_a_client_that_leaves_leaves_nothing_open(self, memory: Scene) -> None:
        memory.cache.in_memory = False
        found = memory.put("a", DATA)
        answer = await memory.deliverer.answer(
            request_with(range="bytes=0-99,500-599"), serving("a")
        )
        assert isinstance(answer, Answer)
        assert answer.content is not None
        assert found.open_contents == 0
        await answer.content.read()  # the head of the first part
        await answer.content.read()
        assert found.open_contents == 1
        answer.content.close()
        answer.content.close()
        assert found.open_contents == 0
        assert found.read_bytes == 7


class TestIfRange:
    @pytest.mark.parametrize(
        ("if_range", "status"),
        [
            ('"abc"', 206),
            ('"x"', 200),
            ('W/"abc"', 200),
            (MODIFIED, 206),
            ("Sun, 06 Nov 1994 08:49:38 GMT", 200),  # later is not the same
            ("Sun, 06 Nov 1994 08:49:36 GMT", 200),
            ("nonsense", 200),
            ("abc", 200),
            ('"abc", "x"', 200),
        ],
    )
    @pytest.mark.parametrize("known", [True, False])
    async def test_a_download_goes_on_only_with_the_same(
        self, scene: Scene, if_range: str, status: int, known: bool
    ) -> None:
        scene.put("a", DATA, known=known)
        got = await scene.get(serving("a"), range="bytes=10-19", if_range=if_range)
        assert (got.status, got.body) == (status, DATA[10:20] if status == 206 else DATA)

    async def test_a_weak_tag_promises_nothing(self, memory: Scene) -> None:
        memory.put("a", DATA, etag='W/"abc"')
        for tag in ('W/"abc"', '"abc"'):
            assert (await memory.get(serving("a"), range="bytes=0-", if_range=tag)).status == 200

    async def test_the_date_of_what_is_new_promises_nothing(self, memory: Scene) -> None:
        memory.put("a", DATA, modified_s=NOW_S - 59)
        date = format_http_date(NOW_S - 59)
        fields = {"range": "bytes=0-", "if_range": date}
        assert (await memory.get(serving("a"), **fields)).status == 200
        memory.put("a", DATA, modified_s=NOW_S - 59)
        memory.now_s += 1
        assert (await memory.get(serving("a"), **fields)).status == 206

    async def test_without_a_range_it_means_nothing(self, memory: Scene) -> None:
        memory.put("a", DATA)
        assert (await memory.get(serving("a"), if_range='"x"')).status == 200

    async def test_beyond_the_end_of_another_version(self, memory: Scene) -> None:
        memory.put("a", DATA)
        got = await memory.get(serving("a"), range="bytes=5000-", if_range='"x"')
        assert got.status == 200


_positions = st.integers(0, 1100)
_specs = st.one_of(
    st.builds("{}-{}".format, _positions, _positions),
    st.builds("{}-".format, _positions),
    st.builds("-{}".format, _positions),
)


@given(st.lists(_specs, min_size=1, max_size=6), st.integers(0, 1024), st.booleans())
def test_what_is_sent_is_what_lies_there(specs: list[str], size: int, in_memory: bool) -> None:
    data = (DATA * 2)[:size]

    async def ask() -> None:
        scene = Scene()
        scene.cache.in_memory = in_memory
        scene.put("a", data)
        answer = await scene.deliverer.answer(
            request_with(range="bytes=" + ", ".join(specs)), serving("a")
        )
        assert isinstance(answer, Answer)
        got = await receive(answer)
        if got.status == 416:
            assert got["content-range"] == f"bytes */{size}"
        elif got.status == 200:
            assert got.body == data
        elif "content-range" in got.headers:
            _check(got["content-range"], got.body)
        else:
            for part in got.body.split(b"\r\n--" + got["content-type"][-32:].encode())[:-1]:
                head, _, body = part.partition(b"\r\n\r\n")
                _check(head.partition(b"Content-Range: ")[2].decode(), body)

    def _check(said: str, body: bytes) -> None:
        place, _, whole = said.removeprefix("bytes ").partition("/")
        first, _, last = place.partition("-")
        assert int(whole) == size
        assert body == data[int(first) : int(last) + 1]
        assert body

    trio.run(ask)
