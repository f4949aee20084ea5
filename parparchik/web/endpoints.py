"""The management API's paths: exact, and the only ones that are not file routes.

A path below one of them (`/status/x`) is a file route of a bucket of that name.
"""

from __future__ import annotations

from dataclasses import dataclass

from parparchik.peers import FORGET_PATH


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`name` is what metrics count its requests under; `paths` begins with the proper spelling,
    the others are what existing clients ask for. A larger body than `largest_body_bytes` is
    refused, also where none is wanted; and one above 64 KiB of whoever may not change anything.
    `is_limited` is false for what watches over the process, and for its peers: nobody's limit
    counts there."""

    name: str
    paths: tuple[str, ...]
    methods: tuple[str, ...] = ("GET", "HEAD")
    largest_body_bytes: int = 65_536
    is_limited: bool = True


ENDPOINTS = (
    Endpoint("status", ("/status",)),
    Endpoint("readiness", ("/readiness", "/redines"), is_limited=False),
    Endpoint("healthcheck", ("/healthcheck", "/helthcheck"), is_limited=False),
    Endpoint("list", ("/list",)),
    Endpoint("update", ("/update",)),
    Endpoint("relocate", ("/relocate",), methods=("POST",)),
    Endpoint("metrics", ("/metrics",), is_limited=False),
    Endpoint("health", ("/health",), is_limited=False),
    Endpoint("stats", ("/stats",)),
    Endpoint("cache_stats", ("/cache/stats",)),
    Endpoint("cache_purge", ("/cache/purge",), methods=("POST",)),
    Endpoint(
        *("cache_forget", (FORGET_PATH,)),
        methods=("POST",),
        largest_body_bytes=2 << 20,
        is_limited=False,
    ),
    Endpoint("cache_warm", ("/cache/warm",), methods=("POST",), largest_body_bytes=2 << 20),
)

BY_PATH = {path.encode(): endpoint for endpoint in ENDPOINTS for path in endpoint.paths}
"""By raw path, as it came over the wire."""
