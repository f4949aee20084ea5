"""Manifests in and out: what is written is read again, what is no manifest is refused."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parparchik.model import Bucket
from parparchik.registry import BadManifest, Registry
from parparchik.registry.entries import pack
from parparchik.registry.manifest import Encoder, decode, validate

BUCKET = Bucket("files")
TIME_S = 1_777_975_200
TIME = "2026-05-05T10:00:00Z"

# Whatever a JSON string can hold, control characters and all, but half a surrogate pair.
any_key = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
rows_of_any_kind = st.dictionaries(
    any_key,
    st.builds(pack, st.just(0), st.integers(0, 2**50), st.integers(0, 2**33)),
    max_size=20,
)


def encoded(rows: dict[str, int], bucket: Bucket = BUCKET, slice_size: int = 3) -> bytes:
    items = list(rows.items())
    slices = [items[n : n + slice_size] for n in range(0, len(items), slice_size)]
    return b"".join(Encoder(bucket, 0).encode(slices))


def decoded(data: bytes, bucket: Bucket = BUCKET) -> dict[str, int]:
    rows = [row for piece in decode(data, bucket, 0) for row in piece]
    assert len(rows) == len(dict(rows))
    return dict(rows)


@given(rows_of_any_kind, st.integers(1, 5))
def test_what_is_written_is_read_again(rows: dict[str, int], slice_size: int) -> None:
    unreserved = {key: packed for key, packed in rows.items() if not BUCKET.reserves(key)}
    assert decoded(encoded(rows, slice_size=slice_size)) == unreserved


@given(rows_of_any_kind)
def test_what_is_written_is_json_with_the_fields_of_the_contract(rows: dict[str, int]) -> None:
    document = json.loads(encoded(rows))
    assert {name: document[name] for name in document if name != "files"} == {
        "version": 1,
        "bucket": "files",
    }
    assert [row["key"] for row in document["files"]] == list(rows)
    for row in document["files"]:
        assert list(row) == ["key", "bucket", "route", "size", "last_modified"]
        assert row["bucket"] == "files"
        assert row["route"] == f"/files/{row['key']}"


def test_an_entry_is_written_as_the_contract_shows_it() -> None:
    (row,) = json.loads(encoded({"a b/ü": pack(0, 12, TIME_S)}))["files"]
    assert row == {
        "key": "a b/ü",
        "bucket": "files",
        "route": "/files/a b/ü",
        "size": 12,
        "last_modified": TIME,
    }


def test_only_the_entries_of_the_bucket_are_written() -> None:
    rows = [("mine", pack(1, 5, TIME_S)), ("other", pack(0, 5, TIME_S))]
    encoder = Encoder(BUCKET, 1)
    document = json.loads(b"".join(encoder.encode([rows, []])))
    assert [row["key"] for row in document["files"]] == ["mine"]
    assert encoder.count == 1
    registry = Registry([BUCKET, Bucket("second")])
    registry.load(1, rows[:1])
    assert encoder.digest == registry.digest(1)


def test_the_manifest_and_what_lies_beside_it_are_never_entries() -> None:
    keys = ["a", ".parparchik/files.json", ".parparchik/x", ".parparchik", ".parparchiko/x"]
    assert set(decoded(encoded(dict.fromkeys(keys, 0)))) == {"a", ".parparchik", ".parparchiko/x"}


@pytest.mark.parametrize(
    ("manifest_key", "reserved", "free"),
    [
        ("m.json", {"m.json", "m.json.unreadable-1"}, {"m.jsonx", "m/x"}),
        ("/m.json", {"/m.json", "/other"}, {"m.json", "a/m.json"}),
        ("a/b/m.json", {"a/b/m.json", "a/b/c/d"}, {"a/b", "a/x", "a/bc"}),
    ],
)
def test_wherever_the_manifest_lies(manifest_key: str, reserved: set[str], free: set[str]) -> None:
    bucket = Bucket("files", manifest_key)
    assert set(decoded(encoded(dict.fromkeys([*reserved, *free], 0), bucket), bucket)) == free


ENTRY = {"key": "k", "bucket": "files", "route": "/files/k", "size": 3, "last_modified": TIME}
FULL = {"k": pack(0, 3, TIME_S)}
BARE = {"k": pack(0, 0, 0)}

ACCEPTED = {
    "version 1": ({"version": 1, "bucket": "files", "files": [ENTRY]}, FULL),
    "no version": ({"files": [ENTRY]}, FULL),
    "root array": ([ENTRY], FULL),
    "only key": ({"version": 1, "files": [{"key": "k"}]}, BARE),
    "root array, only key": ([{"key": "k"}], BARE),
    "another bucket's name": ({"version": 1, "bucket": "old", "files": [ENTRY]}, FULL),
    "extra fields": ({"version": 1, "files": [ENTRY | {"x": [{}]}], "y": {"z": None}}, FULL),
    "no entries": ({"version": 1, "files": []}, {}),
    "empty array": ([], {}),
    "no entries, as Lua writes it": ({"version": 1, "files": {}}, {}),
    "an empty key": ([{"key": ""}, {"key": "k"}], BARE),
    "milliseconds": ([ENTRY | {"last_modified": "2026-05-05T10:00:00.000Z"}], FULL),
    "an offset": ([ENTRY | {"last_modified": "2026-05-05T12:00:00+02:00"}], FULL),
    "a time that is none": ([ENTRY | {"last_modified": "yesterday"}], {"k": pack(0, 3, 0)}),
    "a time before 1970": (
        [ENTRY | {"last_modified": "1969-12-31T00:00:00Z"}],
        {"k": pack(0, 3, 0)},
    ),
}


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("form", ACCEPTED)
def test_accepted_forms(form: str, indent: int | None, line_end: str) -> None:
    document, rows = ACCEPTED[form]
    text = json.dumps(document, indent=indent).replace("\n", line_end) + line_end
    assert decoded(text.encode()) == rows


def test_our_own_layout_with_other_line_ends() -> None:
    rows = {f"k{n}": pack(0, n, TIME_S) for n in range(50)}
    assert decoded(encoded(rows).replace(b"\n", b"\r\n")) == rows


REFUSED = {
    "nothing": b"",
    "white space": b" \n",
    "text": b"not a manifest",
    "null": b"null",
    "a number": b"1",
    "files by name": b'{"version":1,"files":{"a":{"key":"a"}}}',
    "an array of strings": b'["a"]',
    "version 2": b'{"version":2,"files":[]}',
    "version 2 in our layout": (
        b'{"version":1,"bucket":"b","version":2,"files":[\n{"key":"a"}\n]}\n'
    ),
    "version true": b'{"version":true,"files":[]}',
    "version text": b'{"version":"1","files":[]}',
    "no files": b'{"version":1}',
    "files null": b'{"version":1,"files":null}',
    "files an object": b'{"version":1,"files":{"a":1}}',
    "no key": b'[{"size":1}]',
    "key null": b'[{"key":null}]',
    "key a number": b'[{"key":1}]',
    "half a surrogate pair": b'[{"key":"\\ud800"}]',
    "half a surrogate pair and text": b'[{"key":"\\ud800abcdefgh"}]',
    "size negative": b'[{"key":"a","size":-1}]',
    "size text": b'[{"key":"a","size":"1"}]',
    "size a fraction": b'[{"key":"a","size":1.5}]',
    "size null": b'[{"key":"a","size":null}]',
    "time a number": b'[{"key":"a","last_modified":1}]',
    "invalid UTF-8": b'[{"key":"a\xff"}]',
    "a byte order mark": b'\xef\xbb\xbf[{"key":"a"}]',
    "UTF-16": '[{"key":"a"}]'.encode("utf-16"),
    "two documents": b"[][]",
    "a raw line feed": b'[{"key":"a\nb"}]',
    "a trailing comma": b'{"version":1,"bucket":"b","files":[\n{"key":"a"},\n]}\n',
    "an empty line more": b'{"version":1,"bucket":"b","files":[\n{"key":"a"},\n\n]}\n',
    "a broken first line": b'{"version":1,"bucket":"b" oh,"files":[\n{"key":"a"}\n]}\n',
    "nested without end": b'{"files":[],"x":' + b"[" * 200_000,
    "HTML": b"<html><body>502 Bad Gateway</body></html>",
}


@pytest.mark.parametrize("form", REFUSED)
def test_refused_forms(form: str) -> None:
    with pytest.raises(BadManifest):
        decoded(REFUSED[form])
    with pytest.raises(BadManifest):
        list(validate(REFUSED[form]))


def test_a_manifest_cut_off_anywhere_is_refused() -> None:
    data = encoded({"a": pack(0, 1, TIME_S), "b/ü": pack(0, 2, TIME_S)})
    whole = decoded(data)
    for end in range(len(data)):
        try:
            rows = decoded(data[:end])
        except BadManifest:
            continue
        assert rows == whole  # but for the last line end, all is there
        assert end == len(data) - 1


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_refused_or_read(data: bytes) -> None:
    with contextlib.suppress(BadManifest):
        assert all(decoded(data))
