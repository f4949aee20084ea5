"""The format of a piece's file: whatever is changed in it is noticed."""

from __future__ import annotations

import re
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parparchik.cache.disk import format as form
from parparchik.cache.tiers import PieceName, Record
from parparchik.content import ObjectName, Representation
from tests.cache.disks import content, piece, record

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
RECORDS = st.builds(
    Record,
    representation=st.builds(
        Representation,
        size_bytes=st.integers(0, 100),
        last_modified_s=st.integers(-(2**40), 2**40),
        etag=TEXT,
        content_type=TEXT,
        headers=st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple),
    ),
    confirmed_at_s=st.floats(0, 2e9),
    slice_bytes=st.just(1000),
    source_etag=TEXT,
)
NAMES = st.builds(PieceName, st.builds(ObjectName, TEXT, TEXT), TEXT, st.just(0))


def whole(what: PieceName, known: Record, data: bytes, run: str = "run") -> bytes:
    footer = form.footer(what, known, run, 7)
    return data + footer + form.trailer(footer, len(data), form.sha256([data]))


def parse(file: bytes) -> form.Tail:
    length = form.tail_bytes(file[-form.TRAILER_BYTES :], len(file))
    return form.parse_tail(file[-length:])


@given(NAMES, RECORDS, TEXT)
def test_what_is_written_is_read(what: PieceName, known: Record, run: str) -> None:
    data = content("x", known.representation.size_bytes)
    tail = parse(whole(what, known, data, run))
    assert tail == form.Tail(what, known, run, 7, len(data), form.sha256([data]))
    assert type(tail.piece) is PieceName
    assert type(tail.record.representation.headers) is tuple


def test_every_byte_behind_the_data_counts() -> None:
    file = whole(piece("a"), record(10), content("a", 10))
    for position in range(10, len(file)):
        for mask in (0x01, 0x80, 0xFF):
            changed = bytearray(file)
            changed[position] ^= mask
            with pytest.raises(form.Unreadable):
                parse(bytes(changed))


def test_a_file_that_was_cut_or_is_longer() -> None:
    file = whole(piece("a"), record(10), content("a", 10))
    for length in range(len(file)):
        with pytest.raises(form.Unreadable):
            parse(file[:length])
    for changed in (b"x" + file, file + b"\0", file[:3] + file[4:], bytes(len(file))):
        with pytest.raises(form.Unreadable):
            parse(changed)


def test_another_version() -> None:
    file = whole(piece("a"), record(10), content("a", 10))
    at = len(file) - 16
    later = file[:at] + struct.pack(">I", form.VERSION + 1) + file[at + 4 :]
    with pytest.raises(form.Unreadable) as caught:
        parse(later)
    assert caught.value.reason == "version"


def test_more_or_less_than_the_piece_has_to_have() -> None:
    for size in (0, 9, 11):
        with pytest.raises(form.Unreadable):
            parse(whole(piece("a"), record(10), content("a", size)))


def test_a_footer_that_is_too_long_is_not_written() -> None:
    with pytest.raises(ValueError, match="too long"):
        form.footer(piece("k" * form.TAIL_MAX_BYTES), record(1), "run", 1)


@given(NAMES, NAMES)
def test_two_pieces_never_share_a_file(one: PieceName, other: PieceName) -> None:
    assert (form.file_name(one) == form.file_name(other)) == (one == other)
    assert re.fullmatch("[0-9a-f]{64}", form.file_name(one))


@pytest.mark.parametrize(
    ("size", "index", "length"),
    [
        *((0, 0, 0), (0, 1, None), (1, 0, 1), (1, 1, None), (64, 0, 64), (64, 1, None)),
        *((65, 0, 64), (65, 1, 1), (65, 2, None), (65, -1, None), (-1, 0, None)),
    ],
)
def test_how_an_object_is_cut(size: int, index: int, length: int | None) -> None:
    assert form.piece_bytes(record(size, slice_bytes=64), index) == length


def test_what_a_file_costs() -> None:
    assert [form.cost_bytes(size) for size in (1, 4096, 4097)] == [8192, 8192, 12288]
