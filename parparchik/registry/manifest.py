"""The manifest: a bucket's part of the registry, as JSON in the bucket itself (version 1).

    {"version": 1, "bucket": B, "files": [{"key", "bucket", "route", "size", "last_modified"}]}

Also accepted: a bare array of entries, and entries that lack everything but their key.

We write one entry a line. JSON allows no raw line feed inside a string, so a manifest of ours can
be cut at line ends and decoded piece by piece, and a million entries stall nobody; a manifest that
somebody else laid out is decoded in one go. Both directions are generators: between two pieces
the caller may let others run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Annotated

import msgspec

from parparchik.model import Bucket
from parparchik.registry.entries import bucket_index, pack_many, size_and_time
from parparchik.rfc import format_iso8601, parse_iso8601, parse_iso8601_many

VERSION = 1

_PIECE_BYTES = 128 * 1024


class BadManifest(ValueError):
    """The bytes are no manifest that we understand. The message quotes none of them."""


class _Row(msgspec.Struct, gc=False):
    key: str
    size: Annotated[int, msgspec.Meta(ge=0)] = 0
    last_modified: str = ""


class _Document(msgspec.Struct):
    # Lua has one empty table: what it writes as JSON for no files is `{}`.
    files: list[_Row] | dict[str, msgspec.Raw]
    version: int = VERSION


class _OutRow(msgspec.Struct, gc=False):
    key: str
    bucket: str
    route: str
    size: int
    last_modified: str


_decode_rows: Callable[[bytes], list[_Row]] = msgspec.json.Decoder(list[_Row]).decode
_decode_document: Callable[[bytes], _Document | list[_Row]] = msgspec.json.Decoder(
    _Document | list[_Row]
).decode
# Nesting that no manifest has ends in a RecursionError.
_DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_encode = msgspec.json.Encoder().encode
_encode_lines = msgspec.json.Encoder().encode_lines


def validate(data: bytes) -> Iterator[None]:
    """Go through a whole manifest, a piece for each step. Raises BadManifest, at the latest with
    the last step; `decode` of what has passed raises nothing."""
    for _ in _rows(data):
        yield


def decode(data: bytes, bucket: Bucket, index: int) -> Iterator[list[tuple[str, int]]]:
    """A manifest's entries as (key, packed), in pieces. Reserved keys are left out.

    Decoding twice, to validate first, costs less than to hold a million entries back until the
    last of them is known to be sound.
    """
    # Every reserved key begins so; a plain comparison spares a call per entry.
    folder, slash, _ = bucket.manifest_key.rpartition("/")
    suspect = folder + slash or bucket.manifest_key
    for rows in _rows(data):
        mine = [
            row
            for row in rows
            if row.key and not (row.key.startswith(suspect) and bucket.reserves(row.key))
        ]
        times = [row.last_modified for row in mine]
        try:
            times_s = parse_iso8601_many(times)
        except ValueError:
            times_s = [_time_s(text) for text in times]
        yield pack_many(index, [row.key for row in mine], [row.size for row in mine], times_s)


def _rows(data: bytes) -> Iterator[list[_Row]]:
    header = _header(data)
    if header is None or not data.endswith(_FOOTER):
        yield _decode_whole(data)
        return
    start, end = len(header), len(data) - len(_FOOTER)
    while start <= end:
        cut = data.find(b",\n", min(start + _PIECE_BYTES, end), end)
        stop = end if cut < 0 else cut
        try:
            rows = _decode_rows(b"[" + data[start:stop] + b"]")
        except _DECODE_ERRORS:
            rows = []
        if not rows:
            yield _rest(data, data[len(header) : max(start - 2, len(header))])
            return
        yield rows
        start = stop + 2


def _rest(data: bytes, done: bytes) -> list[_Row]:
    """What is left of a manifest that begins and ends as ours do, but is not laid out as ours
    are behind the rows `done`. Whatever the pieces gave, the whole has to give as well."""
    whole = _decode_whole(data)
    rows = _decode_rows(b"[" + done + b"]")
    if whole[: len(rows)] != rows:
        raise BadManifest("not a manifest: it has more than one list of files")
    return whole[len(rows) :]


_HEADER_END = b',"files":[\n'
_FOOTER = b"\n]}\n"


def _header(data: bytes) -> bytes | None:
    """The first line, if it is one that we write."""
    stop = data.find(_HEADER_END, 0, 4096)
    if stop < 0 or not data.startswith(b'{"version":1,"bucket":"'):
        return None
    header = data[: stop + len(_HEADER_END)]
    try:
        _decode_whole(header + b"]}")
    except BadManifest:
        return None
    return header


def _decode_whole(data: bytes) -> list[_Row]:
    try:
        document = _decode_document(data)
    except _DECODE_ERRORS as error:
        raise BadManifest(f"not a manifest: {_reason(error)}") from None
    if isinstance(document, list):
        return document
    if document.version != VERSION:
        raise BadManifest(f"manifest version {document.version} is not known, only {VERSION} is")
    if isinstance(document.files, dict):
        if document.files:
            raise BadManifest("not a manifest: its files are no list")
        return []
    return document.files


def _reason(error: Exception) -> str:
    return "invalid UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)


def _time_s(text: str) -> int:
    try:
        return parse_iso8601(text)
    except ValueError:
        return 0  # the next verification will tell


class Encoder:
    """Encodes the entries of one bucket, piece by piece; then `digest` is theirs, as
    `Registry.digest` would give it had nothing else changed meanwhile."""

    def __init__(self, bucket: Bucket, index: int) -> None:
        self.digest = 0
        self.count = 0
        self._bucket = bucket
        self._index = index

    def encode(self, slices: Iterable[list[tuple[str, int]]]) -> Iterator[bytes]:
        """Pieces that together are the manifest. `slices` are the whole registry's; the entries
        of other buckets are passed over."""
        name, index = self._bucket.name, self._index
        yield b'{"version":1,"bucket":%b%b' % (_encode(name), _HEADER_END)
        for rows in slices:
            mine = [row for row in rows if bucket_index(row[1]) == index]
            lines = _encode_lines([self._row(name, key, packed) for key, packed in mine])
            for row in mine:
                self.digest ^= hash(row) ^ row[1]
            separator = b",\n" if self.count and mine else b""
            self.count += len(mine)
            # Only between two rows can a line end stand behind a brace: strings escape theirs.
            yield separator + lines[:-1].replace(b"}\n{", b"},\n{")
        yield _FOOTER

    @staticmethod
    def _row(name: str, key: str, packed: int) -> _OutRow:
        size_bytes, last_modified_s = size_and_time(packed)
        return _OutRow(key, name, f"/{name}/{key}", size_bytes, format_iso8601(last_modified_s))
