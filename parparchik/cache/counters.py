"""What the cache has done so far, counted."""

from __future__ import annotations


class Counters:
    """See CacheStatistics for what each is."""

    __slots__ = (
        "bypassed",
        "coded_bytes",
        "errors",
        "fetched_bytes",
        "hits",
        "invalidations",
        "misses",
        "negative_hits",
        "original_bytes",
        "read_bytes",
        "requests",
        "revalidated",
        "stale",
        "unsaved",
    )

    def __init__(self) -> None:
        self.hits = 0
        self.negative_hits = 0
        self.misses = 0
        self.stale = 0
        self.revalidated = 0
        self.bypassed = 0
        self.errors = 0
        self.requests = 0
        self.fetched_bytes = 0
        self.read_bytes = 0
        self.original_bytes = 0
        self.coded_bytes = 0
        self.invalidations = 0
        self.unsaved = 0
