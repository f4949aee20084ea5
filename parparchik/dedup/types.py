"""What the deduplicating store is made of, and the Protocol of its metadata. Pure.

A *file* is a path that refers to a *blob*: an object at S3 whose content has a digest. A *claim*
keeps a blob, or the key at which it is being stored, from the cleaner for as long as somebody works
with it; what is small is stored without one, and once more where that went wrong. *Garbage* is a
key at S3 that nothing refers to any more and nothing will refer to again. A blob is *lost* where S3
is known not to have it any more, or something else in its place: its files stay, and all of them
have their content again once somebody stores it anew, at another key. A *tombstone* remembers a
path that was deleted, for as long as an upstream may still have it.

Times are whole seconds since 1970 UTC; versions are those that clients give, and may be negative.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from outcome import Outcome

from parparchik.dedup.faults import Fault


class Blob(NamedTuple):
    """`digest` is the SHA-256 of the content in hex, `key` where S3 has it (gzip)."""

    digest: str
    key: str
    logical_bytes: int
    stored_bytes: int


class File(NamedTuple):
    path: str
    version_s: int
    blob: Blob


class Claim(NamedTuple):
    """`token` proves it. `blob` is there already, or, where None, `key` is free to store it at: no
    other claim has it, and nothing was ever deleted there lately. Of a lost blob it is None."""

    token: str
    digest: str
    key: str
    blob: Blob | None


class Sight(NamedTuple):
    """What there is to be seen before a PUT: the version of the file that is at its path, and the
    blob of its content. Where that is None or lost, it may be stored at `key`, at which nothing is
    and nothing was deleted lately; others may be about to store the same there."""

    version_s: int | None
    blob: Blob | None
    key: str


class Tombstone(NamedTuple):
    path: str
    version_s: int


class Written(NamedTuple):
    """What came of a change: the version that is stored now (None: no such file), and whether the
    change took effect."""

    version_s: int | None
    done: bool


@dataclass(frozen=True, slots=True)
class Totals:
    files: int
    blobs: int
    logical_bytes: int  # of the files, each counted as if it had its bytes alone
    stored_bytes: int  # at S3
    orphans: int  # blobs without a file
    garbage: int
    lost: int = 0  # of the blobs


class Metadata(Protocol):
    """References are the truth: how often a blob is referred to is always found from the files.
    Every method is a change of its own, all or nothing, durable when it returns, and safe among any
    number of processes; several that are asked for at once may share one commit, which is nobody's
    concern: what one of them raises undoes nothing of the others. What the database cannot do is
    raised as Unavailable (nothing happened, or it is not known whether something did: then doing it
    again does no harm)."""

    @property
    def is_prompt(self) -> bool:
        """Whether `look_soon` and `put_soon` may begin anything."""
        ...

    async def get(self, path: str) -> File | None: ...

    async def look(self, path: str, digest: str, *, now_s: float) -> Sight:
        """Raises PathConflict where `put` of a new file would."""
        ...

    def look_soon(
        self, path: str, digest: str, *, now_s: float, then: Callable[[Outcome[Sight]], None]
    ) -> bool:
        """The same without a task: `then` is called later, once, from the event loop, and must not
        raise. False: nothing was begun, `look` is the way."""
        ...

    async def claim(self, digest: str, *, now_s: float, life_s: float) -> Claim:
        """The blob is neither deleted nor its key given to another until `release`, `put`, or
        `life_s` from now."""
        ...

    async def renew(self, claim: Claim, *, now_s: float, life_s: float) -> bool:
        """Whether it still held; only then it does for longer."""
        ...

    async def release(self, claim: Claim) -> None:
        """Not to be used. What was perhaps stored at its key becomes garbage, unless it is the
        blob's."""
        ...

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
        """`path` refers to `blob`, which S3 has, unless a newer version is stored. Ends the claim.
        Without one `blob` is what `look` said, less than a day ago, or is stored at the key that
        it gave. Where the blob has become known at another key meanwhile, that one stays and
        `blob.key` becomes garbage; unless it is lost: then `blob` takes its place for all its
        files, and what lies at its old key is garbage. A blob that loses its last file is an orphan
        from now on.

        What is `imported` from another server takes effect only where it is newer than both the
        file that is stored and what was deleted (`tombstone`): decided here, for a DELETE may have
        come since the caller looked.

        Raises ClaimLost when the claim did not hold any more, or, without one, `blob.key` has
        become garbage; or when `blob` was lost after it was claimed or seen. Raises PathConflict
        where a folder has that name, or a file that of a folder above it. Nothing is changed then.
        """
        ...

    def put_soon(
        self,
        path: str,
        version_s: int,
        blob: Blob,
        *,
        now_s: float,
        then: Callable[[Outcome[Written]], None],
    ) -> bool:
        """The same without a claim, of nothing imported, and without a task, as `look_soon`."""
        ...

    async def delete(self, path: str, version_s: int, *, tombstone: bool, now_s: float) -> Written:
        """No file at `path`, unless a newer version is stored. With `tombstone` that is remembered,
        also where there was none, so that nothing older is imported again."""
        ...

    async def tombstone(self, path: str) -> int | None:
        """The version that was deleted, if that is remembered and no file is there."""
        ...

    async def bury(self, path: str, version_s: int) -> bool:
        """Have a tombstone at `path`, of that version or a newer one, whatever file is there; False
        where it had."""
        ...

    def tombstones(self) -> AsyncIterator[Sequence[Tombstone]]:
        """All, in no order, some at a time, one perhaps twice; also those where a file is again."""
        ...

    def list(self, folder: str, *, until_s: int) -> AsyncIterator[Sequence[File]]:
        """The files below `folder` ('': all) that are not newer, in the order of their paths'
        UTF-8 bytes, some at a time, however many there are: with constant memory. Changes meanwhile
        may be seen or not. Who does not want all of them closes it."""
        ...

    async def has_below(self, folder: str) -> bool: ...

    # -- cleaning -----------------------------------------------------------------------------

    async def discard_orphans(self, *, older_than_s: float, now_s: float, limit: int) -> int:
        """Make garbage of blobs that have been orphans since before `older_than_s`, a time, and are
        not claimed; how many. Before that, claims that have run out by `now_s` end, as if they were
        released, so that nobody whose clock is behind goes on with them."""
        ...

    async def garbage(self, *, limit: int) -> Sequence[str]:
        """Keys to be deleted at S3: of claims that ran out, too."""
        ...

    async def collected(self, keys: Sequence[str], *, now_s: float) -> None:
        """S3 has deleted them. None of these keys is given out again for a day: a DELETE that got
        lost on its way might still arrive."""
        ...

    async def unknown(self, keys: Sequence[str]) -> Sequence[str]:
        """Those that are no blob's, no claim's and no garbage: made garbage by this."""
        ...

    def blobs(self) -> AsyncIterator[Sequence[Blob]]:
        """All, in the order of their digests, some at a time."""
        ...

    async def mark_lost(self, blob: Blob, *, now_s: float) -> bool:
        """S3 was asked and has no such object, or another one: claims of that content are free to
        store it again from now on. Whether that is news; not where `blob` is not known, at that
        key, any more. Files keep it, and readers still try."""
        ...

    async def restate(self, blob: Blob, stored_bytes: int) -> bool:
        """S3 has the content of `blob` at its key as another gzip, of so many bytes. Whether that
        is news; not where `blob` is not known, at that key, any more."""
        ...

    async def mark_sound(self, blob: Blob) -> bool:
        """It was read, and is what it should be: if it was marked lost, it is not."""
        ...

    async def lead(self, owner: str, *, now_s: float, life_s: float) -> bool:
        """Whether `owner` is the one process that cleans, now and for `life_s`."""
        ...

    async def totals(self) -> Totals: ...

    # -- looking after it -----------------------------------------------------------------------

    async def integrity(self) -> Sequence[Fault]:
        """What is wrong in the database: nothing, as a rule. Every file's blob is known, no file
        lies below another, blobs are marked orphans if and only if no file has them, nothing in use
        is about to be deleted, and whatever is counted or indexed is what the files say. Reads all
        of it, beside whatever else goes on."""
        ...

    async def mend(self, *, now_s: float) -> int:
        """Set right what `integrity` calls mendable, from the references, which stay as they are;
        how many things that were. Blobs without a file are orphans since `now_s`."""
        ...

    async def check(self) -> None:
        """Raises Unavailable when the database does not work."""
        ...
