"""Blocks that are one reader's alone: it has had the beginning of a piece that is nowhere any more.

There may be as many of them as there are slow clients. So the more there are, the smaller is the
next one.
"""

from __future__ import annotations

ALONE_BYTES = 64 << 20
"""Of all of them together; beyond it each is of the smallest size."""

LARGEST_BYTES = 1 << 20
SMALLEST_BYTES = 65_536

_SHARE = 16  # of what is left, for one


class Alone:
    """How many bytes they have."""

    __slots__ = ("held_bytes",)

    def __init__(self) -> None:
        self.held_bytes = 0

    def take(self, wanted_bytes: int) -> int:
        """How many of them the next block may have: they are held until they are given back."""
        share = (ALONE_BYTES - self.held_bytes) // _SHARE
        granted = min(wanted_bytes, max(SMALLEST_BYTES, min(share, LARGEST_BYTES)))
        self.held_bytes += granted
        return granted

    def give_back(self, granted_bytes: int) -> None:
        self.held_bytes -= granted_bytes
