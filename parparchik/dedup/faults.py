"""What can be wrong in the metadata, and what of it the references mend. Pure.

No change of ours leaves any of it behind: it comes of other hands in the database, of a disk that
fails, of a database that was put together from parts. Every store of metadata looks for the same
truths and calls what contradicts them by the same names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

DAMAGED = "places of the database file are damaged"
UNKNOWN_BLOB = "files refer to a blob that is not known"
BELOW_A_FILE = "files lie below another file"
ORPHANS_WITH_FILES = "blobs are marked orphans and have files"
UNMARKED_ORPHANS = "blobs have no file and are not marked orphans"
NEEDED_GARBAGE = "keys are in use and garbage"
# Where references are looked up by more than one key, or counted.
INDEX = "entries of an index say what is not so"
CLAIMS = "claims hold nothing or never end"
COUNTERS = "counters are wrong"

_BEYOND_MENDING = frozenset({DAMAGED, UNKNOWN_BLOB, BELOW_A_FILE})


@dataclass(frozen=True, slots=True)
class Fault:
    """So many (`count`) of `what`. `mendable`: Metadata.mend sets it right from the references;
    what it cannot, a backup can, or the file's being stored again. `detail` is of the first one."""

    what: str
    count: int
    mendable: bool
    detail: str = ""


def faults_of(counts: Iterable[tuple[str, int]], detail: str = "") -> list[Fault]:
    """Of what there is any of."""
    return [Fault(what, n, what not in _BEYOND_MENDING, detail) for what, n in counts if n]
