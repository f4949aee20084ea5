"""A manifest decoded piece by piece says the same as one decoded whole, whatever the bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parparchik.model import Bucket
from parparchik.registry import BadManifest, manifest
from parparchik.registry.entries import pack
from parparchik.registry.manifest import Encoder, decode, validate

BUCKET = Bucket("files")
HEAD = b'{"version":1,"bucket":"files","files":[\n'

pytestmark = pytest.mark.usefixtures("tiny_pieces")


@pytest.fixture(scope="module")
def tiny_pieces() -> Iterator[None]:
    """Every line end is one where the decoder cuts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest, "_PIECE_BYTES", 1)
        yield


def in_pieces(data: bytes) -> list[tuple[str, int]] | None:
    """The entries; None when refused."""
    try:
        return [row for piece in decode(data, BUCKET, 0) for row in piece]
    except BadManifest:
        return None


def as_a_whole(data: bytes) -> list[tuple[str, int]] | None:
    """The same by way of a space that makes the layout none of ours."""
    return in_pieces(data + b" ")


def manifest_of(*keys: str) -> bytes:
    rows = [(key, pack(0, len(key), 1_777_975_200)) for key in keys]
    return b"".join(Encoder(BUCKET, 0).encode([rows[:2], rows[2:]]))


def test_ours_is_cut_into_pieces_and_anything_else_is_not() -> None:
    data = manifest_of("a", "b", "c", "d")
    assert [len(piece) for piece in decode(data, BUCKET, 0)] == [1, 1, 1, 1]
    assert [len(piece) for piece in decode(data + b" ", BUCKET, 0)] == [4]
    assert len(list(validate(data))) == 4


def test_the_same_entries_laid_out_by_somebody_else() -> None:
    data = manifest_of("a", "b,\n", "]}", '"')
    assert in_pieces(data) == in_pieces(json.dumps(json.loads(data), indent=1).encode())


LAYOUTS = {
    "ours": HEAD + b'{"key":"a"},\n{"key":"b"}\n]}\n',
    "none": HEAD + b"\n]}\n",
    "none, on one line": HEAD + b"]}\n",
    "spread over lines": HEAD + b'{"key":"a",\n"size":1},\n{"key":"b"}\n]}\n',
    "spread over lines at the end": HEAD + b'{"key":"a"},\n{"key":"b",\n"size":1}\n]}\n',
    "indented": HEAD + b'  {"key":"a"},\n\n  {"key":"b"}\n]}\n',
    "two lists": HEAD + b'{"key":"a"}\n],"files":[\n{"key":"b"}\n]}\n',
    "two lists, alike at first": HEAD
    + b'{"key":"a"},\n{"key":"b"}\n],"files":[\n{"key":"a"}\n]}\n',
    "two lists, different": (
        HEAD + b'{"key":"a"},\n{"key":"b"}\n],"files":[\n{"key":"c"},\n{"key":"d"}\n]}\n'
    ),
    "a list in an entry": HEAD + b'{"key":"a","x":[\n1,\n2\n]},\n{"key":"b"}\n]}\n',
    "an end like ours in something else": HEAD + b'{"key":"a"}],"x":{"y":[\n]}\n',
    "another list of files inside": (
        b'{"version":1,"bucket":"b","x":{"k":[],"files":[\n1],"y":[\n]}\n'
    ),
    "a comma at the end": HEAD + b'{"key":"a"},\n\n]}\n',
    "two commas": HEAD + b'{"key":"a"},\n,\n{"key":"b"}\n]}\n',
    "commas alone": HEAD + b",\n,\n\n]}\n",
}
AMBIGUOUS = {"two lists", "two lists, different", "two lists, alike at first"}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout: str) -> None:
    data = LAYOUTS[layout]
    if layout in AMBIGUOUS:
        assert in_pieces(data) in (None, as_a_whole(data))
    else:
        assert in_pieces(data) == as_a_whole(data)


LINES = (
    *(b'{"key":"a"}', b'{"key":"b","size":2}', b'{"key":"c",', b'"size":3}', b'{"key":"a"},'),
    *(b",", b"", b" ", b"]", b"]}", b"[", b'],"files":[', b"null", b'"', b"\xff", b"\\"),
)


@given(st.lists(st.sampled_from(LINES), max_size=6), st.sampled_from([b",\n", b"\n"]))
def test_lines_of_any_kind(lines: list[bytes], separator: bytes) -> None:
    data = HEAD + separator.join(lines) + b"\n]}\n"
    pieces, whole = in_pieces(data), as_a_whole(data)
    assert pieces == whole or (pieces is None and data.count(b'"files"') > 1)


@given(st.data())
def test_bytes_taken_out_or_put_in(data: st.DataObject) -> None:
    original = manifest_of("a", "b/ü", "c", "d\n")
    at = data.draw(st.integers(0, len(original)))
    taken = data.draw(st.integers(0, 20))
    put = data.draw(st.sampled_from([b"", b",", b"\n", b'"', b"{", b"}", b"1", b"\xc3", b",\n"]))
    mutated = original[:at] + put + original[at + taken :]
    pieces, whole = in_pieces(mutated), as_a_whole(mutated)
    assert pieces == whole or (pieces is None and mutated.count(b'"files"') > 1)


@given(st.data())
def test_validation_agrees_with_decoding(data: st.DataObject) -> None:
    original = manifest_of("a", "b", "c")
    at = data.draw(st.integers(0, len(original) - 1))
    mutated = original[:at] + data.draw(st.binary(max_size=2)) + original[at + 1 :]
    try:
        for _ in validate(mutated):
            pass
    except BadManifest:
        assert in_pieces(mutated) is None
    else:
        assert in_pieces(mutated) is not None
