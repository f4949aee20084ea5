"""Uploads taken apart: what is found out of them, what is made of them, and what is refused."""

from __future__ import annotations

import gzip
import time
import tracemalloc
import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parparchik.dedup.compress import STEP_BYTES, Bounds, Inflater, NotGzip, Packer
from parparchik.dedup.receive import NOTHING_EXPECTED, Body, Expected, parse_expected
from parparchik.errors import BadDigest, TooLarge
from tests.dedup.bed import digest_of, packed
from tests.fakes_bytes import FakeUpload

DATA = b"some content, some more of it. " * 2000
BOUNDS = Bounds()


def body_of(
    *pieces: bytes,
    is_gzip: bool = False,
    expected: Expected = NOTHING_EXPECTED,
    bounds: Bounds = BOUNDS,
    size_bytes: int | None = None,
) -> Body:
    upload = FakeUpload(*pieces, size_bytes=size_bytes)
    return Body(upload, expected, bounds, gzip=is_gzip, level=6)


async def made_of(body: Body) -> bytes:
    made = b""
    while piece := await body.read():
        made += piece
    assert await body.read() == b""
    return made


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 7, 1000, 200_000, 10**9])
@pytest.mark.parametrize("data", [b"", b"x", DATA, bytes(1_000_000)], ids=len)
async def test_plain_bodies_are_compressed(data: bytes, size: int) -> None:
    if len(data) / size > 10_000:
        data = data[:10_000]
    body = body_of(*cut(data, size))
    made = await made_of(body)
    assert gzip.decompress(made) == data
    packer = body.packer
    assert (packer.digest, packer.logical_bytes) == (digest_of(data), len(data))
    assert (packer.stored_bytes, packer.body_bytes) == (len(made), len(data))


@pytest.mark.parametrize("size", [1, 7, 1000, 10**9])
@pytest.mark.parametrize("data", [b"", b"x", DATA, bytes(3_000_000)], ids=len)
async def test_gzip_bodies_stay_as_they_are(data: bytes, size: int) -> None:
    sent = packed(data)
    body = body_of(*cut(sent, size), is_gzip=True)
    assert await made_of(body) == sent
    packer = body.packer
    assert (packer.digest, packer.logical_bytes) == (digest_of(data), len(data))
    assert (packer.stored_bytes, packer.body_bytes) == (len(sent), len(sent))


@pytest.mark.parametrize("is_gzip", [True, False])
async def test_what_is_only_verified_makes_nothing(is_gzip: bool) -> None:
    body = body_of(packed(DATA) if is_gzip else DATA, is_gzip=is_gzip)
    await body.drain()
    assert (body.packer.digest, body.packer.stored_bytes) == (digest_of(DATA), 0)
    with pytest.raises(BadDigest):
        await body_of(DATA, expected=Expected("0" * 64)).drain()


@given(st.lists(st.binary(max_size=300), max_size=6), st.integers(1, 50), st.integers(0, 9))
def test_any_members_in_any_pieces(members: Sequence[bytes], size: int, zeros: int) -> None:
    data = b"".join(members)
    sent = b"".join(map(packed, members or [b""])) + bytes(zeros)
    inflater = Inflater()
    found = b"".join(made for piece in cut(sent, size) for made in inflater.feed(piece))
    inflater.end()
    assert found == data


@given(st.binary(max_size=400), st.data())
def test_no_gzip_that_is_cut_looks_whole(data: bytes, chosen: st.DataObject) -> None:
    sent = packed(data)
    sent = sent[: chosen.draw(st.integers(0, len(sent) - 1))]
    inflater = Inflater()
    found = b"".join(made for piece in cut(sent, 13) for made in inflater.feed(piece))
    assert data.startswith(found)
    with pytest.raises(NotGzip):
        inflater.end()


@given(st.binary(min_size=1, max_size=200), st.data())
def test_no_gzip_with_a_wrong_byte_gives_other_content(data: bytes, chosen: st.DataObject) -> None:
    sent = bytearray(packed(data))
    at = chosen.draw(st.integers(0, len(sent) - 1))
    sent[at] ^= chosen.draw(st.integers(1, 255))
    inflater = Inflater()
    try:
        found = b"".join(inflater.feed(bytes(sent)))
        inflater.end()
    except NotGzip:
        return
    assert found == data


