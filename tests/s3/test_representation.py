"""Headers of objects, both ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parparchik.content import Span, Storing
from parparchik.s3.representation import (
    ContentRange,
    parse_content_range,
    parse_length,
    quoted,
    storing_headers,
)


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        (b"bytes 0-0/1", ContentRange(Span(0, 0), 1)),
        (b" bytes 5-9/10 ", ContentRange(Span(5, 9), 10)),
        (b"bytes */10", ContentRange(None, 10)),
        (b"bytes 0-5497558138879/5497558138880", ContentRange(Span(0, 2**42 + 2**40 - 1), 5 << 40)),
    ],
)
def test_content_range(value: bytes, parsed: ContentRange) -> None:
    assert parse_content_range(value) == parsed


@pytest.mark.parametrize(
    "value",
    [b"", b"bytes", b"bytes 0-0", b"bytes 0-0/*", b"bytes */*", b"bytes 1-0/5", b"bytes 0-5/5",
     b"bytes -1-0/5", b"bytes 0-+1/5", b"bytes 0-1_0/50", b"bits 0-0/1", b"bytes=0-0/1",
     b"bytes 0-0/1, bytes 0-0/1", b"bytes 0-0/1\n", "bytes \u0660-0/1".encode(),
     b"bytes 0-" + b"1" * 20 + b"/" + b"2" * 20],
)  # fmt: skip
def test_no_content_range(value: bytes) -> None:
    with pytest.raises(ValueError, match="Content-Range"):
        parse_content_range(value)


@given(st.binary(max_size=40))
def test_any_bytes(value: bytes) -> None:
    try:
        span, size_bytes = parse_content_range(value)
    except ValueError:
        return
    assert span is None or 0 <= span.first <= span.last < size_bytes


@pytest.mark.parametrize("value", [None, b"", b"-1", b"+1", b"1_0", b"1, 1", b"0x1", b"1" * 20])
def test_no_length(value: bytes | None) -> None:
    with pytest.raises(ValueError, match="Content-Length"):
        parse_length(value)


@pytest.mark.parametrize(
    ("etag", "with_quotes"), [("", ""), ("0", '"0"'), ('"0"', '"0"'), ('W/"0"', 'W/"0"')]
)
def test_quotes(etag: str, with_quotes: str) -> None:
    assert quoted(etag) == with_quotes


def test_only_what_is_stored_is_sent() -> None:
    asked = {
        "cache-control": "a",
        "x-amz-meta-b": "c",
        "x-amz-acl": "public-read-write",
        "content-length": "7",
        "x-amz-version-id": "1",
        "authorization": "x",
    }
    assert storing_headers(Storing("t/x", tuple(asked.items()))) == {
        "cache-control": "a",
        "x-amz-meta-b": "c",
        "content-type": "t/x",
    }
