"""What a PUT is, and how much of it is taken."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from parparchik.dedup.compress import Bounds
from parparchik.dedup.receive import NOTHING_EXPECTED, Expected
from parparchik.dedup.spool import SpoolLimits
from parparchik.model import Upload


@dataclass(frozen=True, slots=True)
class PutLimits:
    """`level` is zlib's, 0 to 9, for what comes without gzip. `max_bodies` are taken at a time;
    `max_large` of those that do not fit into a spool's memory go to S3 at a time from a spool, and
    as many straight. A claim lives `claim_life_s` longer than who has it."""

    bounds: Bounds = field(default_factory=Bounds)
    spool: SpoolLimits = field(default_factory=SpoolLimits)
    level: int = 6
    max_bodies: int = 128
    max_large: int = 4
    max_waiting_writers: int = 256
    claim_life_s: float = 120.0


class Put(NamedTuple):
    """What a client wants. `gzip`: the body is. `imported` as for Metadata.put."""

    path: str
    version_s: int
    upload: Upload
    gzip: bool = False
    expected: Expected = NOTHING_EXPECTED
    imported: bool = False
