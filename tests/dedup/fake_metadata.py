"""Metadata in memory, in the plainest way that can be right: what the others are compared with.

It is no slower than a test needs, and never waits: each method is one step for every task.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from outcome import Outcome

from parparchik.dedup import faults as names
from parparchik.dedup.bounds import check_path, check_version, folders_above
from parparchik.dedup.faults import Fault, faults_of
from parparchik.dedup.keys import REST_S, Keys
from parparchik.dedup.types import Blob, Claim, File, Sight, Tombstone, Totals, Written
from parparchik.errors import ClaimLost, MetadataUnavailable, PathConflict
from tests.soon import soon

PAGE = 3


@dataclass
class Held:
    digest: str
    key: str
    ends_at: float


class FakeMetadata:
    """`broken` makes every method raise MetadataUnavailable, as a database that is away does. Its
    state is public: a test may look."""

    def __init__(self, keys: Keys | None = None) -> None:
        self.keys = keys or Keys()
        self.broken = False
        self.files: dict[str, tuple[int, str]] = {}
        self.stored: dict[str, Blob] = {}
        self.orphaned_at: dict[str, float] = {}
        self.claims: dict[str, Held] = {}
        self.waste: set[str] = set()
        self.deleted_at: dict[str, float] = {}
        self.dead: dict[str, int] = {}
        self.lost: set[str] = set()
        self.leader = ("", float("-inf"))
        self.is_prompt = True

    # -- files ----------------------------------------------------------------------------------

    async def get(self, path: str) -> File | None:
        check_path(path)
        self._work()
        return self._file(path) if path in self.files else None

    async def look(self, path: str, digest: str, *, now_s: float) -> Sight:
        check_path(path)
        self._work()
        if path not in self.files:
            self._check_place(path)
        blob = None if digest in self.lost else self.stored.get(digest)
        key = blob.key if blob else self._free_key(digest, now_s)
        return Sight(self.files.get(path, (None, ""))[0], blob, key)

    def look_soon(
        self, path: str, digest: str, *, now_s: float, then: Callable[[Outcome[Sight]], None]
    ) -> bool:
        soon(self.look, path, digest, now_s=now_s, then=then)
        return True

    async def claim(self, digest: str, *, now_s: float, life_s: float) -> Claim:
        self._work()
        blob = None if digest in self.lost else self.stored.get(digest)
        key = blob.key if blob else self._free_key(digest, now_s)
        token = secrets.token_hex(16)
        self.claims[token] = Held(digest, key, now_s + life_s)
        return Claim(token, digest, key, blob)

    async def renew(self, claim: Claim, *, now_s: float, life_s: float) -> bool:
        self._work()
        held = self.claims.get(claim.token)
        if held is None or held.ends_at <= now_s:
            return False
        held.ends_at = now_s + life_s
        return True

    async def release(self, claim: Claim) -> None:
        self._work()
        self._end(claim.token)

    async def put(
        self,
        path: str,
        version_s: int,
        blob: Blob,
        claim: Claim | None,
        *,
        now_s: float,
        imported: bool = False,
    ) -> Written:
        check_path(path)
        check_version(version_s)
        self._work()
        self._need(blob, claim, now_s)
        self._check_place(path)
        there = self.files.get(path, (None, ""))[0]
        known = [version for version in (there, self.dead.get(path)) if version is not None]
        newer = max(known, default=None) if imported else there
        if newer is not None and (newer > version_s or (imported and newer == version_s)):
            self._finish(blob, claim)
            return Written(there, done=False)
        if blob.digest in self.lost:
            self._heal(blob)
        self.stored.setdefault(blob.digest, blob)
        old = self.files.get(path)
        self.files[path] = (version_s, blob.digest)
        self.orphaned_at.pop(blob.digest, None)
        if old is not None:
            self._dropped(old[1], now_s)
        self._finish(blob, claim)
        return Written(version_s, done=True)

    def put_soon(
        self,
        path: str,
        version_s: int,
        blob: Blob,
        *,
        now_s: float,
        then: Callable[[Outcome[Written]], None],
    ) -> bool:
        soon(self.put, path, version_s, blob, None, now_s=now_s, then=then)
        return True

    async def delete(self, path: str, version_s: int, *, tombstone: bool, now_s: float) -> Written:
        check_path(path)
        check_version(version_s)
        self._work()
        old = self.files.get(path)
        if old is not None and old[0] > version_s:
            return Written(old[0], done=False)
        if tombstone:
            self.dead[path] = max(version_s, self.dead.get(path, version_s))
        if old is None:
            return Written(None, done=False)
        del self.files[path]
        self._dropped(old[1], now_s)
        return Written(None, done=True)

    async def tombstone(self, path: str) -> int | None:
        check_path(path)
        self._work()
        return None if path in self.files else self.dead.get(path)

    async def bury(self, path: str, version_s: int) -> bool:
        check_path(path)
        check_version(version_s)
        self._work()
        if self.dead.get(path, version_s - 1) >= version_s:
            return False
        self.dead[path] = version_s
        return True

    async def tombstones(self) -> AsyncIterator[Sequence[Tombstone]]:
        self._work()
        found = [Tombstone(path, version_s) for path, version_s in self.dead.items()]
        for at in range(0, len(found), PAGE):
            yield found[at : at + PAGE]

    async def list(self, folder: str, *, until_s: int) -> AsyncIterator[Sequence[File]]:
        check_path(folder)
        self._work()
        found = [self._file(path) for path in sorted(self._below(folder), key=str.encode)]
        found = [file for file in found if file.version_s <= until_s]
        for at in range(0, len(found), PAGE):
            yield found[at : at + PAGE]

    def _check_place(self, path: str) -> None:
        if any(above in self.files for above in folders_above(path)) or self._below(path):
            raise PathConflict("a file stands where a folder would have to be")

    async def has_below(self, folder: str) -> bool:
        check_path(folder)
        self._work()
        return bool(self._below(folder))

    # -- cleaning -------------------------------------------------------------------------------

    async def discard_orphans(self, *, older_than_s: float, now_s: float, limit: int) -> int:
        self._work()
        for token in [token for token, held in self.claims.items() if held.ends_at <= now_s]:
            self._end(token)
        kept = {held.digest for held in self.claims.values()} | self._referred()
        old = [
            digest
            for digest, since in sorted(self.orphaned_at.items(), key=lambda item: item[1])
            if since < older_than_s and digest not in kept
        ]
        for digest in old[:limit]:
            del self.orphaned_at[digest]
            self.lost.discard(digest)
            self._discard(self.stored.pop(digest).key)
        return len(old[:limit])

    async def garbage(self, *, limit: int) -> Sequence[str]:
        self._work()
        return sorted(self.waste)[:limit]

    async def collected(self, keys: Sequence[str], *, now_s: float) -> None:
        self._work()
        for key in keys:
            self.waste.discard(key)
            self.deleted_at[key] = now_s

    async def unknown(self, keys: Sequence[str]) -> Sequence[str]:
        self._work()
        strange = [key for key in dict.fromkeys(keys) if key not in self._used() | self.waste]
        self.waste.update(strange)
        return strange

    async def blobs(self) -> AsyncIterator[Sequence[Blob]]:
        self._work()
        found = [self.stored[digest] for digest in sorted(self.stored)]
        for at in range(0, len(found), PAGE):
            yield found[at : at + PAGE]

    async def mark_lost(self, blob: Blob, *, now_s: float) -> bool:
        self._work()
        known = self.stored.get(blob.digest)
        if known is None or known.key != blob.key or blob.digest in self.lost:
            return False
        self.lost.add(blob.digest)
        return True

    async def restate(self, blob: Blob, stored_bytes: int) -> bool:
        self._work()
        known = self.stored.get(blob.digest)
        if known is None or known.key != blob.key or known.stored_bytes == stored_bytes:
            return False
        self.stored[blob.digest] = known._replace(stored_bytes=stored_bytes)
        return True

    async def mark_sound(self, blob: Blob) -> bool:
        self._work()
        known = self.stored.get(blob.digest)
        if known is None or known.key != blob.key or blob.digest not in self.lost:
            return False
        self.lost.remove(blob.digest)
        return True

    async def lead(self, owner: str, *, now_s: float, life_s: float) -> bool:
        self._work()
        if self.leader[0] != owner and self.leader[1] > now_s:
            return False
        self.leader = (owner, now_s + life_s)
        return True

    async def totals(self) -> Totals:
        self._work()
        return Totals(
            files=len(self.files),
            blobs=len(self.stored),
            logical_bytes=sum(
                self.stored[digest].logical_bytes for _, digest in self.files.values()
            ),
            stored_bytes=sum(blob.stored_bytes for blob in self.stored.values()),
            orphans=len(self.orphaned_at),
            garbage=len(self.waste),
            lost=len(self.lost),
        )

    async def integrity(self) -> Sequence[Fault]:
        self._work()
        used, orphans = self._referred(), set(self.orphaned_at)
        below = [
            path for path in self.files for above in folders_above(path) if above in self.files
        ]
        return faults_of([
            (names.UNKNOWN_BLOB, sum(d not in self.stored for _, d in self.files.values())),
            (names.BELOW_A_FILE, sum(above in self.files for above in below)),
            (names.ORPHANS_WITH_FILES, len(orphans & used)),
            (names.UNMARKED_ORPHANS, len(set(self.stored) - used - orphans)),
            (names.NEEDED_GARBAGE, len(self.waste & self._used())),
        ])  # fmt: skip

    async def mend(self, *, now_s: float) -> int:
        self._work()
        used, needed = self._referred(), self.waste & self._used()
        marked = set(self.orphaned_at) & used
        unmarked = set(self.stored) - used - set(self.orphaned_at)
        for digest in marked:
            del self.orphaned_at[digest]
        self.orphaned_at.update(dict.fromkeys(unmarked, now_s))
        self.waste -= needed
        return len(marked) + len(unmarked) + len(needed)

    async def check(self) -> None:
        self._work()

    # -- what they share ------------------------------------------------------------------------

    def _work(self) -> None:
        if self.broken:
            raise MetadataUnavailable("the metadata store is away")

    def _file(self, path: str) -> File:
        version_s, digest = self.files[path]
        return File(path, version_s, self.stored[digest])

    def _below(self, folder: str) -> Sequence[str]:
        return [path for path in self.files if not folder or path.startswith(f"{folder}/")]

    def _referred(self) -> set[str]:
        return {digest for _, digest in self.files.values()}

    def _used(self) -> set[str]:
        blobs = {blob.key for blob in self.stored.values()}
        return blobs | {held.key for held in self.claims.values()}

    def _free_key(self, digest: str, now_s: float) -> str:
        key = self.keys.plain(digest)
        while key in self._used() | self.waste | self._resting(now_s):
            key = self.keys.another(digest)
        return key

    def _resting(self, now_s: float) -> set[str]:
        return {key for key, at in self.deleted_at.items() if at > now_s - REST_S}

    def _need(self, blob: Blob, claim: Claim | None, now_s: float) -> None:
        """Nobody may be about to delete it."""
        if claim is None:
            in_use = {blob.key for blob in self.stored.values()}
            if blob.key in self.waste | (self._resting(now_s) - in_use):
                raise ClaimLost("it is garbage")
            return
        held = self.claims.get(claim.token)
        if held is None or held.ends_at <= now_s or (held.digest, held.key) != blob[:2]:
            raise ClaimLost("the claim has run out")

    def _finish(self, blob: Blob, claim: Claim | None) -> None:
        if claim is None:
            self._discard(blob.key)
        else:
            self._end(claim.token)

    def _end(self, token: str) -> None:
        """The claim is over; what may be stored at its key is garbage, unless it is in use."""
        held = self.claims.pop(token, None)
        if held is not None:
            self._discard(held.key)

    def _heal(self, blob: Blob) -> None:
        """What was lost is stored again, at another key."""
        old_key = self.stored[blob.digest].key
        if old_key == blob.key:
            raise ClaimLost("it was lost meanwhile")
        self.stored[blob.digest] = blob
        self.lost.remove(blob.digest)
        self._discard(old_key)

    def _discard(self, key: str) -> None:
        if key not in self._used():
            self.waste.add(key)

    def _dropped(self, digest: str, now_s: float) -> None:
        if all(other != digest for _, other in self.files.values()):
            self.orphaned_at[digest] = now_s
