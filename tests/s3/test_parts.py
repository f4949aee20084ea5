"""The cutting of bodies."""

from __future__ import annotations

import hashlib

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from parparchik.content import Storing
from parparchik.errors import BadDigest
from parparchik.s3.parts import Part, PartReader
from tests.s3.uploads import Sent


class Pieces:
    """A body in pieces of any sizes."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.size_bytes = None
        self._pieces = [piece for piece in pieces if piece]

    async def read(self) -> bytes:
        await trio.lowlevel.checkpoint()
        return self._pieces.pop(0) if self._pieces else b""


async def bytes_of(part: Part) -> bytes:
    return b"".join([bytes(piece) async for piece in part.body])


sizes = st.lists(st.sampled_from([0, 1, 2, 999, 1000, 1001, 16_383, 16_384, 70_000]), max_size=30)


@given(sizes, st.sampled_from([1, 1000, 16_384, 65_536, 1_000_000]))
def test_nothing_is_lost_or_turned(lengths: list[int], part_bytes: int) -> None:
    if part_bytes == 1:
        lengths = [length % 50 for length in lengths]
    pieces = [bytes([number]) * length for number, length in enumerate(lengths)]
    whole = b"".join(pieces)

    async def cut() -> list[bytes]:
        storing = Storing(md5=hashlib.md5(whole).digest(), sha256=hashlib.sha256(whole).digest())
        reader = PartReader(Pieces(pieces), storing, part_bytes)
        parts = []
        while not reader.ended:
            part = await reader.read()
            parts.append(await bytes_of(part))
            assert part.size_bytes == len(parts[-1])
            assert part.sha256 == hashlib.sha256(parts[-1]).hexdigest()
        return parts

    parts = trio.run(cut)
    assert b"".join(parts) == whole
    assert all(len(part) == part_bytes for part in parts[:-1])
    assert len(parts[-1]) <= part_bytes
    assert len(parts) == max(1, -(-len(whole) // part_bytes))


async def test_small_pieces_are_gathered() -> None:
    """A million objects of a byte each would be a hundred times larger than what they hold."""
    part = await PartReader(Sent(b"x" * 200_000, step=1), Storing(), 1 << 20).read()
    pieces = [piece async for piece in part.body]
    assert len(pieces) < 10
    assert await bytes_of(part) == b"x" * 200_000


async def test_digests_are_of_the_whole() -> None:
    """Not of a part: the end decides."""
    data = b"0123456789"
    reader = PartReader(Sent(data, step=3), Storing(md5=hashlib.md5(b"0123").digest()), 4)
    for _ in range(2):
        await reader.read()
    with pytest.raises(BadDigest, match="MD5"):
        await reader.read()


async def test_a_body_longer_than_announced_is_not_read_to_its_end() -> None:
    body = Sent(b"x" * 1_000_000, size_bytes=100, step=1000)
    with pytest.raises(BadDigest):
        await PartReader(body, Storing(), 1 << 20).read()
    assert body.read_bytes == 1000
