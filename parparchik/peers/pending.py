"""Changes that one peer has not confirmed: in order, each once, and never too many. Pure.

Changes are numbered as they are noted. What waits is sent from the front, so whatever was noted up
to the number before the first that is left has been confirmed. A change that is noted again while
it waits stays where it is: it will be told of after both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from parparchik.content import ObjectName
from parparchik.peers.messages import MAX_CHANGES

BATCH_BYTES = 256 * 1024
"""Of names in one request. In JSON a byte may become six, and a peer takes 2 MiB."""


class Change(NamedTuple):
    """Of the object `key`, or, where it is a `prefix`, of all whose key begins so."""

    bucket: str
    key: str
    prefix: bool


class Pending:
    """`limit` is how many may wait; beyond it all of the bucket that has most takes their place.

    `noted` is the number of the last change, `collapsed` how often that has happened."""

    def __init__(self, limit: int = 1) -> None:
        self.limit = limit
        self.noted = 0
        self.collapsed = 0
        self._waiting: dict[Change, int] = {}
        self._sent: dict[Change, int] = {}

    def __len__(self) -> int:
        return len(self._waiting) + len(self._sent)

    @property
    def confirmed(self) -> int:
        """All up to that number."""
        first = next(iter((self._sent or self._waiting).values()), None)
        return self.noted if first is None else first - 1

    def note(self, names: Iterable[ObjectName], below: Iterable[tuple[str, str]]) -> int:
        """The number to wait for."""
        self.noted += 1
        for bucket, key in names:
            self._add(Change(bucket, key, prefix=False))
        for bucket, prefix in below:
            if prefix:
                self._add(Change(bucket, prefix, prefix=True))
            else:
                self._cover(bucket)
        return self.noted

    def take(self) -> tuple[Change, ...]:
        """The first that wait, to be sent; then either `confirm` or `give_back`."""
        size_bytes = 0
        for change in self._waiting:
            size_bytes += len(change.bucket.encode()) + len(change.key.encode())
            if self._sent and (size_bytes > BATCH_BYTES or len(self._sent) == MAX_CHANGES):
                break
            self._sent[change] = self._waiting[change]
        for change in self._sent:
            del self._waiting[change]
        return tuple(self._sent)

    def confirm(self) -> int:
        """What was taken is known there; how many changes that were."""
        count = len(self._sent)
        self._sent = {}
        return count

    def give_back(self) -> None:
        """What was taken waits again, before all else."""
        waiting, self._waiting, self._sent = self._waiting, self._sent, {}
        for change, number in waiting.items():
            self._waiting.setdefault(change, number)
        self._shrink()

    def clear(self) -> None:
        """Nobody is to be told."""
        self._waiting, self._sent = {}, {}

    def _add(self, change: Change) -> None:
        if Change(change.bucket, "", prefix=True) in self._waiting:
            return
        self._waiting.setdefault(change, self.noted)
        self._shrink()

    def _shrink(self) -> None:
        while len(self._waiting) > self.limit:
            [(bucket, count)] = Counter(each.bucket for each in self._waiting).most_common(1)
            if count == 1:  # there are more buckets than may wait
                return
            self._cover(bucket)
            self.collapsed += 1

    def _cover(self, bucket: str) -> None:
        """All of the bucket, in place of whatever of it waits: it goes first, with the number of
        what was first."""
        first = next(iter(self._waiting.values()), self.noted)
        rest = {each: n for each, n in self._waiting.items() if each.bucket != bucket}
        self._waiting = {Change(bucket, "", prefix=True): first, **rest}
