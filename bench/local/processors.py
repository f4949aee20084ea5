"""Who runs on which processor."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Processors:
    """CPU numbers; empty: wherever the system likes."""

    server: tuple[int, ...] = ()
    load: tuple[int, ...] = ()

    def describe(self) -> str:
        if not self.server:
            return "nothing pinned: server, load and S3 share the processors"
        server, load = (", ".join(map(str, cpus)) for cpus in (self.server, self.load))
        return f"server on CPU {server}; load and S3 on CPU {load}"


def share_out(*, pin: bool = True) -> Processors:
    """One processor for the server, and nothing else there; the others for all else. With a
    single processor, or without `pin`, nobody has one to itself."""
    available = sorted(os.sched_getaffinity(0))
    if not pin or len(available) < 2:
        return Processors()
    return Processors(tuple(available[:1]), tuple(available[1:]))
