"""What is on disk, as decided on the event loop: which pieces there are, which are coming, and
which are on their way out.

A decision takes effect here at once; the lane then has the disk follow, in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from parparchik.cache.disk.arrival import Arrival
from parparchik.cache.disk.directory import Directory
from parparchik.cache.disk.format import FILE_BYTES, same_generation
from parparchik.cache.disk.handles import Handle, Handles
from parparchik.cache.disk.index import Entry, Index
from parparchik.cache.disk.lane import Lane
from parparchik.cache.disk.removal import Discard, Removal, Touch, Unlink, UnlinkMany, Unsynced
from parparchik.cache.disk.space import Found, Space
from parparchik.cache.disk.statistics import Counts, Dropped
from parparchik.cache.disk.trouble import Trouble
from parparchik.cache.tiers import PieceName, Record
from parparchik.content import ObjectName

FILES_AT_ONCE = 256
"""So many files are deleted by one piece of work, where very many are."""

TOUCH_EVERY_S = 3600.0
"""How exact the order of use is that the next process finds: a touch writes an inode."""

log = structlog.get_logger(__name__)


class Ledger:
    def __init__(
        self,
        directory: Directory,
        lane: Lane,
        counts: Counts,
        *,
        budget_bytes: int,
        files_max: int,
        idle_max: int,
        now: Callable[[], float],
    ) -> None:
        self.index = Index()
        self.space = Space(self.index, budget_bytes, files_max)
        self.handles = Handles(self._unread, idle_max)
        self.unsynced = Unsynced(directory.path)
        self.deleting = Trouble("deleting nothing", directory.path)
        self.stuck: dict[str, Removal] = {}
        self.unlink_failures = 0
        # Names given since the start: what was found under them is not there any more. None once
        # nothing that was found is left.
        self.given: set[str] | None = set()
        self._directory = directory
        self._lane = lane
        self._counts = counts
        self._now = now
        self._arriving: dict[PieceName, Arrival] = {}
        self._small = False  # the disk is smaller than the budget, and that was said

    # -- room -----------------------------------------------------------------------------------

    def reserve(self, cost_bytes: int) -> bool:
        """Have room for one more file, evicting what was used least recently; False when there is
        none to be had."""
        if cost_bytes > self.space.budget_bytes:
            return False
        while self.space.lacks(cost_bytes):
            if not self._evict():
                return False
        self.space.reserve(cost_bytes)
        return True

    def make_way(self, cost_bytes: int) -> bool:
        """The disk is full before the budget is reached: evict as much as that file takes, and no
        less than a hundredth of what there is. Whether anything could be."""
        wanted_bytes = max(cost_bytes - FILE_BYTES, self.space.bytes // 100)
        evicted = False
        before_bytes = self.space.bytes
        while wanted_bytes > 0 and self._evict():
            evicted = True
            # Blocks alone: not every file system makes others of what else a file has cost it.
            wanted_bytes -= before_bytes - self.space.bytes - FILE_BYTES
            before_bytes = self.space.bytes
        if evicted and not self._small:
            self._small = True
            log.warning("disk cache: the disk is full before the cache is")
        return evicted

    def _evict(self) -> bool:
        if self.space.unseen:  # used before everything that was looked into
            self.drop_found(self.space.unseen.pop(), "over_budget")
            return True
        entry = self.index.least_recently_used()
        if entry is None:
            return False
        self._counts.evictions += 1
        self._counts.evicted_bytes += entry.cost_bytes
        self._counts.evicted_at_s = self._now()
        self.drop(entry)
        return True

    # -- out ------------------------------------------------------------------------------------

    def drop(self, entry: Entry) -> None:
        """Remove a piece."""
        self._unlink(self._take_out(entry))

    def drop_all(self, entries: Sequence[Entry]) -> None:
        """Likewise very many of them: little is done now for each."""
        closed = [entry for entry in entries if entry.handle is None]
        for entry in entries:
            if entry.handle is not None:
                self.drop(entry)
            else:
                self.index.remove(entry)
        for first in range(0, len(closed), FILES_AT_ONCE):
            self._unlink_many(closed[first : first + FILES_AT_ONCE])

    def bury(self, name: ObjectName) -> None:
        """Remove what purges have taken of an object."""
        if self.index.purges:
            self.drop_all(list(self.index.purged_pieces_of(name)))

    def drop_other_generations(self, piece: PieceName, record: Record) -> int:
        """Of the same object and coding; returns how many pieces that were."""
        generation = self.index.generation(piece.name, piece.coding)
        if generation is None or same_generation(generation.record, record):
            return 0
        entries = list(generation.pieces.values())
        for entry in entries:
            self.drop(entry)
        return len(entries)

    def retry_stuck(self) -> None:
        """Try again to delete what the disk would not let go of, if it is time to."""
        if self.stuck and self.deleting.admits():
            for name in list(self.stuck):
                self._unlink(self._unstick(name))

    def discard(self, path: str, cost_bytes: int) -> None:
        """Delete a file in `tmp/`, and give back what was reserved for it."""
        self.space.release(cost_bytes)
        removal = Removal("", cost_bytes)
        self.space.place(removal)
        self._lane.put(Discard(path, -1, cost_bytes, lambda: self._nameless(removal)))

    def close(self, fd: int) -> None:
        """Close a file that may have been deleted: that frees its blocks, and takes a while."""
        discard = Discard("", fd, 0, lambda: None)
        if self._lane.open:
            self._lane.put(discard)
        else:
            discard.do()

    def _take_out(self, entry: Entry) -> Removal:
        """Out of the index; the file is still there."""
        self.index.remove(entry)
        removal = Removal(entry.file_name, entry.cost_bytes, read=entry.being_read)
        self.space.place(removal)
        if entry.handle is not None:
            self.handles.forsake(entry.handle, removal)
        return removal

    def _unlink(self, removal: Removal) -> None:
        self._lane.put(Unlink(self._directory, self.unsynced, removal, self._unlinked))

    def _unlinked(self, removal: Removal, error: Exception | None) -> None:
        if error is None:
            self.deleting.succeeded()
            self._nameless(removal)
        else:
            self.unlink_failures += 1
            self.deleting.failed(error)
            removal.stuck = True
            self.stuck[removal.name] = removal
            self.space.place(removal)

    def _unlink_many(self, entries: Sequence[Entry]) -> None:
        removal = Removal("", sum(entry.cost_bytes for entry in entries))
        self.space.place(removal)

        def unlinked(stuck: Sequence[Removal], error: OSError | None) -> None:
            self._nameless(removal)
            for one in stuck:
                self._unlinked(one, error)

        self._lane.put(UnlinkMany(self._directory, self.unsynced, entries, unlinked))

    def _unstick(self, name: str) -> Removal:
        removal = self.stuck.pop(name)
        removal.stuck = False
        self.space.place(removal)
        return removal

    def _nameless(self, removal: Removal) -> None:
        removal.named = False
        self.space.place(removal)

    def _unread(self, handle: Handle, removal: Removal) -> None:
        """A removed piece has no reader any more."""

        def closed() -> None:
            removal.read = False
            self.space.place(removal)

        if self._lane.open:
            self._lane.put(Discard("", handle.fd, removal.cost_bytes, closed))
        else:
            self.close(handle.fd)

    # -- in -------------------------------------------------------------------------------------

    def arrive(self, arrival: Arrival) -> None:
        """The next that the lane does is to give it its name: what has that now leaves by that
        very move."""
        if self.given is not None:
            self.given.add(arrival.name)
        self.bury(arrival.piece.name)  # else the sweep would take the name away again
        before = self._arriving.get(arrival.piece)
        if before is not None and not before.forgotten:
            before.heir = arrival
            arrival.replaces.append(self._removal_of(before))
        self._arriving[arrival.piece] = arrival
        entry = self.index.find(arrival.piece)
        if entry is not None:
            arrival.replaces.append(self._take_out(entry))
        if arrival.name in self.stuck:
            arrival.replaces.append(self._unstick(arrival.name))

    def forget_arriving(self, arrival: Arrival) -> None:
        """It loses its name right after it has got it, and before another can get the same."""
        if arrival.heir is None and not arrival.forgotten:
            arrival.forgotten = True
            self._unlink(self._removal_of(arrival))

    def arrived(self, arrival: Arrival, *, named: bool) -> bool:
        """Whether it is in the index now: it was given its name, and is still wanted."""
        if self._arriving.get(arrival.piece) is arrival:
            del self._arriving[arrival.piece]
        if arrival.heir is not None and not named:
            arrival.heir.replaces += arrival.replaces
        else:
            for removal in arrival.replaces:
                if named or arrival.forgotten:
                    self._nameless(removal)
                else:
                    self._unlink(removal)
        if arrival.heir is not None or arrival.forgotten:
            return False
        self.space.release(arrival.cost_bytes)
        if named:
            self.drop_other_generations(arrival.piece, arrival.record)
            self.index.add(
                arrival.piece,
                arrival.record,
                data_bytes=arrival.data_bytes,
                cost_bytes=arrival.cost_bytes,
                live=True,
                touched_s=self._now(),
            )
        return named

    def _removal_of(self, arrival: Arrival) -> Removal:
        self.space.release(arrival.cost_bytes)
        removal = Removal(arrival.name, arrival.cost_bytes)
        self.space.place(removal)
        return removal

    # -- found at start ---------------------------------------------------------------------------

    def add_found(self, found: Found, piece: PieceName, record: Record, data_bytes: int) -> None:
        """A file that was looked into is a piece."""
        self.space.unseen_bytes -= found.cost_bytes
        self.index.add(
            piece,
            record,
            data_bytes=data_bytes,
            cost_bytes=found.cost_bytes,
            live=False,
            touched_s=found.touched_s,
        )

    def drop_found(self, found: Found, why: Dropped) -> None:
        """Delete it, unless something else has that name by now."""
        self.space.unseen_bytes -= found.cost_bytes
        if self.given is not None and found.name not in self.given:
            self._counts.dropped[why] += 1
            removal = Removal(found.name, found.cost_bytes)
            self.space.place(removal)
            self._unlink(removal)

    # -- use --------------------------------------------------------------------------------------

    def use(self, entry: Entry) -> float | None:
        """Note that it was used. Returns what the file's time is to be set to, if at all."""
        self.index.use(entry)
        now_s = self._now()
        if abs(now_s - entry.touched_s) < TOUCH_EVERY_S:
            return None
        entry.touched_s = now_s
        return now_s

    def touch(self, entry: Entry, time_s: float) -> None:
        self._lane.put(Touch(self._directory.file(entry.file_name), time_s))
