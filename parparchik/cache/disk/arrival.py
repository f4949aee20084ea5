"""What the ledger is told of a piece that was written."""

from __future__ import annotations

from typing import Protocol

from parparchik.cache.disk.removal import Removal
from parparchik.cache.tiers import PieceName, Record


class Arrival(Protocol):
    """It is to get its name, and has room reserved.

    `replaces` is what had the name. `heir` came after it for the same name; `forgotten`: it is not
    to be kept.
    """

    piece: PieceName
    record: Record
    name: str
    cost_bytes: int
    data_bytes: int
    replaces: list[Removal]
    heir: Arrival | None
    forgotten: bool
