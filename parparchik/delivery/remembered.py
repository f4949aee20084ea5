"""Answers that were given last, and what they were made from."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import NamedTuple

from parparchik.cache import Found
from parparchik.delivery.answers import Prepared
from parparchik.rfc import ByteRanges


class _Kept(NamedTuple):
    found: Found
    age_s: int
    answer: Prepared
    cost_bytes: int


class Remembered:
    """As many as have room, the one that was asked for longest ago dropped first.

    They share their bytes with the cache, as long as that has them: `max_bytes` is what they may
    hold on to beside it.
    """

    __slots__ = ("_kept", "_max_bytes", "size_bytes")

    def __init__(self, max_bytes: int) -> None:
        self.size_bytes = 0
        self._max_bytes = max_bytes
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable, found: Found, age_s: int) -> Prepared | None:
        """What was made of this very `found` in this second of its life."""
        kept = self._kept.get(key)
        if kept is None or kept.found is not found or kept.age_s != age_s:
            return None
        self._kept.move_to_end(key)
        return kept.answer

    def keep(self, key: Hashable, found: Found, age_s: int, answer: Prepared) -> None:
        """Not what is good for one request, and not what is large: of that, sending is the work."""
        cost_bytes = _ENTRY_BYTES + len(found.body or b"") + len(answer.answer.body)
        cost_bytes += sum(len(value) for _, value in answer.answer.headers)
        if isinstance(answer.sent, ByteRanges) or cost_bytes > _LARGEST_BYTES:
            return
        before = self._kept.pop(key, None)
        if before is not None:
            self.size_bytes -= before.cost_bytes
        self._kept[key] = _Kept(found, age_s, answer, cost_bytes)
        self.size_bytes += cost_bytes
        while self.size_bytes > self._max_bytes:
            _, dropped = self._kept.popitem(last=False)
            self.size_bytes -= dropped.cost_bytes


_ENTRY_BYTES = 4096  # what a key, an answer's header and the rest take, generously
_LARGEST_BYTES = 256 << 10
