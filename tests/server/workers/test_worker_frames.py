"""Messages in a stream of bytes, however it is cut."""

from __future__ import annotations

import pytest

from parparchik.server.workers.frames import LARGEST_BYTES, BrokenFrame, FrameReader, frame

PAYLOADS = [b"", b"a", b"bc" * 300, b"", b"d" * 70_000]
STREAM = b"".join(map(frame, PAYLOADS))


def test_byte_by_byte() -> None:
    reader = FrameReader()
    assert [p for n in range(len(STREAM)) for p in reader.feed(STREAM[n : n + 1])] == PAYLOADS


def test_all_at_once() -> None:
    assert FrameReader().feed(STREAM) == PAYLOADS


def test_every_cut() -> None:
    short = b"".join(map(frame, [b"", b"one", b"three"]))
    for cut in range(len(short) + 1):
        reader = FrameReader()
        assert reader.feed(short[:cut]) + reader.feed(short[cut:]) == [b"", b"one", b"three"]


def test_a_length_that_nobody_sends_is_told_before_it_is_waited_for() -> None:
    with pytest.raises(BrokenFrame, match="announced"):
        FrameReader().feed((LARGEST_BYTES + 1).to_bytes(4))
