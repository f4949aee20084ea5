"""What cleaning, verifying and importing come to. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from parparchik.dedup.faults import Fault
from parparchik.dedup.types import Blob

MAX_NAMED = 100
"""So many of what is wrong are named; all are counted."""

Progress = Callable[[int, int], None]
"""Told how many are done, and of how many in all, as far as that is known."""


def ignore_progress(done: int, total: int) -> None:
    """Nobody is watching."""


@dataclass(frozen=True, slots=True)
class CleanReport:
    """`led` False: another process is cleaning, and nothing more was done here. Of a dry run,
    `orphans` are all blobs without a file, be they in their grace, and `garbage` and `unknown` what
    would be deleted.

    `unknown` are objects that nobody knew of, `foreign` those below the prefix that are not named
    like blobs and are left alone; `failed` those that S3 did not delete. `doubtful`: S3 has blobs
    and the metadata knows of none at all, as if it were another store's; then none is deleted.
    """

    led: bool = True
    orphans: int = 0
    garbage: int = 0
    deleted: int = 0
    failed: int = 0
    listed: int = 0
    unknown: int = 0
    foreign: int = 0
    doubtful: bool = False
    missing: int = 0
    missing_blobs: tuple[Blob, ...] = ()


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """`failed` could not be read just now, which says nothing about them. `missing` and `damaged`
    are lost from now on; `found` were lost, and are sound again. `faults` are those of the
    database that are left when so many things were `mended`."""

    checked: int = 0
    read_bytes: int = 0
    missing: int = 0
    damaged: int = 0
    failed: int = 0
    bad_blobs: tuple[Blob, ...] = ()
    found: int = 0
    mended: int = 0
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportReport:
    """`older` files and tombstones changed nothing. `missing` refer to content that S3 does not
    have, `bad` are lines that make no sense, or paths that contradict those that are stored;
    `reasons` of the first of both, with the numbers of their lines. `is_whole`: no line is missing,
    as far as the export itself says."""

    imported: int = 0
    tombstones: int = 0
    older: int = 0
    missing: int = 0
    bad: int = 0
    reasons: tuple[tuple[int, str], ...] = ()
    is_whole: bool = True
