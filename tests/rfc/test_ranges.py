"""Ranges against the examples of RFC 9110 section 14, and against slices of Python's."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from parparchik.content import Span
from parparchik.rfc import (
    ByteRange,
    content_range,
    frame,
    parse_ranges,
    satisfy,
    unsatisfied_range,
)
from parparchik.rfc.ranges import GAP_BYTES, MAX_RANGES

# Section 14.1.2's, of a representation of 10,000 bytes.
EXAMPLES = {
    "bytes=0-499": (Span(0, 499),),
    "bytes=500-999": (Span(500, 999),),
    "bytes=-500": (Span(9500, 9999),),
    "bytes=9500-": (Span(9500, 9999),),
    "bytes=0-0,-1": (Span(0, 0), Span(9999, 9999)),
    "bytes= 0-999, 4500-5499, -1000": (Span(0, 999), Span(4500, 5499), Span(9000, 9999)),
    "bytes=500-600,601-999": (Span(500, 999),),
    "bytes=500-700,601-999": (Span(500, 999),),
}


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_examples(text: str) -> None:
    ranges = parse_ranges(text)
    assert ranges is not None
    assert satisfy(ranges, 10_000) == EXAMPLES[text]


def test_the_examples_of_content_range() -> None:
    assert content_range(Span(42, 1233), 1234) == "bytes 42-1233/1234"
    assert unsatisfied_range(47022) == "bytes */47022"


def test_how_many() -> None:
    most = ",".join(["0-0"] * MAX_RANGES)
    assert parse_ranges(f"bytes={most}") == (ByteRange(0, 0),) * MAX_RANGES
    assert parse_ranges(f"bytes={most},0-0") is None
    assert parse_ranges(f"bytes={',' * 1000}{most}") is not None


def test_how_near() -> None:
    ranges = parse_ranges(f"bytes=0-9,{10 + GAP_BYTES}-999")
    assert ranges is not None
    assert satisfy(ranges, 1000) == (Span(0, 9), Span(10 + GAP_BYTES, 999))
    ranges = parse_ranges(f"bytes=0-9,{9 + GAP_BYTES}-999")
    assert ranges is not None
    assert satisfy(ranges, 1000) == (Span(0, 999),)


def test_one_that_joins_two() -> None:
    """It takes the place of the first that was asked for."""
    ranges = parse_ranges("bytes=8000-8999,2000-2999,0-999,500-2500")
    assert ranges is not None
    assert satisfy(ranges, 10_000) == (Span(8000, 8999), Span(0, 2999))


@pytest.mark.parametrize(
    ("text", "spans"),
    [("bytes=-1", None), ("bytes=-0", ()), ("bytes=0-", ()), ("bytes=0-0,-5", None)],
)
def test_of_nothing(text: str, spans: tuple[Span, ...] | None) -> None:
    ranges = parse_ranges(text)
    assert ranges is not None
    assert satisfy(ranges, 0) == spans


@given(st.text(st.characters(max_codepoint=255)))
@example("bytes=" + "9" * 5000 + "-")
@example("bytes=\u00b2-")
def test_nothing_raises(text: str) -> None:
    for given_text in (text, f"bytes={text}"):
        ranges = parse_ranges(given_text)
        if ranges is not None:
            assert 1 <= len(ranges) <= MAX_RANGES
            satisfy(ranges, 1000)


_positions = st.integers(0, 2**63)
_ranges = st.one_of(
    st.builds(ByteRange, st.none(), _positions),
    st.builds(ByteRange, _positions, st.none()),
    st.tuples(_positions, _positions).map(lambda ends: ByteRange(*sorted(ends))),
)
_near = st.integers(0, 3000)
_near_ranges = st.one_of(
    st.builds(ByteRange, st.none(), _near),
    st.builds(ByteRange, _near, st.none()),
    st.tuples(_near, _near).map(lambda ends: ByteRange(*sorted(ends))),
)


@given(st.lists(_near_ranges, min_size=1, max_size=MAX_RANGES), st.integers(1, 2500))
def test_exactly_what_was_asked_for(ranges: list[ByteRange], size: int) -> None:
    """Nothing is missing, nothing is sent twice, and what was not asked for fills small gaps."""
    data = range(size)
    wanted: set[int] = set()
    for first, last in ranges:
        if first is None:
            wanted.update(data[-(last or 0) :] if last else ())
        else:
            wanted.update(data[first : None if last is None else last + 1])
    spans = satisfy(ranges, size)
    assert spans is not None
    sent = [position for span in spans for position in range(span.first, span.last + 1)]
    assert len(sent) == len(set(sent))
    assert wanted <= set(sent) <= set(data)
    if len(ranges) == 1:
        assert wanted == set(sent)
    for span in spans:
        assert {span.first, span.last} <= wanted
    unwanted = sorted(set(sent) - wanted)
    gap = longest = 0
    for before, position in zip([-2, *unwanted], unwanted, strict=False):
        gap = gap + 1 if position == before + 1 else 1
        longest = max(longest, gap)
    assert longest < GAP_BYTES


@given(st.lists(_ranges, min_size=1, max_size=5))
def test_what_is_written_is_read(ranges: list[ByteRange]) -> None:
    text = ",".join(
        f"{'' if first is None else first}-{'' if last is None else last}" for first, last in ranges
    )
    read = parse_ranges(f"bytes={text}")
    assert read is not None
    for size in (1, 10_000, 5 << 40):
        assert satisfy(read, size) == satisfy(ranges, size)


class TestMultipart:
    def test_the_example_of_section_15_3_7_2(self) -> None:
        framing = frame(
            [Span(500, 999), Span(7000, 7999)],
            size_bytes=8000,
            content_type="application/pdf",
            boundary="THIS_STRING_SEPARATES",
        )
        assert framing.content_type == "multipart/byteranges; boundary=THIS_STRING_SEPARATES"
        assert [head for head, _ in framing.parts] == [
            b"--THIS_STRING_SEPARATES\r\n"
            b"Content-Type: application/pdf\r\n"
            b"Content-Range: bytes 500-999/8000\r\n\r\n",
            b"\r\n--THIS_STRING_SEPARATES\r\n"
            b"Content-Type: application/pdf\r\n"
            b"Content-Range: bytes 7000-7999/8000\r\n\r\n",
        ]
        assert framing.end == b"\r\n--THIS_STRING_SEPARATES--\r\n"

    @given(
        st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=5),
        st.sampled_from(["", "text/plain", "a/b; c=\xe4"]),
    )
    def test_its_length_is_known_before(self, ends: list[tuple[int, int]], type_: str) -> None:
        spans = [Span(min(pair), max(pair)) for pair in ends]
        framing = frame(spans, size_bytes=51, content_type=type_, boundary="b")
        body = b"".join(head + b"x" * span.size_bytes for head, span in framing.parts)
        assert framing.size_bytes == len(body + framing.end)
        assert (b"Content-Type" in body) == bool(type_)
