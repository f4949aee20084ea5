"""What the disk cache counts: plain integers, bumped as things happen and read at a scrape."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from parparchik.cache.disk.format import Unfit

Dropped = Unfit | Literal["foreign", "unreadable", "superseded", "forgotten", "over_budget"]
"""Why a file that was found at start is not used: what is no piece (`Unfit`), no file of ours by
its name, not to be read, of an older generation, of what was forgotten, or beyond the budget."""

DROPPED: tuple[Dropped, ...] = (
    *get_args(Unfit),
    *("foreign", "unreadable", "superseded", "forgotten", "over_budget"),
)


@dataclass(frozen=True, slots=True)
class DiskStatistics:
    """`bytes` is what is counted against `budget_bytes`: pieces that are kept, being written, or
    not looked into yet since the start, and removed ones that are still being read. `leaving_bytes`
    are of files that are to be deleted next, and that nothing is written for until they are.

    `degraded` says why nothing is written at present, '' when all is well; `unreadable` why the
    last piece could not be read. `corrupt` pieces did not have their hash. `refused` saves were not
    tried: no room, larger than the budget, or in trouble. `evicted_at_s` is when the last piece had
    to make room, by the wall clock, 0 where none had. `rebuilt` of `to_rebuild` files have been
    looked into since the start.
    """

    bytes: int
    budget_bytes: int
    files: int
    leaving_bytes: int
    open_files: int
    opens: int
    saves: int
    saved_bytes: int
    save_failures: int
    refused: int
    forgotten_saves: int
    evictions: int
    evicted_bytes: int
    evicted_at_s: float
    corrupt: int
    read_failures: int
    stuck_files: int
    dropped: tuple[tuple[Dropped, int], ...]
    degraded: str
    unreadable: str
    ready: bool
    rebuild_done: bool
    rebuilt: int
    to_rebuild: int


@dataclass(slots=True)
class Counts:
    opens: int = 0
    saves: int = 0
    saved_bytes: int = 0
    refused: int = 0
    forgotten_saves: int = 0
    evictions: int = 0
    evicted_bytes: int = 0
    evicted_at_s: float = 0.0
    corrupt: int = 0
    rebuilt: int = 0
    to_rebuild: int = 0
    dropped: dict[Dropped, int] = field(default_factory=lambda: dict.fromkeys(DROPPED, 0))