def test_a_bomb_makes_a_step_at_a_time() -> None:
    bomb = zlib.compress(bytes(64 << 20), 9, wbits=31)
    tracemalloc.start()
    try:
        sizes = [len(made) for made in Inflater().feed(bomb)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(sizes) == 64 << 20
    assert max(sizes) <= STEP_BYTES
    assert peak < 4 << 20


def test_many_members_cost_no_more_than_their_size() -> None:
    """What follows a member is copied once per member: of a large piece, that would be its
    square."""
    sent = packed(b"") * 100_000

    def cost_s(*pieces: bytes) -> float:
        begun_s = time.process_time()
        inflater = Inflater()
        assert not [made for piece in pieces for made in inflater.feed(piece)]
        inflater.end()
        return time.process_time() - begun_s

    assert cost_s(sent) < 8 * cost_s(*cut(sent, 10_000))


BOMBS = [
    (Bounds(max_logical_bytes=1_000_000), "content"),
    (Bounds(max_ratio=100, ratio_free_bytes=100_000), "grows"),
    (Bounds(max_body_bytes=1000), "body"),
]


@pytest.mark.parametrize(("bounds", "reason"), BOMBS)
async def test_bombs_are_refused_before_they_are_large(bounds: Bounds, reason: str) -> None:
    bomb = zlib.compress(bytes(64 << 20), 9, wbits=31)
    body = body_of(*cut(bomb, 30_000), is_gzip=True, bounds=bounds)
    with pytest.raises(TooLarge, match=reason) as raised:
        await made_of(body)
    assert raised.value.status == 413
    assert body.packer.logical_bytes <= bounds.max_logical_bytes + STEP_BYTES


async def test_dull_content_is_no_bomb() -> None:
    bounds = Bounds(max_ratio=100, ratio_free_bytes=10_000_000)
    await made_of(body_of(packed(bytes(9_000_000)), is_gzip=True, bounds=bounds))
    await made_of(body_of(bytes(20_000_000), bounds=bounds))


PADDED = {
    "zeros": packed(DATA) + bytes(4_000_000),
    "empty members": packed(DATA) + packed(b"") * 200_000,
    "a long name": b"\x1f\x8b\x08\x08" + bytes(6) + b"x" * 4_000_000 + b"\0" + packed(DATA)[10:],
}


@pytest.mark.parametrize("expected", [NOTHING_EXPECTED, Expected(digest_of(DATA), len(DATA))])
@pytest.mark.parametrize("sent", PADDED.values(), ids=PADDED)
async def test_little_content_in_a_large_body_is_refused(sent: bytes, expected: Expected) -> None:
    """It is stored as it came, and whoever reads the same content is sent all of it."""
    body = body_of(*cut(sent, 30_000), is_gzip=True, expected=expected)
    with pytest.raises(TooLarge, match="32 times"):
        await made_of(body)
    assert body.packer.stored_bytes < 3_000_000


async def test_small_members_are_no_padding() -> None:
    sent = packed(b"x") * 100_000
    assert await made_of(body_of(*cut(sent, 30_000), is_gzip=True)) == sent


async def test_a_body_that_is_not_announced_is_counted() -> None:
    with pytest.raises(TooLarge):
        await made_of(body_of(*[b"x" * 100] * 11, bounds=Bounds(max_body_bytes=1000)))
    await made_of(body_of(*[b"x" * 100] * 10, bounds=Bounds(max_body_bytes=1000)))


def test_what_is_announced_to_be_too_large_is_not_read() -> None:
    bounds = Bounds(max_body_bytes=1000, max_logical_bytes=1000)
    with pytest.raises(TooLarge):
        body_of(size_bytes=1001, bounds=bounds)
    with pytest.raises(TooLarge):
        body_of(expected=Expected("", 1001), bounds=bounds)


async def test_more_than_announced_is_refused_at_once() -> None:
    upload = FakeUpload(*[bytes(200_000)] * 100)
    body = Body(upload, Expected("", 1000), BOUNDS, gzip=False, level=6)
    with pytest.raises(BadDigest):
        await made_of(body)
    assert await upload.read() != b""


@pytest.mark.parametrize("is_gzip", [True, False])
async def test_the_last_bytes_are_kept_back_from_what_is_wrong(is_gzip: bool) -> None:
    """Whoever stores as it reads has not got the end when the digest turns out to be wrong."""
    sent = packed(DATA) if is_gzip else DATA
    body = body_of(sent, is_gzip=is_gzip, expected=Expected("0" * 64, len(DATA)))
    with pytest.raises(BadDigest):
        await made_of(body)


def test_the_size_of_what_is_stored_is_known_of_gzip_alone() -> None:
    assert body_of(size_bytes=5, is_gzip=True).size_bytes == 5
    assert body_of(size_bytes=5).size_bytes is None


def test_memory_does_not_grow_with_members() -> None:
    packer = Packer(BOUNDS, gzip=True, level=6)
    tracemalloc.start()
    try:
        for _ in range(20):
            packer.feed(packed(b"x") * 1000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert packer.end() == []
    assert packer.logical_bytes == 20_000
    assert peak < 1 << 20


@pytest.mark.parametrize(
    "digest",
    [
        "x",
        "0" * 63,
        "0" * 65,
        "../" + "0" * 61,
        "g" * 64,
        "٠" * 64,
        "0" * 64 + "\n",
        "0" * 63 + "/",
    ],
)
def test_what_is_no_digest(digest: str) -> None:
    with pytest.raises(BadDigest):
        parse_expected(digest, None)


def test_digests_may_be_in_capitals() -> None:
    assert parse_expected("AB" * 32, 0) == ("ab" * 32, 0)
    assert parse_expected("", None) == NOTHING_EXPECTED
    with pytest.raises(BadDigest):
        parse_expected("", -1)
