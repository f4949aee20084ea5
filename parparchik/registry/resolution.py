"""What verification answers, and what may come of it."""

from __future__ import annotations

from dataclasses import dataclass

from parparchik.model import Entry

OUTCOMES = (
    "fresh",  # answered from memory
    "renewed",  # verified in the background, ahead of need
    "present",  # S3 was asked: still there
    "found",  # S3 was asked: new, or moved to another bucket
    "absent",  # S3 was asked: nowhere
    "negative",  # known to be nowhere a moment ago
    "shared",  # waited for somebody else's HEAD
    "stale",  # S3 could not tell, answered all the same
    "failed",  # S3 could not tell, and nothing could be answered
    "overloaded",  # too many were waiting already
)


@dataclass(frozen=True, slots=True)
class Resolution:
    """Where a key is. `entry` None: in no bucket. `fresh` tells whether S3 has confirmed it
    within the TTL; None where verification is switched off."""

    entry: Entry | None
    fresh: bool | None = True


ABSENT = Resolution(None)
