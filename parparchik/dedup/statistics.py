"""What the store has done, as plain numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """All of them only grow. `uploads` were stored at S3; `skipped` were there already, `straight`
    went on to S3 as they came. `older` changed nothing, for a newer version was stored."""

    hits: int = 0
    misses: int = 0
    puts: int = 0
    deletes: int = 0
    older: int = 0
    uploads: int = 0
    skipped: int = 0
    straight: int = 0
    claims_lost: int = 0
    missing: int = 0
    received_bytes: int = 0
    uploaded_bytes: int = 0


@dataclass(frozen=True, slots=True)
class StoreStatistics:
    """`counters` is a copy. `refused` counts uploads that there was no room for, and writers that
    would have waited for too many others; the rest is as it is just now."""

    counters: Counters
    refused: int
    receiving: int
    waiting_writers: int
    spooled_memory_bytes: int
    spooled_disk_bytes: int
