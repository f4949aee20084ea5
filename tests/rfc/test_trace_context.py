"""W3C Trace Context, section 3.2: what is a traceparent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parparchik.rfc import TraceParent, trace_parent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def parse(value: bytes) -> TraceParent | None:
    return trace_parent([(b"host", b"h"), (b"traceparent", value)])


@pytest.mark.parametrize(
    ("value", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-fe", False),
        (f"cc-{TRACE}-{SPAN}-01", True),
        (f"cc-{TRACE}-{SPAN}-01-what-will-be", True),
    ],
)
def test_valid(value: str, sampled: bool) -> None:
    assert parse(value.encode()) == TraceParent(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "value",
    [
        "",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE[1:]}-{SPAN}-01",
    ],
)
def test_invalid(value: str) -> None:
    assert parse(value.encode()) is None


def test_two_say_nothing() -> None:
    value = f"00-{TRACE}-{SPAN}-01".encode()
    assert trace_parent([(b"traceparent", value)] * 2) is None
    assert trace_parent([]) is None


@given(st.binary(max_size=80))
def test_nothing_raises(value: bytes) -> None:
    parse(value)


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(1, 2**64 - 1))
def test_a_child_is_of_the_same_trace(trace: int, span: int, ours: int) -> None:
    parsed = parse(f"00-{trace:032x}-{span:016x}-01".encode())
    assert parsed is not None
    assert parse(parsed.child(f"{ours:016x}").encode()) == (f"{trace:032x}", f"{ours:016x}", True)
