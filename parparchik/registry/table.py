"""The table of entries as verification uses it.

`Registry` is the whole of it. A process that only answers requests may hold a part, with somebody
else behind it who has the whole.
"""

from __future__ import annotations

from typing import Protocol

from parparchik.model import Entry


class Table(Protocol):
    """Entries by key, each one packed into an integer (`entries.pack`)."""

    def packed(self, key: str) -> int | None: ...

    def entry(self, key: str, packed: int) -> Entry: ...

    def put(self, key: str, packed: int) -> bool:
        """Set an entry; whether that changed anything."""
        ...

    def discard(self, key: str) -> bool:
        """Remove an entry; whether it was there."""
        ...

    def set_duplicate(self, key: str, duplicate: bool) -> None:
        """Whether more than one bucket has `key`."""
        ...
